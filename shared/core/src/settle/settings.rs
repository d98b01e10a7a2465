//! What a group can choose, and what is stored at most in one item.

use std::time::Duration;

use crate::window::SEGMENT_EVENTS_MAX;

/// What a group can choose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The group's name.
    pub group: String,
    /// The stream's name.
    pub stream: String,
    /// How long an event's duplicate is recognised.
    pub horizon: Duration,
    /// How often an event is handled at least before it is dead-lettered...
    pub attempts_max: u32,
    /// ...and for how long at least, from its first failure.
    pub patience: Duration,
    /// Keys that are handled side by side.
    pub concurrency: usize,
    /// Time kept back for recording, committing and answering; at most a quarter of what the run has.
    pub margin: Duration,
    /// Failing keys that may mean an outage...
    pub outage_keys: usize,
    /// ...if they are this share of the batch's keys that were tried, now or in an earlier run.
    pub outage_share: f64,
    /// What is stored at most in one item.
    pub item: ItemLimits,
    /// The share of handled events that the log names, from 0 to 1. An event is in it or not by its name, so that each
    /// group names the same ones.
    pub log_share: f64,
    /// Bytes that the windows of a process may take together. One that would take more alone forgets its oldest names, which
    /// shortens the horizon and is logged.
    pub window_bytes: usize,
}

/// What is stored at most in one DynamoDB item, which holds 409,600 bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
#[derive(Debug, Clone, Copy)]
pub struct ItemLimits {
    /// Bytes of a projection's state as JSON.
    pub state_bytes: usize,
    /// Events of a key that are refused and not passed by a commit yet, 8 bytes each in its state: after so many its
    /// later events wait for the next run.
    pub refused: usize,
    /// Events of one segment, at most 16 bytes each.
    pub segment_events: usize,
}

impl ItemLimits {
    /// Together they fit an item, with what is redriven and the names.
    pub const DEFAULT: Self = Self { state_bytes: 350_000, refused: 4096, segment_events: SEGMENT_EVENTS_MAX };
}

impl Settings {
    /// The defaults for a group.
    pub fn new(group: impl Into<String>, stream: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            stream: stream.into(),
            horizon: Duration::from_secs(15 * 60),
            attempts_max: 3,
            patience: Duration::from_secs(60),
            concurrency: 64,
            margin: Duration::from_secs(4),
            outage_keys: 10,
            outage_share: 0.25,
            item: ItemLimits::DEFAULT,
            log_share: 0.0,
            window_bytes: 200 * 1024 * 1024,
        }
    }
}
