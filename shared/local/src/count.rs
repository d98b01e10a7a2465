//! What the functions ask of AWS, counted: calls, and the units that AWS bills them by.
//!
//! A [`Counter`] is off unless [`Options::count`](crate::Options) holds one. Then each function reaches Kinesis, DynamoDB
//! and SQS through a relay of its own, which passes everything on and counts it. What else uses the services (the event
//! source's pollers, readers, commands) does not go through a relay and is not counted: on AWS it is not the functions' to pay.

mod relay;
mod seen;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use relay::{Relay, relay};

/// What a count is kept by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Call {
    /// The binary of the function that called.
    pub function: String,
    /// `Kinesis`, `DynamoDB` or `SQS`.
    pub service: String,
    /// As `X-Amz-Target` names it: `PutRecords`.
    pub operation: String,
    /// The table, stream or queue, as the template's name of it ends; empty if the call names none.
    pub resource: String,
}

/// What calls came to. Units are those of calls that succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// All of them.
    pub calls: u64,
    /// Those that were answered with an error, such as a condition that does not hold.
    pub refused: u64,
    /// DynamoDB: read units, as the service states them.
    #[serde(default)]
    pub read_units: f64,
    /// DynamoDB: write units, likewise.
    #[serde(default)]
    pub write_units: f64,
    /// DynamoDB: bytes of the items of `PutItem`. Kinesis: bytes of the records that were put, keys included.
    #[serde(default)]
    pub bytes: u64,
    /// Kinesis: records that were put. SQS: messages.
    #[serde(default)]
    pub records: u64,
    /// Kinesis: 25 KB units of those records, each rounded up.
    #[serde(default)]
    pub put_units: u64,
}

impl Count {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.refused += other.refused;
        self.read_units += other.read_units;
        self.write_units += other.write_units;
        self.bytes += other.bytes;
        self.records += other.records;
        self.put_units += other.put_units;
    }
}

/// Counts of all functions. Clones are the same counter.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<Mutex<BTreeMap<Call, Count>>>);

impl Counter {
    /// What was counted since the last time this was asked.
    pub fn take(&self) -> BTreeMap<Call, Count> {
        std::mem::take(&mut *self.lock())
    }

    fn count(&self, call: Call, count: &Count) {
        self.lock().entry(call).or_default().add(count);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Call, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
