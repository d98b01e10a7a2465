//! Progress: how far a group has come on a shard, and who may say so.

use std::collections::BTreeMap;

use crate::position::{Position, SequenceNumber};
use crate::time::Timestamp;

/// The most failing positions that progress remembers; the lowest are kept. A position that is not remembered is
/// retried without being counted.
pub const FAILURES_MAX: usize = 1000;

/// An event whose handler asks for retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// How often it has.
    pub attempts: u32,
    /// When it did for the first time.
    pub since: Timestamp,
}

/// The progress as a run finds it when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// This run's fencing token; higher than that of every run before.
    pub epoch: u64,
    /// Runs that began and have not committed since the last one that did, this one included.
    pub attempts: u32,
    /// Every event at or below it is settled. [`Position::start`] on a new shard.
    pub position: Position,
    /// The events whose handler has asked for a retry.
    pub failures: BTreeMap<Position, Failing>,
    /// The event that was being handled alone, and how many runs crashed there.
    pub suspect: Option<(Position, u32)>,
    /// The earliest run whose segments speak of positions above `position`, if any does.
    pub ahead_from: Option<u64>,
    /// How often redriven events were recorded on the shard.
    pub redriven: u64,
    /// Up to where the event source has gone on past what was not settled, because of its age: it hands none of it out again.
    pub expired: Position,
}

impl Begun {
    /// The progress of a shard that no run has begun on.
    pub fn nothing() -> Self {
        Self {
            epoch: 0,
            attempts: 0,
            position: Position::start(),
            failures: BTreeMap::new(),
            suspect: None,
            ahead_from: None,
            redriven: 0,
            expired: Position::start(),
        }
    }

    /// The earliest run whose segments this one needs, however old they are: those that speak of positions ahead, and
    /// those of runs that recorded and did not commit.
    pub fn kept_from(&self) -> u64 {
        let uncommitted = (self.epoch + 1).saturating_sub(u64::from(self.attempts));
        self.ahead_from.map_or(uncommitted, |ahead| ahead.min(uncommitted))
    }
}

/// What a run writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Which commit of its run it is, from 1. One that arrives after a later one changes nothing.
    pub number: u32,
    /// Every event at or below it is settled.
    pub position: Position,
    /// Arrival of the event at `position`, where this run knows it.
    pub arrival: Option<Timestamp>,
    /// The events above `position` whose handler has asked for a retry.
    pub failures: BTreeMap<Position, Failing>,
    /// The event about to be handled alone.
    pub suspect: Option<(Position, u32)>,
    /// The earliest run whose segments speak of positions above `position`, if any does.
    pub ahead_from: Option<u64>,
    /// Zero, unless the next run has to isolate too, or this one failed and takes back its own.
    pub attempts: u32,
    /// When.
    pub at: Timestamp,
}

/// Whether a commit was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It was.
    Yes,
    /// Another run has begun since, or a later commit of this one was written; nothing was written now.
    Fenced,
}

/// How far the recovery of a range has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The first record of the range.
    pub first: SequenceNumber,
    /// The last one.
    pub last: SequenceNumber,
    /// Every event of the range up to here is settled or became a letter.
    pub done: Position,
    /// When that was said.
    pub at: Timestamp,
}
