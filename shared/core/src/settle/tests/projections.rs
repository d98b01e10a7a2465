use super::*;
use crate::hash::{HashKey, HashRange};
use crate::packing::aggregate;

/// Joins the ids it sees; refuses what says `refuse`.
pub(super) struct Join;

impl Projection for Join {
    type State = String;
    fn concerns(&self, event: &Event) -> bool {
        event.data_as::<String>().is_ok_and(|told| told != "other")
    }
    fn fold(&self, state: Option<String>, event: &Event) -> Result<String, Refusal> {
        match event.data_as::<String>()?.as_str() {
            "refuse" => Err(Refusal::new("illegal")),
            "cut" => Ok(event.id().to_owned()),
            _ => Ok(state.unwrap_or_default() + event.id()),
        }
    }
}

pub(super) fn projecting(world: &World) -> Settler<Projecting<Join, World>, World> {
    let work = Projecting::new(Join, world.clone(), 1 << 20);
    Settler::new(impatient(), Fingerprinter::new("test"), work, world.clone())
}

pub(super) fn state(world: &World, key: &str) -> Option<String> {
    world.store(|s| s.states[&PartitionKey::new(key).unwrap()].state.clone())
}

#[test]
fn what_a_projection_refused_stays_refused_when_its_run_dies_after_a_second_write_of_the_key() {
    let world = World::default();
    // the duplicate in the middle makes two writes of one lane
    let events = batch(1, &[("k", "a", "ok"), ("k", "x", "refuse"), ("k", "a", "ok"), ("k", "b", "ok")]);
    world.store(|s| s.crash_at = Some(Step::Record));
    assert!(settle(&projecting(&world), &events).is_err());
    let settled = settle(&projecting(&world), &events).unwrap();
    assert_eq!(settled.counts, Counts { handled: 2, duplicates: 1, dead_letters: 1, foreign: 0 });
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::Refused)]);
}

#[test]
fn a_projection_applies_each_event_once_wherever_its_run_dies() {
    for crash in [None, Some(Step::Letter), Some(Step::Record), Some(Step::Commit)] {
        let world = World::default();
        world.store(|s| s.crash_at = crash);
        let events =
            batch(1, &[("k", "a", "ok"), ("k", "x", "refuse"), ("k", "b", "ok"), ("k", "a", "ok"), ("l", "c", "ok")]);
        while !settle(&projecting(&world), &events).is_ok_and(|settled| settled.resume_at.is_none()) {}
        assert_eq!(state(&world, "k").as_deref(), Some("\"ab\""), "crash at {crash:?}");
        assert_eq!(state(&world, "l").as_deref(), Some("\"c\""));
        assert_eq!(letters(&world), [("2.0".to_owned(), Code::Refused)]);
        let counts = world.store(|s| {
            s.segments.values().flatten().fold(Counts::default(), |mut sum, segment| {
                sum += segment.counts;
                sum
            })
        });
        assert_eq!(counts, Counts { handled: 3, duplicates: 1, dead_letters: 1, foreign: 0 }, "crash at {crash:?}");
    }
}

#[test]
fn a_projection_settles_what_does_not_concern_it_and_stores_nothing_for_it() {
    let world = World::default();
    let events = batch(1, &[("k", "a", "other"), ("l", "b", "other"), ("l", "c", "ok"), ("l", "d", "other")]);
    let settled = settle(&projecting(&world), &events).unwrap();
    assert_eq!((settled.counts.handled, resume(&settled)), (4, None));
    assert_eq!(state(&world, "l").as_deref(), Some("\"c\""));
    assert_eq!(world.store(|s| s.states.len()), 1);
}

#[test]
fn a_state_that_cannot_be_written_keeps_no_other_key_of_the_call_back() {
    let world = World::default();
    let events = batch(1, &[("k", "a", "ok"), ("l", "b", "ok"), ("m", "c", "ok")]);
    world.store(|s| s.unwritable = Some(PartitionKey::new("l").unwrap()));
    let settled = settle(&projecting(&world), &events).unwrap();
    assert_eq!((settled.counts.handled, resume(&settled)), (2, Some("2")));
    world.store(|s| s.unwritable = None);
    assert_eq!(settle(&projecting(&world), &events).unwrap().counts.handled, 1);
    let states = ["k", "l", "m"].map(|key| state(&world, key).unwrap());
    assert_eq!(states, ["\"a\"", "\"b\"", "\"c\""]);
}

