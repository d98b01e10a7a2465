use futures_util::FutureExt;

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::batch::ShardBatch;
use crate::dead_letter::Code;
use crate::fingerprint::Fingerprinter;
use crate::ports::{self, DeadLetters, Shards, Turns};
use crate::ports::{Clock, Ledger};
use crate::position::{SequenceNumber, ShardId};
use crate::progress::Begun;
use crate::progress::{Commit, Committed};
use crate::projection::{Projection, Refusal};
use crate::time::Timestamp;
use crate::window::Counts;
use crate::window::Segment;
use crate::{Event, PartitionKey, Position};

mod patience;
mod projections;
mod recovery;
mod redrive;
mod versions;
mod world;

use projections::{projecting, state};
use world::*;

#[test]
fn duplicates_are_found_in_the_batch_and_across_batches() {
    let world = World::default();
    let first = settle(&settler(&world), &batch(1, &[("k", "a", "ok"), ("k", "a", "ok"), ("l", "b", "ok")])).unwrap();
    assert_eq!(first.counts, Counts { handled: 2, duplicates: 1, dead_letters: 0, foreign: 0 });
    // another process, with nothing in memory
    let second = settle(&settler(&world), &batch(4, &[("other", "a", "ok"), ("k", "c", "ok")])).unwrap();
    assert_eq!(second.counts, Counts { handled: 1, duplicates: 1, dead_letters: 0, foreign: 0 });
    assert_eq!(handled(&world), ["a", "b", "c"]);
}

#[test]
fn a_warm_process_loads_nothing_and_still_finds_duplicates() {
    let world = World::default();
    let settler = settler(&world);
    settle(&settler, &batch(1, &[("k", "a", "ok")])).unwrap();
    world.store(|s| s.segments.clear());
    assert_eq!(settle(&settler, &batch(2, &[("k", "a", "ok")])).unwrap().counts.duplicates, 1);
}

#[test]
fn a_retry_holds_its_key_and_no_other_and_ends_in_the_dead_letters() {
    let world = World::default();
    let settler = settler(&world);
    let events = batch(1, &[("k", "a", "ok"), ("k", "b", "retry"), ("k", "c", "ok"), ("l", "d", "ok")]);
    let first = settle(&settler, &events).unwrap();
    assert_eq!((resume(&first), first.unsettled), (Some("2"), 2));
    assert_eq!(handled(&world), ["a", "d"]);
    let second = settle(&settler, &events).unwrap();
    assert_eq!((resume(&second), second.passed_over), (Some("2"), 2));
    let third = settle(&settler, &events).unwrap();
    assert_eq!((resume(&third), third.unsettled), (None, 0));
    assert_eq!(handled(&world), ["a", "d", "c"]);
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::RetriesExhausted)]);
    assert_eq!(world.store(|s| s.letters[0].attempts), 3);
}

#[test]
fn a_refusal_and_garbage_are_dead_lettered_with_their_bytes_and_the_shard_goes_on() {
    let world = World::default();
    let settled =
        settle(&settler(&world), &batch(1, &[("k", "a", "refuse"), ("k", "", "garbage"), ("k", "b", "ok")])).unwrap();
    assert_eq!(settled.counts, Counts { handled: 1, duplicates: 0, dead_letters: 2, foreign: 0 });
    let mut letters = letters(&world);
    letters.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(letters, [("1.0".to_owned(), Code::Refused), ("2.0".to_owned(), Code::NotAnEvent)]);
    assert!(world.store(|s| s.letters.iter().any(|l| l.data[..] == [0xff])));
}

#[test]
fn redriven_event_is_not_swallowed_by_the_window() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse")])).unwrap();
    let again = settle(&settler(&world), &batch(2, &[("k", "a", "ok")])).unwrap();
    assert_eq!(again.counts.handled, 1);
}

