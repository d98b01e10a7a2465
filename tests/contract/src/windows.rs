//! [`Ledger`]: segments that are kept and never overwritten.

use penstock::fingerprint::Fingerprint;
use penstock::ports::Ledger;
use penstock::time::Timestamp;
use penstock::window::{Age, Counts, SEGMENT_EVENTS_MAX, Segment, Wanted};

use crate::{World, position, shard};

/// Segments of tests are recorded about now, as far as expiry goes.
const NOW: u64 = 1_700_000_000_000;

/// Between an event's arrival and its recording.
const LAG: u64 = 500;

fn segment(epoch: u64, part: u32, at: u64, events: u64) -> Segment {
    // a set: an adapter gives it back sorted
    let mut handled: Vec<_> = (0..events).map(|n| Fingerprint(n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    handled.sort_unstable();
    Segment {
        epoch,
        part,
        at: Timestamp(NOW + at + LAG),
        arrival: Timestamp(NOW + at),
        through: position(u32::try_from(epoch).unwrap_or(0), part),
        handled,
        ahead: vec![Fingerprint(0), Fingerprint(u64::MAX)],
        top: position(99, 0),
        counts: Counts { handled: events, duplicates: 1, dead_letters: 2, foreign: 3 },
    }
}

async fn loaded(world: &impl World, after: u64, since: u64, kept_from: Option<u64>) -> Vec<(u64, u32)> {
    let wanted = Wanted { since: Timestamp(NOW + since), kept_from, ..Wanted::all(after) };
    found(world, &wanted).await
}

async fn found(world: &impl World, wanted: &Wanted) -> Vec<(u64, u32)> {
    let segments = world.group("g").load(&shard(), wanted).await.unwrap();
    let mut found: Vec<_> = segments.iter().map(|segment| (segment.epoch, segment.part)).collect();
    found.sort_unstable();
    found
}

async fn record(world: &impl World, segments: &[Segment]) {
    let group = world.group("g");
    for segment in segments {
        group.record(&shard(), segment).await.unwrap();
    }
}

/// Every field, and as many fingerprints as a segment holds.
pub async fn what_is_recorded_is_loaded(world: &impl World) {
    let written = segment(3, 1, 7, SEGMENT_EVENTS_MAX as u64);
    record(world, std::slice::from_ref(&written)).await;
    let read = world.group("g").load(&shard(), &Wanted::all(0)).await.unwrap();
    assert_eq!(read, [written]);
    let other = penstock::ShardId::new("shardId-000000000001");
    assert_eq!(world.group("g").load(&other, &Wanted::all(0)).await.unwrap(), []);
    assert_eq!(world.group("h").load(&shard(), &Wanted::all(0)).await.unwrap(), []);
}

/// `after` is a run that is known already.
pub async fn runs_up_to_a_given_one_are_left_out(world: &impl World) {
    record(world, &[segment(1, 0, 0, 1), segment(2, 0, 1, 1), segment(3, 0, 2, 1)]).await;
    assert_eq!(loaded(world, 2, 0, None).await, [(3, 0)]);
    assert_eq!(loaded(world, 3, 0, None).await, []);
}

/// `since` and `kept_from`.
pub async fn what_is_old_is_left_out_unless_it_is_kept(world: &impl World) {
    record(world, &[segment(1, 0, 0, 1), segment(2, 0, 1000, 1), segment(3, 0, 2000, 1)]).await;
    assert_eq!(loaded(world, 0, 2000, None).await, [(3, 0)]);
    assert_eq!(loaded(world, 0, 2000, Some(2)).await, [(2, 0), (3, 0)]);
    assert_eq!(loaded(world, 0, 0, None).await, [(1, 0), (2, 0), (3, 0)]);
}

/// Names age by their arrival for a run, and by their recording for a redrive.
pub async fn what_is_old_is_told_by_arrival_or_by_recording(world: &impl World) {
    record(world, &[segment(1, 0, 0, 1), segment(2, 0, 1000, 1)]).await;
    let since = |age, since| Wanted { age, since: Timestamp(NOW + since), ..Wanted::all(0) };
    assert_eq!(found(world, &since(Age::Arrival, 400)).await, [(2, 0)]);
    assert_eq!(found(world, &since(Age::Recording, 400)).await, [(1, 0), (2, 0)]);
}

/// The newest come first; the others come without their names.
pub async fn no_more_names_are_loaded_than_there_is_room_for(world: &impl World) {
    record(world, &[segment(1, 0, 0, 10), segment(2, 0, 1, 10), segment(3, 0, 2, 10)]).await;
    let wanted = Wanted { names_max: 25, ..Wanted::all(0) };
    let segments = world.group("g").load(&shard(), &wanted).await.unwrap();
    let mut names: Vec<_> = segments.iter().map(|segment| (segment.epoch, segment.handled.len())).collect();
    names.sort_unstable();
    assert_eq!(names, [(1, 0), (2, 10), (3, 10)]);
}

/// Epoch and part name a segment.
pub async fn parts_of_a_run_are_apart(world: &impl World) {
    record(world, &[segment(1, 0, 0, 1), segment(1, 1, 0, 2), segment(1, 1, 0, 2), segment(1, 10, 0, 3)]).await;
    assert_eq!(loaded(world, 0, 0, None).await, [(1, 0), (1, 1), (1, 10)]);
}

/// DynamoDB gives a megabyte at a time.
pub async fn more_than_a_page_is_loaded_whole(world: &impl World) {
    let segments: Vec<_> = (1..=9).map(|epoch| segment(epoch, 0, epoch, 18_000)).collect();
    record(world, &segments).await;
    assert_eq!(loaded(world, 0, 0, None).await.len(), 9);
}

/// Not as text.
pub async fn epochs_are_compared_as_numbers(world: &impl World) {
    record(world, &[segment(9, 0, 0, 1), segment(10, 0, 1, 1), segment(12_345_678_901, 0, 2, 1)]).await;
    assert_eq!(loaded(world, 9, 0, None).await, [(10, 0), (12_345_678_901, 0)]);
}