#[test]
fn a_remembered_state_is_not_read_again_and_one_that_is_out_of_date_does_no_harm() {
    let world = World::default();
    let (here, there) = (projecting(&world), projecting(&world));
    assert_eq!(settle(&here, &batch(1, &[("k", "a", "ok")])).unwrap().counts.handled, 1);
    let read = world.store(|s| s.states_read);
    assert_eq!(settle(&here, &batch(2, &[("k", "b", "ok")])).unwrap().counts.handled, 1);
    assert_eq!(world.store(|s| s.states_read), read, "it was remembered");
    // another process goes on, and this one takes the shard back
    assert_eq!(settle(&there, &batch(3, &[("k", "c", "cut")])).unwrap().counts.handled, 1);
    let events = batch(4, &[("k", "x", "refuse"), ("k", "d", "ok")]);
    let settled = settle(&here, &events).unwrap();
    assert_eq!((settled.counts.handled, settled.counts.dead_letters), (1, 1));
    assert_eq!(state(&world, "k").as_deref(), Some("\"cd\""));
    assert_eq!(letters(&world), [("4.0".to_owned(), Code::Refused)]);
}

/// An event is given up by the event source, a later one of its key is applied by a run that dies.
fn gone_past() -> World {
    let world = World::default();
    world.store(|s| s.crash_at = Some(Step::Record));
    assert!(settle(&projecting(&world), &batch(5, &[("k", "c", "ok")])).is_err());
    assert_eq!(state(&world, "k").as_deref(), Some("\"c\""));
    world
}

#[test]
fn what_the_event_source_has_gone_on_past_does_not_pass_for_applied() {
    let world = gone_past();
    world.store(|s| s.usurp_at_load = true);
    let lost = settle(&projecting(&world), &batch(2, &[("k", "a", "ok"), ("k", "b", "ok")]));
    assert!(matches!(lost, Err(Error::Fenced(_))));
    assert_eq!((world.store(|s| s.segments.len()), letters(&world)), (0, vec![]));
}

#[test]
fn what_the_event_source_had_gone_on_past_and_comes_again_is_a_dead_letter() {
    let world = gone_past();
    let settled = settle(&projecting(&world), &batch(2, &[("k", "a", "ok"), ("l", "b", "ok")])).unwrap();
    assert_eq!((settled.counts.handled, settled.counts.dead_letters, resume(&settled)), (1, 1, None));
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::GivenUp)]);
    let segments = world.store(|s| s.segments.clone());
    assert!(segments.values().flatten().all(|segment| segment.handled.len() == 1), "its letter can be redriven");
}

/// Legal steps of an order among so many refused ones, in one lane.
fn mostly_refused(refused: usize) -> ShardBatch {
    let told = |n: usize| if n.is_multiple_of(refused / 4 + 1) { "ok" } else { "refuse" };
    let ids: Vec<String> = (0..refused + 4).map(|n| format!("{n},")).collect();
    let events: Vec<_> = ids.iter().enumerate().map(|(n, id)| ("k", id.as_str(), told(n))).collect();
    batch(1, &events)
}

/// Runs until all is settled; how many it took.
fn runs(settler: &Settler<Projecting<Join, World>, World>, events: &ShardBatch) -> usize {
    let settled = |_: &usize| resume(&settle(settler, events).unwrap()).is_none();
    (1..=100).find(settled).expect("it comes to an end")
}

#[test]
fn five_thousand_refusals_of_one_key_are_a_letter_each_and_its_own_steps_are_applied() {
    let world = World::default();
    assert_eq!(runs(&projecting(&world), &mostly_refused(5000)), 2);
    assert_eq!(state(&world, "k").as_deref(), Some("\"0,1251,2502,3753,\""));
    assert_eq!(letters(&world).len(), 5000);
    assert!(letters(&world).is_sorted_by_key(|(position, _)| position.parse::<Position>().unwrap()));
}

#[test]
fn a_lane_that_time_ends_is_settled_as_far_as_it_came() {
    let world = World::default();
    world.store(|s| s.letter_takes = 5);
    let mut settler = projecting(&world);
    settler.settings.item.refused = 100_000;
    // a minute of letters, in runs of 30 s
    assert_eq!(runs(&settler, &mostly_refused(12_000)), 3);
    assert_eq!(state(&world, "k").as_deref(), Some("\"0,3001,6002,9003,\""));
    assert_eq!(letters(&world).len(), 12_000);
}

