//! Recovery of what the event source gave up, after runs that settled some of it.

use super::*;
use crate::fingerprint::Fingerprint;
use crate::packing::aggregate;
use crate::recover::{ExpiredRange, Recovered, Recoverer};
use crate::window::Redriven;

const HOUR: u64 = 60 * 60 * 1000;

/// Gives up the records `first` to `last`.
fn recover(world: &World, first: u32, last: u32) -> Result<Recovered, ports::Error> {
    let recoverer = Recoverer {
        group: "g".to_owned(),
        stream: "stream".to_owned(),
        fingerprints: Fingerprinter::new("test"),
        horizon: Duration::from_secs(15 * 60),
        window_bytes: 1 << 20,
        retention_min: Duration::from_secs(24 * 60 * 60),
        outside: world.clone(),
    };
    let given_up = ExpiredRange {
        shard: ShardId::new(SHARD),
        first: first.to_string().parse().unwrap(),
        last: last.to_string().parse().unwrap(),
        arrival: Timestamp(500),
        last_arrival: Timestamp(500),
        attempts: 7,
        reason: "too old".to_owned(),
    };
    let deadline = Timestamp(world.now().0 + 30_000);
    recoverer.recover(&given_up, deadline).now_or_never().expect("nothing here waits")
}

/// A world whose stream still has these.
fn stream(batch: &ShardBatch) -> World {
    let world = World::default();
    world.store(|s| (s.records, s.now) = (batch.records.clone(), 20 * HOUR));
    world
}

fn plain(first: u32, n: usize) -> ShardBatch {
    let ids: Vec<String> = (0..n).map(|n| format!("e{n}")).collect();
    batch(first, &ids.iter().map(|id| ("k", id.as_str(), "ok")).collect::<Vec<_>>())
}

fn sent(world: &World) -> Vec<(String, Code)> {
    letters(world)
}

fn expect(letters: &[(&str, Code)]) -> Vec<(String, Code)> {
    letters.iter().map(|(position, code)| ((*position).to_owned(), *code)).collect()
}

#[test]
fn every_event_of_the_range_becomes_a_letter_and_no_other() {
    let world = stream(&plain(1, 9));
    let recovered = recover(&world, 3, 6).unwrap();
    assert_eq!(recovered, Recovered { letters: 4, settled: 0, expired: false, complete: true });
    assert_eq!(sent(&world), expect(&["3.0", "4.0", "5.0", "6.0"].map(|position| (position, Code::GivenUp))));
    let given_up = world.store(|s| s.progress[&ShardId::new(SHARD)].0.expired.clone());
    assert_eq!(given_up.sequence.as_str(), "6");
}

#[test]
fn a_shard_that_is_gone_ends_in_one_letter_that_says_so() {
    let world = stream(&plain(1, 0));
    world.store(|s| s.gone = true);
    let recovered = recover(&world, 3, 6).unwrap();
    assert_eq!((recovered.expired, recovered.complete), (true, true));
    assert_eq!(sent(&world), expect(&[("3.0", Code::Expired)]));
    assert!(
        world.store(|s| s.letters[0].reason.contains("from 3 on up to 6")),
        "{:?}",
        world.store(|s| s.letters.clone())
    );
    // the notice comes a second time
    recover(&world, 3, 6).unwrap();
    assert_eq!(sent(&world).len(), 1);
}

#[test]
fn a_range_that_has_expired_is_one_letter_whatever_follows_it() {
    // younger records, and an end
    for (records, closed) in [(plain(9, 2), false), (plain(9, 0), true)] {
        let world = stream(&records);
        world.store(|s| s.closed = closed);
        assert!(recover(&world, 3, 6).unwrap().complete);
        assert_eq!(sent(&world), expect(&[("3.0", Code::Expired)]));
    }
}

#[test]
fn what_is_left_of_a_range_is_recovered_and_the_rest_is_told() {
    let world = stream(&plain(5, 4));
    let recovered = recover(&world, 3, 6).unwrap();
    assert_eq!((recovered.letters, recovered.expired, recovered.complete), (2, true, true));
    assert_eq!(sent(&world), expect(&[("3.0", Code::Expired), ("5.0", Code::GivenUp), ("6.0", Code::GivenUp)]));
    assert!(world.store(|s| s.letters[0].reason.contains("from 3 on before 5")));
}

