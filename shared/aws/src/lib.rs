//! Penstock on AWS: the core's ports over the real SDK, the shapes that Lambda hands a function, and configuration
//! from the environment.
//!
//! A consumer group's `main` is a few lines over [`Group`]; everything else here is for whoever puts the parts
//! together differently.

mod clients;
pub mod clock;
pub mod config;
pub mod deployment;
mod dynamodb;
pub mod error;
mod group;
mod kinesis;
pub mod lambda;
pub mod log;
pub mod metrics;
mod recovery;
mod sdk;
mod sqs;
pub mod trace;

pub use clients::Clients;
pub use deployment::Deployment;
pub use dynamodb::{ProgressTable, SchemaTable, StateTable, StateWrites, WindowTable};
pub use group::{DESCRIBE, Description, Group, GroupConfig, Ports};
pub use kinesis::{KinesisShards, KinesisStream, stored_record};
pub use recovery::recover_from_env;
pub use sdk::Sdk;
pub use sqs::DeadLetterQueue;
