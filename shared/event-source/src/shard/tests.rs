//! The rules of one shard, one test each. Sequence numbers are 1001, 1002, ...; record `n` arrived at `n` seconds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use penstock::ShardId;
use penstock::time::Timestamp;

use super::*;
use crate::event::PAYLOAD_MAX;
use crate::settings::{Pacing, StartingPosition};

fn settings() -> Settings {
    Settings { batch_size: 4, report_batch_item_failures: true, ..Settings::default() }
}

fn source() -> Arc<EventSource> {
    Arc::new(EventSource { stream_arn: "stream".into(), region: "region".into(), role_arn: "role".into() })
}

fn machine(settings: Settings) -> ShardMachine {
    ShardMachine::new(ShardId::new("shardId-000000000000"), ReadFrom::TrimHorizon, Arc::new(settings), source())
}

fn sequence(n: u64) -> SequenceNumber {
    (1000 + n).to_string().parse().unwrap()
}

fn sized(n: u64, bytes: usize) -> Record {
    Record {
        sequence: sequence(n),
        partition_key: "key".into(),
        data: vec![0; bytes].into(),
        arrival: Timestamp(n * 1000),
    }
}

fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    numbers.map(|n| sized(n, 10)).collect()
}

mod failures;

/// Time zero of most tests: every record has arrived.
const NOW: Timestamp = Timestamp(20_000);

fn feed(machine: &mut ShardMachine, records: Vec<Record>, at_end: bool, now: Timestamp) {
    assert!(matches!(machine.next(now), Next::Do(Action::Fetch { .. })), "the shard wants to read");
    machine.on_records(records, at_end, now);
}

/// The batch that is to be invoked, by the numbers of its records.
fn invoked(machine: &mut ShardMachine, now: Timestamp) -> Vec<u64> {
    match machine.next(now) {
        Next::Do(Action::Invoke(records)) => {
            records.iter().map(|record| record.sequence.as_str().parse::<u64>().unwrap() - 1000).collect()
        }
        other => panic!("not an invocation: {other:?}"),
    }
}

fn given_up(machine: &mut ShardMachine, now: Timestamp) -> GivenUp {
    match machine.next(now) {
        Next::Do(Action::GiveUp(given_up)) => given_up,
        other => panic!("nothing is given up: {other:?}"),
    }
}

fn success() -> Invocation {
    Invocation::Returned(Bytes::from_static(b"{}"))
}

fn failure() -> Invocation {
    Invocation::Failed { error_type: "Error".into(), message: "no".into() }
}

fn reporting(n: u64) -> Invocation {
    let body = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#, sequence(n));
    Invocation::Returned(body.into())
}

/// Past any wait.
fn later(now: Timestamp) -> Timestamp {
    now.plus(Duration::from_secs(5))
}

#[test]
fn a_batch_holds_at_most_batch_size_records() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=10), false, NOW);
    for batch in [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]] {
        assert_eq!(invoked(&mut machine, NOW), batch);
        machine.on_invocation(&success(), NOW, 0);
    }
    assert_eq!(machine.settled_to(), Some(&sequence(10)));
}

#[test]
fn one_invocation_is_under_way_at_a_time() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=10), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2, 3, 4]);
    assert_eq!(machine.next(NOW), Next::Busy);
    assert_eq!(machine.next(later(NOW)), Next::Busy);
}

#[test]
fn without_a_window_a_batch_is_what_one_read_gave() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=1), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1]);
}

#[test]
fn the_batching_window_gathers_until_it_is_over() {
    let window = Duration::from_secs(10);
    let mut machine = machine(Settings { batching_window: window, ..settings() });
    feed(&mut machine, records(1..=1), false, NOW);
    let midway = NOW.plus(window / 2);
    feed(&mut machine, records(2..=2), false, midway);
    feed(&mut machine, Vec::new(), false, midway);
    let Next::WaitUntil(poll) = machine.next(midway) else { panic!("nothing to read at once") };
    assert!(poll <= midway.plus(Duration::from_millis(50)), "reading goes on in the window");
    feed(&mut machine, Vec::new(), false, NOW.plus(window).minus(Duration::from_millis(1)));
    assert_eq!(invoked(&mut machine, NOW.plus(window)), [1, 2]);
}

/// Reads that find nothing until the shard waits as long as it ever does.
fn idle(machine: &mut ShardMachine, mut now: Timestamp) -> Timestamp {
    for _ in 0..10 {
        feed(machine, Vec::new(), false, now);
        let Next::WaitUntil(until) = machine.next(now) else { panic!("it waits") };
        now = until;
    }
    feed(machine, Vec::new(), false, now);
    now
}

