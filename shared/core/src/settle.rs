//! The settle protocol: what a consumer group does with one batch of one shard.
//!
//! ```text
//! begin    progress: epoch + 1, attempts + 1       fences every older run
//! load     the window, unless the run before was in this process
//! settle   pass over what is settled; handle, dead-letter, or leave each event
//! record   the window segments of what this run settled
//! commit   progress: position, failures, attempts = 0, if the epoch is still ours
//! answer   the record of the lowest unsettled event, or none
//!
//! release  instead, when a step fails: takes back the attempt that begin counted, so that it does not look like a crash
//! ```
//!
//! What a crash between two steps leaves behind:
//!
//! | crash after | state | what the redelivery repeats |
//! |---|---|---|
//! | begin, load | attempts counted | everything |
//! | settle | effects done, nothing written | a handler's effects; a projection finds its events applied |
//! | record | segment written, position not | nothing: the segment says up to where all is settled |
//! | commit | position written | nothing |
//!
//! A dead letter that was sent before such a crash is sent again with the same position.
//!
//! P0 to P7, here and elsewhere, are the promises of `docs/reliability.md`, by the numbers that the simulation prints when
//! one breaks; they stand where the code upholds them.

mod ending;
mod handling;
mod isolation;
mod lane;
mod lanes;
mod letters;
pub(crate) mod loading;
mod memory;
mod outage;
mod patience;
mod projecting;
mod redrive;
mod returned;
mod run;
mod settings;
mod settler;
mod steps;
mod tally;
pub(crate) mod times;
mod work;

pub use handling::Handling;
pub use lane::{LaneEnd, Outcome, Stop};
pub use projecting::Projecting;
pub use redrive::LetterEnd;
pub use returned::{Returned, Trouble};
pub use settings::{ItemLimits, Settings};
pub use settler::{Error, Outside, Settled, Settler};
pub use work::{Context, Lane, LaneContext, Work};

#[cfg(test)]
mod tests;
