//! What settles the batches of a group, and how a run of it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use super::memory::Memory;
use super::settings::Settings;
use crate::dead_letter::Code;
use crate::fingerprint::Fingerprinter;
use crate::ports::{self, Clock, DeadLetters, Ledger, Shards, Turns};
use crate::position::{SequenceNumber, ShardId};
use crate::time::Timestamp;
use crate::window::Counts;

/// Everything that a run needs from outside.
pub trait Outside: Ledger + Turns + DeadLetters + Shards + Clock {}

impl<T: Ledger + Turns + DeadLetters + Shards + Clock> Outside for T {}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The record to redeliver from: that of the lowest unsettled event.
    pub resume_at: Option<SequenceNumber>,
    /// What this run settled.
    pub counts: Counts,
    /// Events that an earlier run had settled.
    pub passed_over: usize,
    /// Events left for the redelivery.
    pub unsettled: usize,
    /// Whether events were run one at a time to find the one that crashes the function.
    pub isolated: bool,
    /// Whether so many keys failed that nothing was counted against any event.
    pub outage: bool,
    /// How far the group is behind on this shard: the age of the oldest event that is left; of the last one if none is.
    pub lag: Option<Duration>,
    /// Dead letters that this run sent, by reason.
    pub letters: BTreeMap<Code, u32>,
    /// Events whose handler asked for a retry.
    pub retries: u32,
    /// Events whose names are in the shard's window.
    pub window_events: usize,
}

/// Why a run failed as a whole. The batch is redelivered whole; what was settled is passed over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Progress could not be read.
    #[error("could not begin: {0}")]
    Begin(#[source] ports::Error),
    /// The window or the shard's lineage could not be read.
    #[error("could not load the window: {0}")]
    Load(#[source] ports::Error),
    /// The segment could not be written.
    #[error("could not record what was settled: {0}")]
    Record(#[source] ports::Error),
    /// The progress could not be written.
    #[error("could not commit: {0}")]
    Commit(#[source] ports::Error),
    /// Another run of this group has begun on this shard.
    #[error("another run has taken over shard {0}")]
    Fenced(ShardId),
}

/// Settles the batches of one group. One lives as long as its process.
#[derive(Debug)]
pub struct Settler<W, O> {
    pub(super) settings: Settings,
    pub(super) fingerprints: Fingerprinter,
    pub(super) work: W,
    pub(super) outside: O,
    pub(super) memory: Memory,
}

impl<W, O: Outside> Settler<W, O> {
    /// A settler.
    pub fn new(settings: Settings, fingerprints: Fingerprinter, work: W, outside: O) -> Self {
        let memory = Memory::new(settings.window_bytes);
        Self { settings, fingerprints, work, outside, memory }
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.settings.group
    }

    /// The time, as its clock has it.
    pub fn now(&self) -> Timestamp {
        self.outside.now()
    }
}
