use super::*;

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
            _ => Ok(state.unwrap_or_default() + event.id()),
        }
    }
}

pub(super) fn projecting(world: &World) -> Settler<Projecting<Join, World>, World> {
    let work = Projecting::new(Join, world.clone());
    Settler::new(Settings::new("g", "stream"), Fingerprinter::new("test"), work, world.clone())
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