#[test]
fn a_tip_before_the_last_record_is_no_success() {
    let world = stream(&plain(3, 2));
    assert!(matches!(recover(&world, 3, 6), Err(ports::Error::Unavailable(_))));
    assert_eq!(sent(&world), expect(&[("3.0", Code::GivenUp), ("4.0", Code::GivenUp)]));
    assert!(!world.store(|s| s.progress.contains_key(&ShardId::new(SHARD))), "not given up");
    // the rest is there after all, and what was sent is not sent again
    world.store(|s| s.records = plain(3, 5).records);
    assert!(recover(&world, 3, 6).unwrap().complete);
    assert_eq!(sent(&world).len(), 4);
}

#[test]
fn a_tip_before_records_that_must_have_expired_is_told() {
    for left in [0, 2] {
        let world = stream(&plain(3, left));
        world.store(|s| s.now = 25 * HOUR);
        let recovered = recover(&world, 3, 6).unwrap();
        assert_eq!((recovered.letters, recovered.expired, recovered.complete), (left, true, true));
        assert_eq!(sent(&world).len(), left + 1);
    }
}

#[test]
fn an_end_before_the_last_record_is_told() {
    let world = stream(&plain(3, 2));
    world.store(|s| s.closed = true);
    assert!(recover(&world, 3, 6).unwrap().complete);
    let codes: Vec<_> = sent(&world).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, [Code::GivenUp, Code::GivenUp, Code::Expired]);
    assert!(world.store(|s| s.letters[2].reason.contains("after 4.4294967295 up to 6")));
}

#[test]
fn a_listing_without_the_shard_judges_nothing() {
    let world = stream(&plain(3, 4));
    world.store(|s| s.unlisted = true);
    assert!(matches!(recover(&world, 3, 6), Err(ports::Error::Unavailable(_))));
    assert_eq!(sent(&world), []);
}

#[test]
fn a_recovery_that_was_stopped_goes_on_where_it_was() {
    let world = stream(&plain(1, 6));
    world.store(|s| s.letter_takes = 7000);
    for (letters, complete) in [(4, false), (2, true), (0, true)] {
        let recovered = recover(&world, 1, 6).unwrap();
        assert_eq!((recovered.letters, recovered.complete), (letters, complete));
    }
    assert_eq!(sent(&world).len(), 6);
}

#[test]
fn a_letter_that_fails_costs_no_second_copy_of_those_before() {
    for hangs in [false, true] {
        let world = stream(&plain(1, 6));
        recover(&world, 1, 3).unwrap();
        world.store(|s| if hangs { s.hang_at = Some(Step::Letter) } else { s.crash_at = Some(Step::Letter) });
        // two of its records are done
        world.store(|s| s.cursors.insert(("1".parse().unwrap(), "6".parse().unwrap()), "3.0".parse().unwrap()));
        recover(&world, 1, 6).unwrap_err();
        recover(&world, 1, 6).unwrap();
        assert_eq!(sent(&world).len(), 6, "hangs: {hangs}");
    }
}

#[test]
fn letters_before_one_that_fails_are_not_sent_again() {
    for fails in 1..=2 {
        let world = stream(&plain(1, 2));
        world.store(|s| s.crash_letter = Some(fails));
        recover(&world, 1, 2).unwrap_err();
        let done = world.store(|s| s.cursors.values().next().cloned());
        assert_eq!(done, (fails == 2).then(|| "1.0".parse().unwrap()));
        recover(&world, 1, 2).unwrap();
        assert_eq!(sent(&world).iter().filter(|(position, _)| position == "1.0").count(), 1);
    }
}

#[test]
fn what_expires_behind_the_cursor_is_told() {
    let world = stream(&plain(1, 6));
    world.store(|s| s.cursors.insert(("1".parse().unwrap(), "6".parse().unwrap()), "2.0".parse().unwrap()));
    world.store(|s| drop(s.records.drain(..4)));
    let recovered = recover(&world, 1, 6).unwrap();
    assert_eq!((recovered.letters, recovered.expired), (2, true));
    assert_eq!(sent(&world), expect(&[("2.1", Code::Expired), ("5.0", Code::GivenUp), ("6.0", Code::GivenUp)]));
}

