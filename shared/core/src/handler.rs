//! Event handlers: what a user writes to act on events.

use std::future::Future;

use crate::event::{DataError, Event};
use crate::fingerprint::Fingerprinter;
use crate::position::{Position, ShardId};
use crate::schema::Accepts;
use crate::time::Timestamp;

/// Acts on events: one at a time for each partition key, in their order; keys side by side.
///
/// At least once: after a crash an event can be handled again, with the same
/// [idempotency key](HandlerContext::idempotency_key). Pass that on to whatever the handler calls.
pub trait EventHandler: Send + Sync {
    /// The versions of events that it understands. An event of another version is dead-lettered (`schema.unknown_version`), unless
    /// it can be read as one of these; redriven after an upgrade it is handled. Everything, unless this is written.
    fn accepts(&self) -> Accepts {
        Accepts::Everything
    }

    /// Handles one event. `Ok` settles it.
    ///
    /// # Errors
    /// [`Failure::Retry`] to see the event again, [`Failure::Refuse`] to have it dead-lettered at once.
    fn handle(&self, event: &Event, context: &HandlerContext<'_>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why an event was not handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may work later. At the limit of attempts the event is dead-lettered.
    #[error("{0}")]
    Retry(String),
    /// It will never work. The event is dead-lettered.
    #[error("{0}")]
    Refuse(String),
}

impl Failure {
    /// Asks for a retry, with the cause.
    pub fn retry(cause: impl std::fmt::Display) -> Self {
        Self::Retry(cause.to_string())
    }

    /// Refuses, with the reason.
    pub fn refuse(reason: impl std::fmt::Display) -> Self {
        Self::Refuse(reason.to_string())
    }
}

/// Data of another shape stays of another shape.
impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Refuse(error.to_string())
    }
}

/// What a handler may want to know besides the event.
#[derive(Debug, Clone, Copy)]
pub struct HandlerContext<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The shard.
    pub shard: &'a ShardId,
    /// The event's place.
    pub position: &'a Position,
    /// When the event arrived on the stream.
    pub arrival: Timestamp,
    /// Which attempt this is, from 1, as far as it is known.
    pub attempt: u32,
    /// The fencing token of `shard`: a run that has lost its fence has a lower one than the run that took over. Something
    /// downstream that remembers the highest it saw of each shard can refuse a zombie's late effect. It begins again on
    /// the shards that come of a split or a merge, and a redrive has that of the last run.
    pub epoch: u64,
    /// When this run has to end.
    pub deadline: Timestamp,
    /// What [`idempotency_key`](Self::idempotency_key) is made with: the deployment's key.
    pub fingerprints: &'a Fingerprinter,
}

impl HandlerContext<'_> {
    /// 32 hex digits that are the same each time this group handles this event, and differ between groups, events and
    /// deployments. Under the deployment's key: who knows an event's source and id cannot compute it.
    pub fn idempotency_key(&self, event: &Event) -> String {
        self.fingerprints.idempotency_key(self.group, event)
    }
}
