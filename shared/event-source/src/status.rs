//! What observers see of a Kinesis mapping.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock::{SequenceNumber, ShardId};

/// A snapshot of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MappingStatus {
    /// The shards that the mapping knows: all that are in the stream and were listed.
    pub shards: BTreeMap<ShardId, ShardStatus>,
}

/// A snapshot of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatus {
    /// Whether it is read.
    pub state: ShardState,
    /// The last record that was settled or given up.
    pub checkpoint: Option<SequenceNumber>,
    /// How far the mapping is behind: the age of the oldest record that was read and not settled, zero when there is none
    /// left to read.
    pub iterator_age: Duration,
    /// Records in the invocation that is under way.
    pub in_flight: usize,
    /// Retries that the present batch has used.
    pub retries: u32,
    /// Records settled by this run of the mapping.
    pub settled: u64,
    /// Records given up by this run of the mapping.
    pub given_up: u64,
    /// What the last invocation that did not settle its batch ended with.
    pub last_failure: Option<String>,
}

/// Whether a shard is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardState {
    /// Not before its parents are drained.
    Waiting,
    /// It is.
    Reading,
    /// Not any more: it is closed, and all of it was settled or given up.
    Drained,
}

impl ShardStatus {
    /// A shard that is not read.
    pub(crate) fn at_rest(state: ShardState, checkpoint: Option<SequenceNumber>) -> Self {
        Self {
            state,
            checkpoint,
            iterator_age: Duration::ZERO,
            in_flight: 0,
            retries: 0,
            settled: 0,
            given_up: 0,
            last_failure: None,
        }
    }
}
