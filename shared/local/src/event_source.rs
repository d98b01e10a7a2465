//! Event source mappings on one machine: what AWS Lambda runs between a Kinesis stream or an SQS queue and a function.
//!
//! [`Mapping`] is the Kinesis poller as a state machine without I/O: it is told the time, the random bits and what the
//! services answered, and says what to do next. The local stack drives it over the real protocol with [`run_kinesis`];
//! a simulation drives it under virtual time. [`run_sqs`] polls a queue; the decisions it takes are in [`sqs_batch`].
//!
//! Not imitated: `ParallelizationFactor` above 1, tumbling windows, event filtering, enhanced fan-out, FIFO queues,
//! SNS and S3 destinations.

mod backoff;
mod batch;
mod buffer;
mod checkpoint;
mod driver;
mod event;
mod given_up;
mod mapping;
mod record;
mod response;
mod settings;
mod shard;
pub mod sqs_batch;
mod status;

pub use backoff::Backoff;
pub use checkpoint::{Checkpoint, ShardProgress};
pub use driver::{
    CheckpointError, CheckpointStore, FileCheckpoints, Invoke, KinesisMapping, MappingError, MemoryCheckpoints,
    SqsMapping, run_kinesis, run_sqs,
};
pub use event::{EventSource, PAYLOAD_MAX};
pub use given_up::{Condition, GivenUp};
pub use mapping::{ListedShard, Mapping, Step};
pub use record::{ReadFrom, Record};
pub use response::{Failure, ResponseError};
pub use settings::{Pacing, Settings, SettingsError, StartingPosition};
pub use shard::{Action, Next, ShardMachine};
pub use status::{MappingStatus, ShardState, ShardStatus};