#[test]
fn a_dead_letter_beyond_the_watermark_is_not_sent_again() {
    let world = World::default();
    let settler = settler(&world);
    let events = batch(1, &[("k", "a", "retry"), ("l", "b", "refuse"), ("m", "b", "ok")]);
    settle(&settler, &events).unwrap();
    settle(&settler, &events).unwrap();
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::Refused)]);
    assert_eq!(handled(&world), ["b"]);
}

#[test]
fn what_was_settled_beyond_a_retry_is_passed_over_however_late_and_in_whatever_pieces_it_comes_again() {
    for cold in [false, true] {
        let world = World::default();
        let mut run = settler(&world);
        let events = [("k", "a", "retry"), ("l", "b", "ok"), ("m", "c", "refuse"), ("n", "d", "ok")];
        settle(&run, &batch(1, &events)).unwrap();
        // long after the window's horizon
        world.store(|s| s.now += 100 * 60 * 60 * 1000);
        // Lambda halves what failed: first the event at fault alone, until it is given up
        for _ in 0..2 {
            if cold {
                run = settler(&world);
            }
            settle(&run, &batch(1, &events[..1])).unwrap();
        }
        if cold {
            run = settler(&world);
        }
        for half in [&events[1..2], &events[2..]] {
            let first = if half.len() == 1 { 2 } else { 3 };
            let again = settle(&run, &batch(first, half)).unwrap();
            assert_eq!((again.passed_over, again.counts.total()), (half.len(), 0), "cold: {cold}");
        }
        assert_eq!(handled(&world), ["b", "d"]);
        let progress = world.store(|s| s.progress[&ShardId::new(SHARD)].0.clone());
        assert_eq!((progress.position, progress.ahead_from), ("4.0".parse().unwrap(), None));
    }
}

#[test]
fn after_a_crash_between_record_and_commit_nothing_is_repeated() {
    for cold in [false, true] {
        let world = World::default();
        let mut run = settler(&world);
        let events = batch(1, &[("k", "a", "ok"), ("l", "b", "retry"), ("m", "c", "ok"), ("m", "c", "ok")]);
        world.store(|s| s.crash_at = Some(Step::Commit));
        assert!(matches!(settle(&run, &events), Err(Error::Commit(_))));
        if cold {
            run = settler(&world);
        }
        let again = settle(&run, &events).unwrap();
        assert_eq!((again.passed_over, again.counts.total()), (3, 0));
        assert_eq!(handled(&world), ["a", "c"]);
        let total: u64 = world.store(|s| s.segments.values().flatten().map(|segment| segment.counts.total()).sum());
        assert_eq!(total, 3, "each event is counted once");
    }
}

#[test]
fn after_a_crash_before_record_a_handlers_effects_repeat_and_nothing_is_lost() {
    let world = World::default();
    let events = batch(1, &[("k", "a", "ok"), ("k", "b", "ok")]);
    world.store(|s| s.crash_at = Some(Step::Record));
    assert!(matches!(settle(&settler(&world), &events), Err(Error::Record(_))));
    settle(&settler(&world), &events).unwrap();
    assert_eq!(handled(&world), ["a", "b", "a", "b"]);
}

#[test]
fn a_run_that_lost_its_fence_commits_nothing() {
    let world = World::default();
    world.store(|s| s.usurp = true);
    let result = settle(&settler(&world), &batch(1, &[("k", "a", "ok")]));
    assert!(matches!(result, Err(Error::Fenced(_))));
    // what it recorded is true all the same
    let again = settle(&settler(&world), &batch(1, &[("k", "a", "ok")])).unwrap();
    assert_eq!((again.passed_over, resume(&again)), (1, None));
}

#[test]
fn many_failing_keys_are_an_outage_and_count_against_no_event() {
    let world = World::default();
    let settler = settler(&world);
    let keys: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let events: Vec<_> = keys.iter().map(|k| (k.as_str(), k.as_str(), "retry")).collect();
    for _ in 0..5 {
        let settled = settle(&settler, &batch(1, &events)).unwrap();
        assert!(settled.outage);
        assert_eq!(resume(&settled), Some("1"));
    }
    assert_eq!(letters(&world), []);
}

