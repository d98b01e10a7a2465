//! The shapes that Lambda hands a function.

mod consumer;
mod kinesis_event;
mod recovery;
mod redrive;

pub use consumer::serve;
pub use kinesis_event::{Error as KinesisEventError, KinesisEvent};
pub use recovery::recover;
