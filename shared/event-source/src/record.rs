//! Records as they are read from a shard, and the places that reading starts at.

use std::sync::Arc;

use bytes::Bytes;
use penstock::SequenceNumber;
use penstock::time::Timestamp;

/// One Kinesis record. Clones share the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the shard.
    pub sequence: SequenceNumber,
    /// The key it was put with.
    pub partition_key: Arc<str>,
    /// The bytes, as they were put.
    pub data: Bytes,
    /// When Kinesis took it (`ApproximateArrivalTimestamp`).
    pub arrival: Timestamp,
}

/// Where a read starts. There is no `Latest`: a mapping that starts there notes the time and reads from that time, so
/// that a restart or an expired iterator misses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReadFrom {
    /// The oldest record that the stream still has.
    TrimHorizon,
    /// The first record that arrived at this time or later.
    AtTimestamp(Timestamp),
    /// The record after this one.
    After(SequenceNumber),
}
