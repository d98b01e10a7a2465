//! What AWS Lambda runs between a Kinesis stream or an SQS queue and a function, as state machines without I/O.
//!
//! [`Mapping`] is the Kinesis poller: it is told the time, the random bits and what the services answered, and says what
//! to do next. The local stack drives it over the real protocols, the simulation under virtual time. The decisions of
//! a queue's poller are in [`sqs_batch`].
//!
//! Not imitated: `ParallelizationFactor` above 1, tumbling windows, event filtering, enhanced fan-out, FIFO queues,
//! SNS and S3 destinations.

mod backoff;
mod batch;
mod buffer;
mod checkpoint;
mod event;
mod given_up;
mod invocation;
mod mapping;
mod record;
mod response;
mod settings;
mod shard;
pub mod sqs_batch;
mod status;

pub use backoff::Backoff;
pub use checkpoint::{Checkpoint, ShardProgress};
pub use event::{EventSource, PAYLOAD_MAX};
pub use given_up::{Condition, GivenUp};
pub use invocation::Invocation;
pub use mapping::{ListedShard, Mapping, Step};
pub use record::{ReadFrom, Record};
pub use response::{Failure, ResponseError};
pub use settings::{Pacing, Settings, SettingsError, StartingPosition};
pub use shard::{Action, Next, ShardMachine};
pub use status::{MappingStatus, ShardState, ShardStatus};
