use std::ops::RangeInclusive;

use bytes::Bytes;

use super::*;
use crate::batch::Record;
use crate::handler::{EventHandler, Failure, HandlerContext};
use crate::schema::{Accepts, Judged};
use crate::settle::LetterEnd;

const VERSIONS: &[(&str, RangeInclusive<u32>)] = &[("t", 1..=2)];

/// A handler of an old release, and its projection.
struct Old(World, Accepts);

impl EventHandler for Old {
    fn accepts(&self) -> Accepts {
        self.1
    }

    async fn handle(&self, event: &Event, _: &HandlerContext<'_>) -> Result<(), Failure> {
        self.0.store(|s| s.handled.push(event.id().to_owned()));
        Ok(())
    }
}

impl Projection for Old {
    type State = Vec<String>;

    fn accepts(&self) -> Accepts {
        self.1
    }

    fn fold(&self, state: Option<Vec<String>>, event: &Event) -> Result<Vec<String>, Refusal> {
        let mut state = state.unwrap_or_default();
        state.push(event.id().to_owned());
        Ok(state)
    }
}

/// One event of version 1, one that readers of 2 can read, and one that they cannot.
fn upgraded() -> ShardBatch {
    let record = |(number, version, readable_from): (u32, u32, u32)| {
        let mut event = batch_event(&format!("v{version}"));
        event.set_judged(Some(Judged { version, readable_from }));
        Record {
            sequence: number.to_string().parse().unwrap(),
            arrival: Timestamp(500),
            partition_key: "k".to_owned(),
            data: Bytes::from(event.to_json()),
        }
    };
    let records = [(1, 1, 1), (2, 3, 2), (3, 4, 4), (4, 2, 2)].into_iter().map(record).collect();
    ShardBatch { shard: ShardId::new(SHARD), records }
}

fn returned<W: Work>(work: W, world: &World) -> LetterEnd {
    let settler = Settler::new(impatient(), Fingerprinter::new("test"), work, world.clone());
    let letters = world.store(|s| s.letters.clone());
    let deadline = Timestamp(world.store(|s| s.now) + 10_000);
    settler.redrive(&letters, 1, &format!("{}", letters.len()), deadline).now_or_never().unwrap().remove(0)
}

#[test]
fn a_version_that_a_group_does_not_understand_is_a_dead_letter_until_it_is_upgraded() {
    let world = World::default();
    let old = || Handling(Old(world.clone(), Accepts::Versions(VERSIONS)));
    let settler = Settler::new(impatient(), Fingerprinter::new("test"), old(), world.clone());
    settle(&settler, &upgraded()).unwrap();
    assert_eq!(handled(&world), ["v1", "v3", "v2"]);
    assert_eq!(letters(&world), [("3.0".to_owned(), Code::UnknownVersion)]);
    assert_eq!(world.store(|s| s.letters[0].attempts), 0, "it was not handled");
    assert_eq!(returned(old(), &world), LetterEnd::SentBack(Code::UnknownVersion));
    assert_eq!(
        returned(Handling(Old(world.clone(), Accepts::Everything)), &world),
        LetterEnd::Settled(Outcome::Handled)
    );
    assert_eq!(handled(&world), ["v1", "v3", "v2", "v4"]);
}

#[test]
fn a_projection_is_folded_without_what_it_does_not_understand() {
    let world = World::default();
    let old = |accepts| Projecting::new(Old(world.clone(), accepts), world.clone(), 1 << 20);
    let settler =
        Settler::new(impatient(), Fingerprinter::new("test"), old(Accepts::Versions(VERSIONS)), world.clone());
    settle(&settler, &upgraded()).unwrap();
    assert_eq!(state(&world, "k").as_deref(), Some(r#"["v1","v3","v2"]"#));
    assert_eq!(letters(&world), [("3.0".to_owned(), Code::UnknownVersion)]);
    assert_eq!(returned(old(Accepts::Versions(VERSIONS)), &world), LetterEnd::SentBack(Code::UnknownVersion));
    assert_eq!(returned(old(Accepts::Everything), &world), LetterEnd::Settled(Outcome::Handled));
    assert_eq!(state(&world, "k").as_deref(), Some(r#"["v1","v3","v2","v4"]"#));
}
