//! Where a mapping goes on after a restart.

use std::collections::BTreeMap;

use penstock::{SequenceNumber, ShardId};
use serde::{Deserialize, Serialize};

/// The progress of a mapping in all shards of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// The stream that the sequence numbers belong to.
    pub stream_arn: String,
    /// Milliseconds since the epoch from which on shards without progress are read; `None` reads all that they have.
    pub start_at_ms: Option<u64>,
    /// What is done, by shard.
    pub shards: BTreeMap<ShardId, ShardProgress>,
}

/// The progress in one shard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardProgress {
    /// Every record up to this one was settled or given up.
    pub settled_to: Option<SequenceNumber>,
    /// The shard is closed, and that was its last record.
    pub drained: bool,
}
