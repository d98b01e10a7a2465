//! The pipeline on one machine.
//!
//! [`Stack::start`] reads `template.yaml`, the file that deploys, and brings up what it describes: the AWS services on
//! loopback, the function binaries behind a Lambda Runtime API, the HTTP API, and an event source mapping's poller for
//! each mapping. Nothing here knows what the functions do.

mod audit;
mod build;
pub mod count;
mod elsewhere;
pub mod event_source;
pub mod gateway;
pub mod lambda;
mod ledger;
pub mod metrics;
pub mod operator;
mod platform;
pub mod services;
mod stack;
pub mod template;

pub use audit::{StreamCount, StreamReader};
pub use build::{Profile, build_functions};
pub use elsewhere::Endpoints;
pub use stack::{Group, LogLine, Options, Progress, STACK_NAME, Stack};
