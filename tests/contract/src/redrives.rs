//! [`Ledger`] and [`Turns`]: what redriven events leave behind, and who redrives.

use penstock::fingerprint::Fingerprint;
use penstock::ports::{Ledger, Recoveries, Turns};
use penstock::progress::Begun;
use penstock::time::Timestamp;
use penstock::window::{Redriven, Wanted};

use crate::{World, position, shard};

fn redriven(id: &str, at: u64) -> Redriven {
    Redriven {
        id: id.to_owned(),
        at: Timestamp(at),
        handled: vec![Fingerprint(at), Fingerprint(u64::MAX)],
        last: vec![(Fingerprint(7), position(3, 1))],
    }
}

/// Unlike a run that begins.
pub async fn a_look_fences_nobody(world: &impl World) {
    let group = world.group("g");
    assert_eq!(group.look(&shard()).await.unwrap(), Begun::nothing());
    let begun = group.begin(&shard()).await.unwrap();
    assert_eq!(group.look(&shard()).await.unwrap(), begun);
    assert_eq!(group.begin(&shard()).await.unwrap().epoch, 2);
}

/// Also on a shard that no run has begun on.
pub async fn what_was_redriven_is_counted_for_the_next_run(world: &impl World) {
    let group = world.group("g");
    group.record_redriven(&shard(), &redriven("a/0", 1000)).await.unwrap();
    assert_eq!(group.look(&shard()).await.unwrap().epoch, 0);
    assert_eq!(group.begin(&shard()).await.unwrap().redriven, 1);
    group.record_redriven(&shard(), &redriven("b/0", 1001)).await.unwrap();
    let begun = group.begin(&shard()).await.unwrap();
    assert_eq!((begun.redriven, begun.epoch), (2, 2));
}

/// Until it ends, or is over.
pub async fn one_call_has_the_turn(world: &impl World) {
    let (group, other) = (world.group("g"), world.group("other"));
    let take = async |id: &str, now: u64| group.take_turn(id, Timestamp(now), Timestamp(now + 60_000)).await.unwrap();
    group.end_turn("nobody").await.unwrap();
    assert!(take("a", 1000).await);
    assert!(!take("b", 61_000).await);
    assert!(take("a", 2000).await, "its reply may have been lost");
    assert!(other.take_turn("b", Timestamp(1000), Timestamp(61_000)).await.unwrap(), "another group's");
    group.end_turn("b").await.unwrap();
    assert!(!take("b", 3000).await, "it was not b's to end");
    group.end_turn("a").await.unwrap();
    assert!(take("b", 3000).await);
    assert!(take("c", 63_001).await, "it is over");
    group.end_turn("b").await.unwrap();
    assert!(!take("d", 63_002).await);
}

/// The two kinds do not get into each other's way.
pub async fn what_was_redriven_is_loaded_and_is_no_segment(world: &impl World) {
    let group = world.group("g");
    let (early, late) = (redriven("a/0", 1000), redriven("b/0", 12_000));
    group.record_redriven(&shard(), &late).await.unwrap();
    group.record_redriven(&shard(), &early).await.unwrap();
    group.record_redriven(&shard(), &early).await.unwrap();
    assert_eq!(group.load_redriven(&shard(), Timestamp(12_000)).await.unwrap(), [late]);
    let all = group.load_redriven(&shard(), Timestamp(0)).await.unwrap();
    assert!(all.len() == 2 && all.contains(&early), "{all:?}");
    assert_eq!(group.load(&shard(), &Wanted::all(0)).await.unwrap(), []);
}

/// Notices can come in any order.
pub async fn what_expires_goes_forward_only(world: &impl World) {
    let group = world.group("g");
    group.expire(&shard(), &position(5, u32::MAX)).await.unwrap();
    group.expire(&shard(), &position(3, u32::MAX)).await.unwrap();
    let begun = group.begin(&shard()).await.unwrap();
    assert_eq!((begun.expired, begun.epoch), (position(5, u32::MAX), 1));
}