#[test]
fn poison_beside_healthy_keys_is_no_outage_in_its_redelivery_either() {
    let world = World::default();
    let settler = settler(&world);
    let keys: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let told = |n: usize| if n < 10 { "retry" } else { "ok" };
    let events: Vec<_> = keys.iter().enumerate().map(|(n, k)| (k.as_str(), k.as_str(), told(n))).collect();
    for run in 1..=3 {
        let settled = settle(&settler, &batch(1, &events)).unwrap();
        assert!(!settled.outage, "run {run}");
    }
    assert_eq!(letters(&world).len(), 10);
    assert_eq!(handled(&world).len(), 50);
}

#[test]
fn a_run_that_recorded_and_did_not_commit_is_known_however_late_the_redelivery_comes() {
    let world = World::default();
    let events = batch(1, &[("k", "a", "ok"), ("l", "b", "refuse")]);
    world.store(|s| s.crash_at = Some(Step::Commit));
    assert!(settle(&settler(&world), &events).is_err());
    world.store(|s| s.now += 20 * 60 * 60 * 1000);
    let again = settle(&settler(&world), &events).unwrap();
    assert_eq!((again.passed_over, again.counts.total()), (2, 0));
}

#[test]
fn an_event_that_crashes_the_process_is_found_and_dead_lettered_unrun() {
    let world = World::default();
    let shard = ShardId::new(SHARD);
    let events = batch(1, &[("k", "a", "ok"), ("l", "bomb", "hang"), ("m", "c", "ok")]);
    // a process that dies in its handler: the future is dropped where it stands, no step after it runs
    let crash = |world: &World| {
        assert!(dying(world).settle(&events, Timestamp(30_000)).now_or_never().is_none());
    };
    for _ in 0..5 {
        crash(&world);
    }
    let progress = world.store(|s| s.progress[&shard].0.clone());
    assert_eq!(progress.suspect, Some(("2.0".parse().unwrap(), 3)));
    assert_eq!(progress.position, "1.0".parse().unwrap());
    let settled = settle(&settler(&world), &events).unwrap();
    assert!(settled.isolated);
    assert_eq!((resume(&settled), settled.unsettled), (None, 0));
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::Crashed)]);
    assert_eq!(handled(&world).last().map(String::as_str), Some("c"));
    assert_eq!(world.store(|s| s.progress[&shard].0.attempts), 0);
}
#[test]
fn a_panic_is_caught_and_counted_and_a_hanging_handler_is_cancelled() {
    let world = World::default();
    let settler = settler(&world);
    for _ in 0..3 {
        settle(&settler, &batch(1, &[("k", "a", "panic"), ("l", "b", "ok")])).unwrap();
    }
    assert_eq!(letters(&world), [("1.0".to_owned(), Code::RetriesExhausted)]);
    assert!(world.store(|s| s.letters[0].reason.contains("boom")));
    for _ in 0..3 {
        settle(&settler, &batch(3, &[("k", "c", "hang")])).unwrap();
    }
    assert_eq!(letters(&world)[1], ("3.0".to_owned(), Code::RetriesExhausted));
}

#[test]
fn a_child_shard_finds_what_its_parent_settled() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "ok")])).unwrap();
    world.store(|s| s.parents = vec![ShardId::new(SHARD)]);
    let mut child = batch(10, &[("k", "a", "ok"), ("k", "b", "ok")]);
    child.shard = ShardId::new("shardId-000000000001");
    let settled = settle(&settler(&world), &child).unwrap();
    assert_eq!((settled.counts.duplicates, settled.counts.handled), (1, 1));
}

#[test]
fn a_dead_letter_that_cannot_be_sent_leaves_its_event_unsettled() {
    let world = World::default();
    world.store(|s| s.crash_at = Some(Step::Letter));
    let events = batch(1, &[("k", "a", "refuse"), ("l", "b", "ok")]);
    let settled = settle(&settler(&world), &events).unwrap();
    assert_eq!(resume(&settled), Some("1"));
    assert_eq!(resume(&settle(&settler(&world), &events).unwrap()), None);
    assert_eq!(letters(&world), [("1.0".to_owned(), Code::Refused)]);
}