#[test]
fn a_letter_that_cannot_be_sent_ends_a_lane_there_and_none_before_it_is_sent_again() {
    let world = World::default();
    let events = batch(
        1,
        &[("k", "a", "ok"), ("k", "b", "refuse"), ("k", "c", "ok"), ("k", "d", "garbled"), ("k", "e", "refuse")],
    );
    let settler = projecting(&world);
    world.store(|s| (s.letter_takes, s.now) = (1, 0));
    // the second letter fails
    world.store(|s| s.crash_letter = Some(2));
    assert_eq!(resume(&settle(&settler, &events).unwrap()), Some("5"));
    assert_eq!(state(&world, "k").as_deref(), Some("\"acd\""));
    assert_eq!(resume(&settle(&settler, &events).unwrap()), None);
    let places: Vec<_> = letters(&world).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["2.0", "5.0"]);
}

#[test]
fn the_event_that_makes_a_state_too_large_is_the_one_that_is_blamed() {
    let world = World::default();
    let mut settler = projecting(&world);
    settler.settings.item.state_bytes = 8;
    let long = "123456";
    let events = [("k", "a", "ok"), ("k", "b", "ok"), ("k", long, "ok"), ("k", "c", "refuse"), ("k", "d", "ok")];
    let settled = settle(&settler, &batch(1, &events)).unwrap();
    assert_eq!((settled.counts.handled, settled.counts.dead_letters, resume(&settled)), (3, 2, None));
    assert_eq!(state(&world, "k").as_deref(), Some("\"abd\""));
    assert_eq!(letters(&world), [("3.0".to_owned(), Code::StateTooLarge), ("4.0".to_owned(), Code::Refused)]);
    let reason = world.store(|s| s.letters[0].reason.clone());
    assert_eq!(reason, "the state of its key would take 10 bytes with it; at most 8 fit");
}

#[test]
fn a_lane_waits_for_a_commit_when_its_item_has_no_room_for_more_refusals() {
    let world = World::default();
    let mut settler = projecting(&world);
    settler.settings.item.refused = 3;
    assert_eq!(runs(&settler, &mostly_refused(8)), 3);
    assert_eq!(letters(&world).len(), 8);
    assert!(world.store(|s| s.states.values().all(|state| state.refused.len() <= 3)));
}

/// Another producer's aggregate is on a shard that does not hold its key, and later events of the key were applied on
/// their own: positions say nothing of it.
#[test]
fn a_stray_is_applied_once_whatever_its_key_has_applied_elsewhere() {
    let world = World::default();
    settle(&projecting(&world), &batch(100, &[("k", "a", "ok"), ("k", "b", "ok")])).unwrap();

    let mut elsewhere = batch(5, &[("k", "c", "ok")]);
    elsewhere.shard = ShardId::new("shardId-000000000001");
    let body = elsewhere.records[0].data.clone();
    let length = |n: usize| u8::try_from(n).unwrap();
    let user = [&[0x1a, length(body.len() + 4), 0x08, 0, 0x1a, length(body.len())], &body[..]].concat();
    elsewhere.records[0].data = aggregate::frame(&[&[0x0a, 1, b'k'], &user[..]].concat());
    world.store(|s| s.range = Some(HashRange { start: HashKey(0), end: HashKey(1) }));

    world.store(|s| s.crash_at = Some(Step::Record));
    assert!(settle(&projecting(&world), &elsewhere).is_err());
    let settled = settle(&projecting(&world), &elsewhere).unwrap();
    assert_eq!((settled.counts.handled, resume(&settled)), (1, None));
    assert_eq!(state(&world, "k").as_deref(), Some("\"abc\""));
    let applied = world.store(|s| s.states.values().next().unwrap().applied.to_string());
    assert_eq!(applied, "101.0", "its own shard's order goes on");
}

#[test]
fn a_state_that_is_too_large_already_may_become_smaller_and_a_lane_that_stops_says_so() {
    let world = World::default();
    settle(&projecting(&world), &batch(1, &[("k", "a-long-id", "ok")])).unwrap();
    let mut settler = projecting(&world);
    settler.settings.item.state_bytes = 4;
    settler.settings.item.refused = 1;
    // each is refused, and there is room for one in a run
    let events = batch(2, &[("k", "b", "ok"), ("k", "c", "ok")]);
    assert_eq!(resume(&settle(&settler, &events).unwrap()), Some("3"));
    assert_eq!(resume(&settle(&settler, &events).unwrap()), None);
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::StateTooLarge), ("3.0".to_owned(), Code::StateTooLarge)]);
    settle(&settler, &batch(4, &[("k", "shorter", "cut")])).unwrap();
    assert_eq!(state(&world, "k").as_deref(), Some("\"shorter\""));
}