#[test]
fn an_idle_shard_that_is_woken_is_read_at_once_and_the_reads_behind_it_are_as_after_records() {
    let pacing = Pacing { idle_poll_max: Duration::from_secs(1), ..Pacing::default() };
    let mut machine = machine(Settings { pacing, ..settings() });
    let read = idle(&mut machine, NOW);
    assert_eq!(machine.next(read), Next::WaitUntil(read.plus(pacing.idle_poll_max)));
    machine.wake();
    let soon = read.plus(pacing.idle_poll_min);
    assert_eq!(machine.next(read), Next::WaitUntil(soon), "many who wake it do not make it read more often");
    feed(&mut machine, Vec::new(), false, soon);
    assert_eq!(machine.next(soon), Next::WaitUntil(soon.plus(pacing.idle_poll_min)));
}

#[test]
fn a_shard_that_is_woken_during_a_read_that_finds_nothing_is_soon_read_again() {
    let pacing = Pacing { idle_poll_max: Duration::from_secs(1), ..Pacing::default() };
    let mut machine = machine(Settings { pacing, ..settings() });
    let now = later(idle(&mut machine, NOW));
    assert!(matches!(machine.next(now), Next::Do(Action::Fetch { .. })));
    machine.wake();
    machine.on_records(Vec::new(), false, now);
    assert_eq!(machine.next(now), Next::WaitUntil(now.plus(pacing.idle_poll_min)));
}

#[test]
fn a_shard_that_cannot_be_read_is_not_woken() {
    let mut machine = machine(settings());
    assert!(matches!(machine.next(NOW), Next::Do(Action::Fetch { .. })));
    machine.on_read_failed(NOW, u64::MAX);
    let Next::WaitUntil(until) = machine.next(NOW) else { panic!("it backs off") };
    machine.wake();
    assert_eq!(machine.next(NOW), Next::WaitUntil(until));
}

#[test]
fn a_full_batch_does_not_wait_for_the_window() {
    let mut machine = machine(Settings { batching_window: Duration::from_secs(300), ..settings() });
    feed(&mut machine, records(1..=5), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2, 3, 4]);
    machine.on_invocation(&success(), NOW, 0);
    assert!(matches!(machine.next(NOW), Next::Do(Action::Fetch { .. })), "the fifth waits for more");
}

#[test]
fn a_batch_ends_where_the_next_record_would_pass_6_mb_with_its_base64() {
    let mut machine = machine(Settings { batch_size: 100, batching_window: Duration::from_secs(300), ..settings() });
    // 1 MB is 1.34 MB in base64: four fit, five do not
    feed(&mut machine, (1..=9).map(|n| sized(n, 1_000_000)).collect(), false, NOW);
    for batch in [vec![1, 2, 3, 4], vec![5, 6, 7, 8]] {
        let Next::Do(Action::Invoke(records)) = machine.next(NOW) else { panic!("6 MB are there") };
        let payload = source().payload(&ShardId::new("shardId-000000000000"), &records);
        assert!(payload.len() <= PAYLOAD_MAX);
        assert_eq!(records.len(), batch.len());
        machine.on_invocation(&success(), NOW, 0);
    }
    assert!(matches!(machine.next(NOW), Next::Do(Action::Fetch { .. })), "the ninth alone is not 6 MB");
}

#[test]
fn the_6_mb_cut_is_exact_to_the_byte() {
    let shard = ShardId::new("shardId-000000000000");
    let frame = source().payload(&shard, &[sized(1, 0), sized(2, 0)]).len();
    // the room left for base64 is a multiple of four, after a key has taken up the rest
    let room = PAYLOAD_MAX - frame;
    let filling = |bytes: usize| {
        let mut first = sized(1, bytes);
        first.partition_key = format!("key{}", "x".repeat(room % 4)).into();
        vec![first, sized(2, 3)]
    };
    let whole = (room / 4 - 1) * 3;
    for (bytes, batch) in [(whole, vec![1, 2]), (whole + 1, vec![1])] {
        let mut machine = machine(settings());
        feed(&mut machine, filling(bytes), false, NOW);
        assert_eq!(invoked(&mut machine, NOW), batch);
    }
    assert_eq!(source().payload(&shard, &filling(whole)).len(), PAYLOAD_MAX);
}

#[test]
fn a_record_that_is_past_6_mb_by_itself_goes_alone() {
    let mut machine = machine(settings());
    feed(&mut machine, vec![sized(1, 10), sized(2, PAYLOAD_MAX), sized(3, 10)], false, NOW);
    for batch in [[1], [2], [3]] {
        assert_eq!(invoked(&mut machine, NOW), batch);
        machine.on_invocation(&success(), NOW, 0);
    }
}