/// A run that has lost its fence records late: who read the window before must learn of it all the same.
#[test]
fn what_a_late_segment_says_is_said_again_by_the_run_that_relies_on_it() {
    let world = World::default();
    let shard = ShardId::new(SHARD);
    let (warm, zombie) = (settler(&world), settler(&world));
    // the zombie handles `b` in run 1 and falls asleep; the warm process runs next and knows runs 1 and 2
    let asleep = zombie.outside.begin(&shard).now_or_never().unwrap().unwrap();
    settle(&warm, &batch(1, &[("k", "a", "ok")])).unwrap();
    let late = Segment {
        epoch: asleep.epoch,
        part: 0,
        at: world.now(),
        arrival: world.now(),
        through: Position::new("2".parse().unwrap(), 0),
        handled: vec![warm.fingerprints.event(&batch_event("b"))],
        ahead: Vec::new(),
        top: Position::new("2".parse().unwrap(), 0),
        counts: Counts { handled: 1, ..Counts::default() },
    };
    world.record(&shard, &late).now_or_never().unwrap().unwrap();
    // another process finds it, and so passes over `b`
    let passed = settle(&settler(&world), &batch(2, &[("k", "b", "ok")])).unwrap();
    assert_eq!((passed.passed_over, passed.counts.total()), (1, 0));
    assert_eq!(settle(&warm, &batch(3, &[("k", "b", "ok")])).unwrap().counts.duplicates, 1);
    assert_eq!(handled(&world), ["a"]);
}

/// The end of a batch bounds what a run commits, whatever segments say of later positions.
#[test]
fn a_run_commits_no_position_beyond_its_batch() {
    let world = World::default();
    world.store(|s| s.hang_at = Some(Step::Commit));
    let events = batch(1, &[("k", "a", "ok"), ("k", "b", "ok")]);
    assert!(dying(&world).settle(&events, Timestamp(30_000)).now_or_never().is_none());
    settle(&settler(&world), &batch(1, &[("k", "a", "ok")])).unwrap();
    assert_eq!(world.store(|s| s.progress[&ShardId::new(SHARD)].0.position.to_string()), "1.0");
    let second = settle(&settler(&world), &batch(2, &[("k", "b", "ok")])).unwrap();
    assert_eq!((second.passed_over, resume(&second)), (1, None));
    assert_eq!(handled(&world), ["a", "b"]);
}

#[test]
fn a_run_that_cannot_record_holds_nothing_against_its_suspect() {
    let (world, shard) = (World::default(), ShardId::new(SHARD));
    // runs that ended without a word
    for _ in 0..isolation::CRASHES_TOLERATED {
        world.begin(&shard).now_or_never().unwrap().unwrap();
    }
    world.store(|s| s.crash_at = Some(Step::Record));
    let settled = settle(&settler(&world), &batch(1, &[("k", "a", "ok")]));
    assert!(matches!(settled, Err(Error::Record(_))), "{settled:?}");
    assert_eq!(handled(&world), ["a"]);
    assert_eq!(world.store(|s| s.progress[&shard].0.suspect.clone()), None);
}

