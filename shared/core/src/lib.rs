//! The pure half of Penstock: events, positions, packing, windows and the settle protocol.
//!
//! Nothing here names an AWS type, opens a socket, reads a clock or draws a random number. Time, randomness and the
//! outside world come in as arguments or through the [ports](ports), so that a simulation can run this very code.
//!
//! Where to start reading: [`settle`] is the protocol that a consumer group follows for one batch, [`producer`] is what
//! the edge does with one request, and [`event`] is what both are about.

pub mod batch;
pub mod dead_letter;
pub mod decision;
pub mod event;
pub mod fingerprint;
pub mod handler;
pub mod hash;
mod json;
pub mod key;
pub mod limits;
pub mod packing;
pub mod ports;
pub mod position;
pub mod producer;
pub mod progress;
pub mod projection;
pub mod recover;
pub mod schema;
pub mod settle;
pub mod span;
pub mod text;
pub mod time;
pub mod trace;
pub mod window;

pub use event::Event;
pub use handler::{EventHandler, Failure, HandlerContext};
pub use key::PartitionKey;
pub use limits::Limits;
pub use position::{Position, SequenceNumber, ShardId};
pub use projection::Projection;
pub use schema::Accepts;