#[test]
fn a_closed_shard_is_drained_when_its_last_record_is_settled() {
    let mut machine = machine(Settings { batching_window: Duration::from_secs(300), ..settings() });
    feed(&mut machine, records(1..=1), true, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1], "no more can come: the window is pointless");
    machine.on_invocation(&failure(), NOW, 0);
    assert!(matches!(machine.next(NOW), Next::WaitUntil(_)));
    assert_eq!(invoked(&mut machine, later(NOW)), [1]);
    machine.on_invocation(&success(), later(NOW), 0);
    assert_eq!(machine.next(later(NOW)), Next::Drained);
}

#[test]
fn reading_goes_on_after_the_last_record_that_was_read() {
    let mut machine = machine(settings());
    assert!(matches!(machine.next(NOW), Next::Do(Action::Fetch { from: ReadFrom::TrimHorizon, .. })));
    machine.on_records(records(1..=2), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [1, 2]);
    machine.on_invocation(&success(), NOW, 0);
    let Next::Do(Action::Fetch { from, .. }) = machine.next(NOW) else { panic!("there may be more") };
    assert_eq!(from, ReadFrom::After(sequence(2)));
    machine.on_records(records(1..=3), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [3], "what was read before is not delivered again");
}

#[test]
fn records_from_before_the_starting_time_are_not_delivered() {
    let from = ReadFrom::AtTimestamp(Timestamp(3000));
    let shard = ShardId::new("shardId-000000000000");
    let mut machine = ShardMachine::new(shard, from, Arc::new(settings()), source());
    feed(&mut machine, records(1..=2), false, NOW);
    assert_eq!(machine.settled_to(), None);
    feed(&mut machine, records(1..=4), false, NOW);
    assert_eq!(invoked(&mut machine, NOW), [3, 4]);
}

#[test]
fn empty_reads_are_paced_and_failed_ones_back_off() {
    let mut machine = machine(settings());
    let mut now = NOW;
    for wait in [20, 40, 50, 50] {
        feed(&mut machine, Vec::new(), false, now);
        let until = now.plus(Duration::from_millis(wait));
        assert_eq!(machine.next(now), Next::WaitUntil(until));
        now = until;
    }
    for (streak, wait) in [(1, 50), (2, 100), (3, 200)] {
        assert!(matches!(machine.next(now), Next::Do(Action::Fetch { .. })));
        assert_eq!(machine.on_read_failed(now, 0), streak);
        let until = now.plus(Duration::from_millis(wait));
        assert_eq!(machine.next(now), Next::WaitUntil(until));
        now = until;
    }
}

#[test]
fn a_read_asks_for_about_10_mib_and_not_much_more_than_a_batch() {
    let limit = |machine: &mut ShardMachine| match machine.next(NOW) {
        Next::Do(Action::Fetch { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    let mut small = machine(settings());
    assert_eq!(limit(&mut small), 100);
    let mut large = machine(Settings { batch_size: 10_000, batching_window: Duration::from_secs(300), ..settings() });
    assert_eq!(limit(&mut large), 640, "before any record was seen they are taken to be 16 KiB");
    large.on_records(vec![sized(1, 1_048_576)], false, NOW);
    assert_eq!(limit(&mut large), 10);
}

#[test]
fn the_iterator_age_is_that_of_the_oldest_unsettled_record_and_zero_when_caught_up() {
    let mut machine = machine(settings());
    feed(&mut machine, records(1..=5), false, NOW);
    assert_eq!(machine.status(NOW).iterator_age, Duration::from_secs(19));
    invoked(&mut machine, NOW);
    assert_eq!(machine.status(NOW).in_flight, 4);
    machine.on_invocation(&success(), NOW, 0);
    assert_eq!(machine.status(NOW).iterator_age, Duration::from_secs(15));
    invoked(&mut machine, NOW);
    machine.on_invocation(&success(), NOW, 0);
    assert_eq!(machine.status(NOW).iterator_age, Duration::from_secs(15), "there may be more to read");
    feed(&mut machine, Vec::new(), false, NOW);
    assert_eq!(machine.status(NOW).iterator_age, Duration::ZERO);
}

#[test]
#[should_panic(expected = "an answer follows its action")]
fn an_outcome_without_its_action_is_a_fault_of_the_caller() {
    machine(Settings { starting_position: StartingPosition::Latest, ..settings() }).on_records(Vec::new(), false, NOW);
}
