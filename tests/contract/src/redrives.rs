//! [`Redrives`]: what redriven events leave behind.

use penstock::fingerprint::Fingerprint;
use penstock::ports::{Progress, Redrives, Windows};
use penstock::progress::Begun;
use penstock::time::Timestamp;
use penstock::window::{Redriven, Wanted};

use crate::{World, position, shard};

fn redriven(id: &str, at: u64) -> Redriven {
    Redriven { id: id.to_owned(), at: Timestamp(at), handled: vec![Fingerprint(at), Fingerprint(u64::MAX)] }
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
pub async fn an_announcement_is_seen_by_the_next_run(world: &impl World) {
    let group = world.group("g");
    group.announce(&shard()).await.unwrap();
    assert_eq!(group.look(&shard()).await.unwrap().epoch, 0);
    assert_eq!(group.begin(&shard()).await.unwrap().redriven, 1);
    group.announce(&shard()).await.unwrap();
    let begun = group.begin(&shard()).await.unwrap();
    assert_eq!((begun.redriven, begun.epoch), (2, 2));
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
pub async fn giving_up_goes_forward_only(world: &impl World) {
    let group = world.group("g");
    group.give_up(&shard(), &position(5, u32::MAX)).await.unwrap();
    group.give_up(&shard(), &position(3, u32::MAX)).await.unwrap();
    let begun = group.begin(&shard()).await.unwrap();
    assert_eq!((begun.given_up, begun.epoch), (position(5, u32::MAX), 1));
}
