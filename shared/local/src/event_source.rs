//! Event source mappings over the real protocols: tokio, the SDK clients, the wall clock.
//!
//! [`run_kinesis`] and [`run_sqs`] each run one mapping until they are cancelled. They decide nothing about records: the
//! state machines of `penstock-event-source` do.

mod checkpoints;
mod clock;
mod kinesis;
mod on_failure;
mod sqs;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

use penstock_event_source::{Invocation, SettingsError};

pub use checkpoints::{CheckpointError, CheckpointStore, FileCheckpoints, MemoryCheckpoints};
pub use kinesis::{KinesisMapping, Puts, run_kinesis};
pub use sqs::{SqsMapping, run_sqs};

/// Whoever runs the function.
pub trait Invoke: Clone + Send + Sync + 'static {
    /// Invokes the function synchronously. Whatever goes wrong is an [`Invocation`]: the mapping retries it as its
    /// settings say. May be dropped before it ends, when a mapping that stops runs out of its grace.
    fn invoke(&self, payload: Bytes) -> impl Future<Output = Invocation> + Send;

    /// Hears, each time a Kinesis mapping is about to invoke it, how old the last record of the batch is.
    fn sends(&self, _age: Duration) {}
}

/// Why a mapping does not start, or stops by itself. What can pass is retried instead.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// AWS would refuse the settings.
    #[error("the settings of the mapping are refused: {}", list(.0))]
    Settings(Vec<SettingsError>),
    /// The checkpoint could not be read at the start, or not be written at the end.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of another stream: its sequence numbers mean nothing in this one.
    #[error("the checkpoint is of {found}, and the mapping reads {expected}")]
    OtherStream {
        /// The stream of the checkpoint.
        found: String,
        /// The stream of the mapping.
        expected: String,
    },
    /// The invoker, or the mapping itself, has a fault.
    #[error("a task of the mapping panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

fn list(errors: &[SettingsError]) -> String {
    errors.iter().map(SettingsError::to_string).collect::<Vec<_>>().join("; ")
}
