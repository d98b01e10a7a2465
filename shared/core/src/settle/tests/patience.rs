//! How long an event that fails is tried, and what goes on beside it.

use super::*;

fn patient(world: &World) -> Settler<Handling<Obedient>, World> {
    let work = Handling(Obedient(world.clone()));
    Settler::new(Settings::new("g", "stream"), Fingerprinter::new("test"), work, world.clone())
}

/// Hands a batch out until it is settled, as the event source does. How often that was.
fn settle_all(settler: &Settler<Handling<Obedient>, World>, events: &[(&str, &str, &str)]) -> usize {
    for runs in 1..100 {
        if settle(settler, &batch(1, events)).is_ok_and(|settled| settled.resume_at.is_none()) {
            return runs;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_downstream_that_is_away_for_half_a_minute_costs_no_letter_and_few_runs() {
    let world = World::default();
    world.store(|s| s.away_until = 30_000);
    let runs = settle_all(&patient(&world), &[("k", "a", "away"), ("k", "b", "ok"), ("l", "c", "ok")]);
    assert_eq!(letters(&world), []);
    assert_eq!(handled(&world), ["c", "a", "b"]);
    assert!(runs <= 5, "{runs} runs");
    let took = world.store(|s| s.now);
    assert!((30_000..35_000).contains(&took), "{took} ms");
}

#[test]
fn what_never_works_is_a_letter_when_patience_is_over_whatever_process_it_comes_to() {
    let world = World::default();
    let events = [("k", "a", "retry"), ("k", "b", "ok")];
    // each run in a process of its own: what is known is in the progress
    while settle(&patient(&world), &batch(1, &events)).unwrap().resume_at.is_some() {}
    assert_eq!(letters(&world), [("1.0".to_owned(), Code::RetriesExhausted)]);
    let (attempts, now) = world.store(|s| (s.letters[0].attempts, s.now));
    assert_eq!((attempts, now), (7, 60_000));
    assert_eq!(handled(&world), ["b"]);
}

#[test]
fn what_came_meanwhile_is_handled_before_a_run_waits() {
    let world = World::default();
    let settler = patient(&world);
    let first = settle(&settler, &batch(1, &[("k", "a", "retry")])).unwrap();
    assert_eq!(resume(&first), Some("1"));
    let waited = world.store(|s| s.now);
    assert_eq!(waited, 7000, "tries after 1, 2 and 4 seconds; the next is too far");
    world.store(|s| s.crash_at = Some(Step::Letter));
    let second = settle(&settler, &batch(1, &[("k", "a", "retry"), ("l", "b", "ok"), ("k", "c", "ok")])).unwrap();
    assert_eq!((resume(&second), second.counts.handled), (Some("1"), 1));
    assert_eq!(world.store(|s| s.now), 15_000);
}

#[test]
fn what_was_settled_before_a_wait_is_recorded_before_it() {
    let world = World::default();
    world.store(|s| s.away_until = 2500);
    let events = [("k", "a", "away"), ("l", "b", "ok")];
    // the process dies while it waits: its clock never wakes it
    let frozen = Settler::new(
        Settings::new("g", "stream"),
        Fingerprinter::new("test"),
        Handling(Obedient(world.clone())),
        Frozen(world.clone()),
    );
    assert!(frozen.settle(&batch(1, &events), Timestamp(30_000)).now_or_never().is_none());
    settle_all(&patient(&world), &events);
    assert_eq!(handled(&world), ["b", "a"], "b once");
}

#[test]
fn a_crash_after_what_a_waiting_run_has_kept_still_counts() {
    let world = World::default();
    let events = [("k", "a", "retry"), ("l", "b", "ok")];
    let frozen = || {
        Settler::new(
            Settings::new("g", "stream"),
            Fingerprinter::new("test"),
            Handling(Obedient(world.clone())),
            Frozen(world.clone()),
        )
    };
    for attempts in 1..=2 {
        assert!(frozen().settle(&batch(1, &events), Timestamp(30_000)).now_or_never().is_none());
        assert_eq!(world.store(|s| s.progress[&ShardId::new(SHARD)].0.attempts), attempts);
    }
    assert!(settle(&patient(&world), &batch(1, &events)).unwrap().isolated);
}

#[test]
fn a_group_that_gets_nowhere_answers_later_each_time() {
    let world = World::default();
    let keys: Vec<String> = (0..12).map(|n| format!("k{n}")).collect();
    let events: Vec<_> = keys.iter().map(|key| (key.as_str(), key.as_str(), "retry")).collect();
    let settler = patient(&world);
    let took = |_| {
        let before = world.store(|s| s.now);
        assert!(settle(&settler, &batch(1, &events)).unwrap().outage);
        world.store(|s| s.now) - before
    };
    assert_eq!((0..5).map(took).collect::<Vec<_>>(), [1000, 2000, 4000, 8000, 10_000]);
}

#[test]
fn a_key_that_waits_for_its_next_try_is_one_of_those_that_fail() {
    let world = World::default();
    let settler = patient(&world);
    assert!(!settle(&settler, &batch(1, &[("k0", "k0", "retry")])).unwrap().outage);
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let events: Vec<_> = keys.iter().map(|key| (key.as_str(), key.as_str(), "retry")).collect();
    // nine are tried, and the tenth failed a moment ago
    assert!(settle(&settler, &batch(1, &events)).unwrap().outage);
    let failures = world.store(|s| s.progress[&ShardId::new(SHARD)].0.failures.len());
    assert_eq!(failures, 1, "nothing is counted against the others");
}

#[test]
fn an_event_that_kills_its_process_is_found_behind_one_that_asks_for_a_retry() {
    let world = World::default();
    let events = [("k", "a", "retry"), ("k", "b", "ok"), ("l", "c", "hang"), ("m", "d", "ok")];
    let runs = (0..10).find_map(|runs| {
        let settled = dying(&world).settle(&batch(1, &events), Timestamp(30_000)).now_or_never()?.unwrap();
        assert_eq!((settled.isolated, settled.unsettled), (true, 2));
        Some(runs)
    });
    assert_eq!(runs, Some(5), "two, and three that suspected it");
    assert_eq!(letters(&world), [("3.0".to_owned(), Code::Crashed)]);
    assert_eq!(handled(&world), ["d"; 3], "beside it in the two, and at last");
    let failures = world.store(|s| s.progress[&ShardId::new(SHARD)].0.failures.clone());
    assert_eq!(failures.values().map(|failing| failing.attempts).collect::<Vec<_>>(), [1]);
}
