//! What becomes of batches that are not settled: retries, bisecting, throttling, giving up.

use std::time::Duration;

use penstock::time::Timestamp;

use super::*;
use crate::given_up::Condition;

#[test]
fn partial_failure_resumes_at_the_reported_sequence_number() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=8), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2, 3, 4]);
    machine.on_invocation(&reporting(3), NOW, 0);
    assert_eq!(machine.settled_to(), Some(&sequence(2)));
    assert_eq!(invoked(&mut machine, later(NOW)), [3, 4]);
}

#[test]
fn a_function_error_retries_the_whole_batch() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=8), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2, 3, 4]);
    machine.on_invocation(&failure(), NOW, 0);
    assert_eq!(machine.settled_to(), None);
    assert_eq!(invoked(&mut machine, later(NOW)), [1, 2, 3, 4]);
}

#[test]
fn retries_wait_longer_and_longer_up_to_the_bound() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=1), false, NOW);
    let (mut now, mut waits) = (NOW, Vec::new());
    for _ in 0..9 {
        assert_eq!(invoked(&mut machine, now), [1]);
        machine.on_invocation(&failure(), now, 0);
        let Next::WaitUntil(until) = machine.next(now) else { panic!("a retry waits") };
        waits.push(until.since(now).as_millis());
        now = until;
    }
    assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2500, 2500, 2500]);
}

#[test]
fn retries_are_given_up_after_the_maximum_and_the_shard_goes_on() {
    let mut machine = machine(Settings { maximum_retry_attempts: Some(2), ..settings() });
    feed(&mut machine, records(1..=5), false, NOW);
    let mut now = NOW;
    for _ in 0..3 {
        assert_eq!(invoked(&mut machine, now), [1, 2, 3, 4]);
        machine.on_invocation(&failure(), now, 0);
        now = later(now);
    }
    let given_up = given_up(&mut machine, now);
    assert_eq!(given_up.condition, Condition::RetryAttemptsExhausted);
    assert_eq!((given_up.records.len(), given_up.invocations, given_up.function_error), (4, 3, Some(true)));
    assert_eq!(machine.settled_to(), None, "a crash before the notice is out must not lose it");
    machine.on_given_up();
    assert_eq!(machine.settled_to(), Some(&sequence(4)));
    assert_eq!(invoked(&mut machine, now), [5]);
    let status = machine.status(now);
    assert_eq!((status.given_up, status.settled, status.in_flight), (4, 0, 1));
}

#[test]
fn without_a_maximum_retries_go_on_for_ever() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=1), false, NOW);
    let mut now = NOW;
    for _ in 0..1000 {
        assert_eq!(invoked(&mut machine, now), [1]);
        machine.on_invocation(&failure(), now, 0);
        now = later(now);
    }
}

#[test]
fn progress_without_bisecting_uses_retries_all_the_same() {
    let mut machine = machine(Settings { maximum_retry_attempts: Some(1), ..settings() });
    feed(&mut machine, records(1..=4), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2, 3, 4]);
    machine.on_invocation(&reporting(2), NOW, 0);
    assert_eq!(invoked(&mut machine, later(NOW)), [2, 3, 4]);
    machine.on_invocation(&reporting(3), later(NOW), 0);
    let given_up = given_up(&mut machine, later(NOW));
    assert_eq!((given_up.records.len(), given_up.function_error), (2, Some(false)));
}

#[test]
fn throttled_invocations_use_no_retries() {
    let mut machine = machine(Settings { maximum_retry_attempts: Some(0), ..settings() });
    feed(&mut machine, records(1..=1), false, NOW);
    let mut now = NOW;
    for _ in 0..20 {
        assert_eq!(invoked(&mut machine, now), [1]);
        machine.on_invocation(&Invocation::Throttled, now, 0);
        assert!(matches!(machine.next(now), Next::WaitUntil(_)), "a throttled function is not hammered");
        now = later(now);
    }
    assert_eq!(invoked(&mut machine, now), [1]);
    machine.on_invocation(&failure(), now, 0);
    assert_eq!(given_up(&mut machine, now).invocations, 1, "the function ran once");
}

