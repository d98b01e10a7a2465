//! [`Recoveries`]: how far the recovery of a range has come.

use penstock::ShardId;
use penstock::ports::{Ledger, Recoveries};
use penstock::progress::Cursor;
use penstock::time::Timestamp;
use penstock::window::Wanted;

use crate::{World, position, shard};

fn cursor(first: u32, last: u32, done: u32, index: u32) -> Cursor {
    let (first, last) = (position(first, 0).sequence, position(last, 0).sequence);
    Cursor { first, last, done: position(done, index), at: Timestamp(1_700_000_000_000) }
}

/// Two recoveries of a notice can overlap.
pub async fn a_cursor_goes_forward_only(world: &impl World) {
    let group = world.group("g");
    let Cursor { first, last, .. } = cursor(3, 20, 0, 0);
    assert_eq!(group.recovered(&shard(), &first, &last).await.unwrap(), None);
    for (done, index, expected) in [(9, 1, (9, 1)), (9, 0, (9, 1)), (10, 0, (10, 0)), (20, u32::MAX, (20, u32::MAX))] {
        group.record_recovered(&shard(), &cursor(3, 20, done, index)).await.unwrap();
        let found = group.recovered(&shard(), &first, &last).await.unwrap();
        assert_eq!(found, Some(position(expected.0, expected.1)));
    }
}

/// Nor of another shard or group.
pub async fn a_cursor_is_of_one_range_and_no_segment(world: &impl World) {
    let group = world.group("g");
    let written = cursor(3, 20, 9, 0);
    group.record_recovered(&shard(), &written).await.unwrap();
    let Cursor { first, last, .. } = written;
    let other = position(4, 0).sequence;
    assert_eq!(group.recovered(&shard(), &other, &last).await.unwrap(), None);
    assert_eq!(group.recovered(&shard(), &first, &other).await.unwrap(), None);
    assert_eq!(group.recovered(&ShardId::new("shardId-000000000001"), &first, &last).await.unwrap(), None);
    assert_eq!(world.group("h").recovered(&shard(), &first, &last).await.unwrap(), None);
    assert_eq!(group.load(&shard(), &Wanted::all(0)).await.unwrap(), []);
    assert_eq!(group.load_redriven(&shard(), Timestamp(0)).await.unwrap(), []);
}