#[test]
fn what_has_expired_is_told_once_when_the_rest_fails() {
    let world = stream(&plain(5, 4));
    world.store(|s| s.unlisted = true);
    recover(&world, 3, 6).unwrap_err();
    world.store(|s| s.unlisted = false);
    recover(&world, 3, 6).unwrap();
    assert_eq!(sent(&world), expect(&[("3.0", Code::Expired), ("5.0", Code::GivenUp), ("6.0", Code::GivenUp)]));
}

#[test]
fn what_a_run_settled_behind_the_event_that_held_it_up_is_no_second_letter() {
    let events = [
        ("k", "a", "retry"),
        ("l", "b", "ok"),
        ("m", "c", "refuse"),
        ("n", "b", "ok"),
        ("k", "d", "ok"),
        ("l", "e", "ok"),
    ];
    for goes_on in [false, true] {
        let world = stream(&batch(1, &events));
        settle(&settler(&world), &batch(1, &events[..5])).unwrap();
        assert_eq!(sent(&world), expect(&[("3.0", Code::Refused)]));
        if goes_on {
            // its position is behind the range, which says nothing about it
            let settled = settle(&settler(&world), &batch(6, &events[5..])).unwrap();
            assert_eq!(settled.counts.handled, 1);
        }
        let recovered = recover(&world, 1, 5).unwrap();
        assert_eq!((recovered.letters, recovered.settled), (2, 3), "goes on: {goes_on}");
        assert_eq!(sent(&world)[1..], expect(&[("1.0", Code::GivenUp), ("5.0", Code::GivenUp)]));
    }
}

#[test]
fn what_is_below_a_position_inside_the_range_is_settled() {
    let events = [("k", "a", "refuse"), ("l", "b", "ok"), ("m", "c", "retry")];
    let world = stream(&batch(1, &events));
    settle(&settler(&world), &batch(1, &events)).unwrap();
    // the segments may have expired
    world.store(|s| s.segments.clear());
    let recovered = recover(&world, 1, 3).unwrap();
    assert_eq!((recovered.letters, recovered.settled), (1, 2));
}

#[test]
fn copies_of_what_was_handled_before_the_range_on_a_parent_or_redriven_are_no_letters() {
    let name = |id: &str| Fingerprinter::new("test").event(&batch_event(id));
    let parent = ShardId::new("shardId-parent");
    let world = stream(&batch(1, &[("k", "a", "ok"), ("k", "b", "ok"), ("k", "c", "ok"), ("k", "d", "ok")]));
    let segment = |handled: Vec<Fingerprint>| Segment {
        epoch: 1,
        part: 0,
        at: Timestamp(0),
        arrival: Timestamp(0),
        through: Position::start(),
        handled,
        ahead: Vec::new(),
        top: Position::start(),
        counts: Counts::default(),
    };
    world.store(|s| {
        s.parents = vec![parent.clone()];
        s.segments.insert(parent, vec![segment(vec![name("a")])]);
        s.segments.insert(ShardId::new(SHARD), vec![segment(vec![name("b")])]);
        s.redriven.push(Redriven { id: "r".to_owned(), at: Timestamp(600), handled: vec![name("c")], last: vec![] });
        s.progress.insert(ShardId::new(SHARD), (Begun { epoch: 1, redriven: 1, ..Begun::nothing() }, None));
    });
    let recovered = recover(&world, 1, 4).unwrap();
    assert_eq!((recovered.letters, recovered.settled), (1, 3));
    assert_eq!(sent(&world), expect(&[("4.0", Code::GivenUp)]));
}

#[test]
fn the_events_of_one_record_are_judged_one_by_one() {
    let events = [("k", "a", "retry"), ("l", "b", "ok")];
    let keys = events.map(|(key, ..)| PartitionKey::new(key).unwrap());
    let mut packed = batch(1, &events);
    let data: Vec<_> = packed.records.iter().map(|record| record.data.clone()).collect();
    packed.records.truncate(1);
    packed.records[0].data = aggregate::encode(keys.iter().zip(&data).map(|(key, data)| (key, &data[..])));
    let world = stream(&packed);
    settle(&settler(&world), &packed).unwrap();
    assert_eq!(handled(&world), ["b"]);
    assert_eq!(recover(&world, 1, 1).unwrap().letters, 1);
    assert_eq!(sent(&world), expect(&[("1.0", Code::GivenUp)]));
}
