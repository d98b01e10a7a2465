//! The shapes that Lambda hands a function.

mod consumer;
mod kinesis_event;

pub use consumer::consume;
pub use kinesis_event::{Error as KinesisEventError, KinesisEvent};
