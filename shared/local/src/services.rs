//! The services of the local pipeline: Kinesis, DynamoDB, SQS and a little of CloudFormation over HTTP on loopback, speaking the AWS protocols.
//!
//! [`Services::start`] brings them up, [`Services::create`] makes a template's resources on them. Guarantees: nothing
//! listens beyond 127.0.0.1; with a state directory, whatever was acknowledged survives the death of the process. Not
//! guaranteed: surviving the loss of power (nothing is synced until a clean shutdown), and IAM (every call is allowed).

mod clock;
mod cloudformation;
pub(crate) mod create;
mod dynamodb;
mod journal;
mod kinesis;
mod running;
pub(crate) mod server;
mod sqs;
mod start_error;
mod state_dir;
#[cfg(test)]
mod tests;

pub(crate) use clock::now_ms;
pub(crate) use cloudformation::{CloudFormation, LocalStack};
pub use create::{CreateError, Created, create};
pub use running::{Options, Ports, Services};
pub(crate) use sqs::MESSAGE_MAX;
pub use start_error::StartError;
pub(crate) use state_dir::mappings;
