//! Projections: a pure function over each key's events, whose result is kept exactly once.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::Event;
use crate::fingerprint::Fingerprint;
use crate::position::Position;
use crate::schema::Accepts;

/// Folds the events of a partition key into a state.
///
/// Exactly once: the state item holds the position that was applied last and is written only over the state that was
/// read, so a redelivered event finds itself applied.
pub trait Projection: Send + Sync {
    /// The state of one key. It is stored as JSON, at most 350,000 bytes of it: an event that would make it larger is
    /// dead-lettered (`state_too_large`), and what follows is folded without it.
    type State: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Whether `event` has to do with this projection. What has not is settled without a look at any state: a stream
    /// carries events of many kinds. All of them, unless this is written.
    fn concerns(&self, event: &Event) -> bool {
        _ = event;
        true
    }

    /// The versions of events that it understands. An event of another version is dead-lettered (`schema.unknown_version`), unless
    /// it can be read as one of these. Everything, unless this is written.
    fn accepts(&self) -> Accepts {
        Accepts::Everything
    }

    /// The state after `event`. It must depend on nothing but its arguments: it may be run again.
    ///
    /// # Errors
    /// The reason why the event is refused; it is dead-lettered and the state stays as it was.
    fn fold(&self, state: Option<Self::State>, event: &Event) -> Result<Self::State, Refusal>;
}

/// Why a projection refuses an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    /// Refuses, with the reason.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl From<crate::event::DataError> for Refusal {
    fn from(error: crate::event::DataError) -> Self {
        Self(error.to_string())
    }
}

/// A state as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// One more with each write.
    pub revision: u64,
    /// The last event that went into it, or was refused.
    pub applied: Position,
    /// The state as JSON; `None` if every event so far was refused.
    pub state: Option<String>,
    /// Every event at or below it was settled before this was written, or the event source had gone on past it: which of
    /// them went into the state is forgotten.
    pub settled: Position,
    /// The places of the events above that which were refused or dead-lettered unrun, sorted: a redelivery has to know that they
    /// are dead letters.
    pub refused: Vec<Fingerprint>,
    /// The highest of those places.
    pub refused_to: Position,
    /// The events that were applied out of their order, because they were sent back from the dead letters or came by a shard
    /// that does not hold their key: the last of them.
    pub redriven: Vec<Fingerprint>,
}

/// Whether a state was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was.
    Yes,
    /// Another run has written since it was read; nothing was written.
    Superseded,
}
