//! What a lane comes to. A lane is the events of one partition key in a batch, handled in order; lanes run side by side.

use crate::ports;

/// What became of an event. An event without an outcome is unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An earlier run settled it.
    Before,
    /// Handled, or applied to a state.
    Handled,
    /// Handled earlier under another position.
    Duplicate,
    /// Sent to the dead letters.
    DeadLettered,
    /// Penstock's own, and not this shard's: it is on the right one too.
    Foreign,
}

impl Outcome {
    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "settled_before",
            Self::Handled => "handled",
            Self::Duplicate => "duplicate",
            Self::DeadLettered => "dead_lettered",
            Self::Foreign => "foreign",
        }
    }
}

/// How far a lane came: outcomes for its first events, and why it stopped if it did.
#[derive(Debug)]
pub struct LaneEnd {
    /// Outcomes of the first events.
    pub outcomes: Vec<Outcome>,
    /// Why the event after those has none.
    pub stop: Option<Stop>,
}

impl LaneEnd {
    /// A lane that settled nothing.
    pub(super) fn nothing(stop: Stop) -> Self {
        Self { outcomes: Vec::new(), stop: Some(stop) }
    }
}

/// Why a lane stopped.
#[derive(Debug)]
pub enum Stop {
    /// The event has to be seen again, and that counts.
    Retry(String),
    /// Time ran out.
    OutOfTime,
    /// Something outside failed; it says nothing about the event.
    Outside(ports::Error),
}