#[test]
fn bisecting_isolates_the_bad_record_and_uses_no_retries() {
    let bisect = Settings { bisect_batch_on_function_error: true, maximum_retry_attempts: Some(1), ..settings() };
    let mut machine = machine(bisect);
    feed(&mut machine, records(1..=4), false, NOW);
    let mut now = NOW;
    let mut seen = Vec::new();
    loop {
        match machine.next(now) {
            Next::Do(Action::Invoke(batch)) => {
                let numbers: Vec<_> = batch.iter().map(|record| record.sequence.clone()).collect();
                let outcome = if numbers.contains(&sequence(2)) { failure() } else { success() };
                seen.push(numbers.len());
                machine.on_invocation(&outcome, now, 0);
            }
            Next::Do(Action::GiveUp(given_up)) => {
                assert_eq!(given_up.records.len(), 1);
                assert_eq!(given_up.records[0].sequence, sequence(2));
                machine.on_given_up();
            }
            Next::WaitUntil(until) => now = until,
            Next::Do(Action::Fetch { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    // 1-4 fails, 1-2 fails, 1, then 2 and its one retry, then 3-4
    assert_eq!(seen, [4, 2, 1, 1, 1, 2]);
    assert_eq!(machine.status(now).settled, 3);
}

#[test]
fn with_a_report_the_batch_is_bisected_at_the_reported_record() {
    let bisect = Settings { bisect_batch_on_function_error: true, maximum_retry_attempts: Some(0), ..settings() };
    let mut machine = machine(bisect);
    feed(&mut machine, records(1..=4), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2, 3, 4]);
    machine.on_invocation(&reporting(2), NOW, 0);
    assert_eq!(machine.settled_to(), Some(&sequence(1)));
    assert_eq!(invoked(&mut machine, later(NOW)), [2, 3, 4], "no retry was used: none is left");
}

#[test]
fn a_report_of_the_first_record_bisects_in_the_middle() {
    let mut machine = machine(Settings { bisect_batch_on_function_error: true, ..settings() });
    feed(&mut machine, records(1..=4), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2, 3, 4]);
    machine.on_invocation(&reporting(1), NOW, 0);
    assert_eq!(invoked(&mut machine, later(NOW)), [1, 2]);
    machine.on_invocation(&success(), later(NOW), 0);
    assert_eq!(invoked(&mut machine, later(NOW)), [3, 4], "the second half has failed by itself never");
}

#[test]
fn a_record_that_is_too_old_is_given_up_without_a_run() {
    let mut machine = machine(Settings { maximum_record_age: Some(Duration::from_secs(60)), ..settings() });
    // record 2 is 60 s old and not older, record 1 is
    let now = Timestamp(62_000);
    feed(&mut machine, records(1..=3), false, now);
    let given_up = given_up(&mut machine, now);
    assert_eq!(given_up.condition, Condition::RecordAgeExceeded);
    assert_eq!((given_up.records.len(), given_up.invocations, given_up.function_error), (1, 0, None));
    machine.on_given_up();
    assert_eq!(machine.settled_to(), Some(&sequence(1)));
    assert_eq!(invoked(&mut machine, now), [2, 3]);
}

#[test]
fn a_record_that_becomes_too_old_between_retries_is_given_up_before_the_next() {
    let mut machine = machine(Settings { maximum_record_age: Some(Duration::from_secs(60)), ..settings() });
    feed(&mut machine, records(1..=2), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2]);
    machine.on_invocation(&failure(), NOW, 0);
    let too_old = Timestamp(63_000);
    let given_up = given_up(&mut machine, too_old);
    assert_eq!((given_up.condition, given_up.records.len()), (Condition::RecordAgeExceeded, 2));
    assert_eq!((given_up.invocations, given_up.function_error), (1, Some(true)));
}

#[test]
fn the_status_says_what_failed_last() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=1), false, NOW);
    invoked(&mut machine, NOW);
    machine.on_invocation(&failure(), NOW, 0);
    let status = machine.status(NOW);
    assert_eq!((status.retries, status.last_failure.as_deref()), (1, Some("Error: no")));
}
