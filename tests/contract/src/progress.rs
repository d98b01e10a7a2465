//! [`Ledger`]: the fence, the position, the failures.

use std::collections::BTreeMap;

use penstock::ShardId;
use penstock::ports::Ledger;
use penstock::progress::{Begun, Commit, Committed, FAILURES_MAX, Failing};
use penstock::time::Timestamp;

use crate::{World, position, shard};

fn failing(attempts: u32) -> Failing {
    Failing { attempts, since: Timestamp(1_699_999_000_000 + u64::from(attempts)) }
}

fn commit(last: u32) -> Commit {
    Commit {
        number: 1,
        position: position(last, 3),
        arrival: Some(Timestamp(1_700_000_000_000)),
        failures: BTreeMap::from([(position(last + 1, 0), failing(2))]),
        suspect: Some((position(last + 2, 1), 1)),
        ahead_from: Some(1),
        attempts: 0,
        at: Timestamp(1_700_000_001_000),
    }
}

/// A shard that nobody has been on.
pub async fn a_first_run_begins_at_the_start(world: &impl World) {
    let begun = world.group("g").begin(&shard()).await.unwrap();
    assert_eq!(begun, Begun { epoch: 1, attempts: 1, ..Begun::nothing() });
}

/// Epoch and attempts rise with each run.
pub async fn each_run_counts_up(world: &impl World) {
    let group = world.group("g");
    for n in 1..=12 {
        let begun = group.begin(&shard()).await.unwrap();
        assert_eq!((begun.epoch, begun.attempts), (n, u32::try_from(n).unwrap()));
    }
}

/// A fenced commit writes nothing.
pub async fn a_later_run_fences_an_earlier_one(world: &impl World) {
    let group = world.group("g");
    let first = group.begin(&shard()).await.unwrap();
    let second = group.begin(&shard()).await.unwrap();
    assert_eq!(group.commit(&shard(), first.epoch, &commit(5)).await.unwrap(), Committed::Fenced);
    assert_eq!(group.commit(&shard(), second.epoch + 1, &commit(6)).await.unwrap(), Committed::Fenced);
    assert_eq!(group.commit(&shard(), second.epoch, &commit(7)).await.unwrap(), Committed::Yes);
    assert_eq!(group.begin(&shard()).await.unwrap().position, position(7, 3));
}

/// All of a commit comes back, and what it leaves out is gone.
pub async fn what_is_committed_is_what_the_next_run_finds(world: &impl World) {
    let group = world.group("g");
    group.begin(&shard()).await.unwrap();
    let written = commit(9);
    group.commit(&shard(), 1, &written).await.unwrap();
    let begun = group.begin(&shard()).await.unwrap();
    let expected = Begun {
        epoch: 2,
        attempts: 1,
        position: written.position.clone(),
        failures: written.failures.clone(),
        suspect: written.suspect.clone(),
        ahead_from: written.ahead_from,
        ..Begun::nothing()
    };
    assert_eq!(begun, expected);
    let less =
        Commit { failures: BTreeMap::new(), suspect: None, ahead_from: None, arrival: None, attempts: 4, ..written };
    group.commit(&shard(), 2, &less).await.unwrap();
    let begun = group.begin(&shard()).await.unwrap();
    assert_eq!(begun, Begun { epoch: 3, attempts: 5, position: less.position, ..Begun::nothing() });
}

/// Its reply may have been lost.
pub async fn a_commit_can_be_said_twice(world: &impl World) {
    let group = world.group("g");
    group.begin(&shard()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(group.commit(&shard(), 1, &commit(5)).await.unwrap(), Committed::Yes);
    }
}

/// It was sent before, and arrives after, a later one of its run: the position must not go back. The next run begins to
/// count again.
pub async fn a_commit_that_arrives_late_is_not_written(world: &impl World) {
    let group = world.group("g");
    for epoch in 1..=2 {
        group.begin(&shard()).await.unwrap();
        for number in 1..=2 {
            let next = Commit { number, ..commit(5 + number) };
            assert_eq!(group.commit(&shard(), epoch, &next).await.unwrap(), Committed::Yes);
        }
        let late = Commit { number: 1, ..commit(6) };
        assert_eq!(group.commit(&shard(), epoch, &late).await.unwrap(), Committed::Fenced);
    }
    assert_eq!(group.begin(&shard()).await.unwrap().position, position(7, 3));
}

/// Nobody sees the progress of another.
pub async fn shards_and_groups_are_apart(world: &impl World) {
    let (one, other) = (world.group("one"), world.group("other"));
    let next = ShardId::new("shardId-000000000001");
    one.begin(&shard()).await.unwrap();
    one.commit(&shard(), 1, &commit(5)).await.unwrap();
    for begun in [one.begin(&next).await.unwrap(), other.begin(&shard()).await.unwrap()] {
        assert_eq!((begun.epoch, begun.position), (1, Begun::nothing().position));
    }
}

/// The most that progress remembers.
pub async fn a_thousand_failures_are_kept(world: &impl World) {
    let group = world.group("g");
    group.begin(&shard()).await.unwrap();
    let failures: BTreeMap<_, _> =
        (0..u32::try_from(FAILURES_MAX).unwrap()).map(|n| (position(n, n), failing(n + 1))).collect();
    group.commit(&shard(), 1, &Commit { failures: failures.clone(), ..commit(0) }).await.unwrap();
    assert_eq!(group.begin(&shard()).await.unwrap().failures, failures);
}
