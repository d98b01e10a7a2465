//! Where a letter's event and its copies can be.

use crate::hash::HashKey;
use crate::ports::ListedShard;
use crate::position::ShardId;

/// The shards on which an event and its copies can be: the one its letter came from, and those after it that hold its
/// key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chain {
    pub(super) shards: Vec<ShardId>,
    /// The first one is past the stream's retention: no run will come to it any more.
    pub(super) origin_is_gone: bool,
    /// The first one does not hold the key: the event came there in another producer's aggregate.
    pub(super) is_stray: bool,
}

impl Chain {
    pub(super) fn of(origin: &ShardId, key: HashKey, listed: &[ListedShard]) -> Self {
        let find = |id: &ShardId| listed.iter().find(|other| other.shard == *id);
        let origin_is_gone = find(origin).is_none();
        let is_stray = find(origin).is_some_and(|origin| !origin.range.contains(key));
        let mut shards = vec![origin.clone()];
        // a shard is listed after those that it came from
        for other in listed {
            let descends = other.parents.iter().any(|parent| shards.contains(parent));
            if other.range.contains(key) && !shards.contains(&other.shard) && (descends || origin_is_gone || is_stray) {
                shards.push(other.shard.clone());
            }
        }
        Self { shards, origin_is_gone, is_stray }
    }
}