#[test]
fn a_call_that_never_answers_fails_its_run_in_time_and_passes_for_no_crash() {
    for step in [Step::Begin, Step::Load, Step::Record, Step::Commit] {
        let (world, shard) = (World::default(), ShardId::new(SHARD));
        for _ in 0..isolation::CRASHES_TOLERATED {
            world.begin(&shard).now_or_never().unwrap().unwrap();
        }
        let process = settler(&world);
        for _ in 0..isolation::SUSPICIONS_MAX + 1 {
            world.store(|s| (s.hang_at, s.crash_at) = (Some(step), None));
            let (began, result) = (world.now(), settle(&process, &batch(1, &[("k", "a", "ok"), ("l", "b", "ok")])));
            assert!(result.is_err(), "{step:?}");
            assert!(world.now().since(began) < Duration::from_secs(30), "{step:?}: the function would be killed");
        }
        let progress = world.store(|s| s.progress[&shard].0.clone());
        assert_eq!(progress.suspect, None, "{step:?}");
        assert_eq!(resume(&settle(&process, &batch(1, &[("k", "a", "ok"), ("l", "b", "ok")])).unwrap()), None);
        assert_eq!(letters(&world), [], "{step:?}");
    }
}

#[test]
fn a_commit_that_arrives_after_a_later_one_of_its_run_changes_nothing() {
    let (world, shard) = (World::default(), ShardId::new(SHARD));
    for _ in 0..isolation::CRASHES_TOLERATED {
        world.begin(&shard).now_or_never().unwrap().unwrap();
    }
    // isolation commits before each event and at the end
    settle(&settler(&world), &batch(1, &[("k", "a", "ok"), ("l", "b", "ok")])).unwrap();
    let (begun, last) = world.store(|s| s.progress[&shard].clone());
    let (commit, epoch) = last.unwrap();
    assert_eq!((commit.number, begun.position.to_string().as_str()), (3, "2.0"));
    let late = Commit { number: 2, position: Position::start(), ..commit };
    assert_eq!(world.commit(&shard, epoch, &late).now_or_never(), Some(Ok(Committed::Fenced)));
    assert_eq!(world.store(|s| s.progress[&shard].0.position.to_string()), "2.0");
}

/// A batch of so many events of a shard, which arrived in one second.
fn arrived(shard: &str, second: u32, events: u32) -> ShardBatch {
    let ids: Vec<String> = (0..events).map(|n| format!("{shard}-{second}-{n}")).collect();
    let events: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_str(), "ok")).collect();
    let mut batch = batch(second * 1000, &events);
    batch.shard = ShardId::new(shard);
    for record in &mut batch.records {
        record.arrival = Timestamp(u64::from(second) * 1000);
    }
    batch
}

#[test]
fn windows_share_a_budget_and_one_that_was_forgotten_is_read_again() {
    let world = World::default();
    world.store(|s| s.now = 100_000);
    let mut small = settler(&world);
    small.settings.window_bytes = 18_000;
    let small = Settler::new(small.settings, small.fingerprints, small.work, world.clone());
    let (first, second) = (ShardId::new("shardId-a"), ShardId::new("shardId-b"));
    settle(&small, &arrived("shardId-a", 10, 100)).unwrap();
    assert_eq!(small.remembered(&first), 100);
    settle(&small, &arrived("shardId-b", 10, 800)).unwrap();
    assert_eq!((small.remembered(&first), small.remembered(&second)), (0, 800));
    let mut copies = arrived("shardId-a", 10, 100);
    for (record, sequence) in copies.records.iter_mut().zip(90_000..) {
        record.sequence = sequence.to_string().parse().unwrap();
    }
    assert_eq!(settle(&small, &copies).unwrap().counts.duplicates, 100);
}

#[test]
fn a_window_stays_within_its_budget_whatever_comes() {
    let world = World::default();
    world.store(|s| s.now = 100_000);
    let mut small = settler(&world);
    small.settings.window_bytes = 18_000;
    let small = Settler::new(small.settings, small.fingerprints, small.work, world.clone());
    for second in 1..=30 {
        settle(&small, &arrived(SHARD, second, 100)).unwrap();
        assert!(small.remembered(&ShardId::new(SHARD)) <= 896, "at {second} s");
    }
    // another process loads no more than it may keep
    let cold = Settler::new(small.settings, small.fingerprints, small.work, world.clone());
    settle(&cold, &arrived(SHARD, 31, 1)).unwrap();
    let names = cold.remembered(&ShardId::new(SHARD));
    assert!((500..=896).contains(&names), "{names}");
}
