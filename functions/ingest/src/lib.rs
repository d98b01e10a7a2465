//! The edge: CloudEvents that come in over HTTP go onto the stream.
//!
//! Guarantees: an event is answered `accepted` only after Kinesis has said that it is stored; every event of a request
//! gets an answer of its own; no input panics, and none takes more memory than [`penstock::Limits`] allow; nothing is
//! kept past the answer.
//! Does not guarantee that an event answered otherwise is not on the stream: a reply of Kinesis can be lost. Sending it
//! again under the same `source` and `id` is always right.
//!
//! A request passes through the modules in this order: [`edge`] reads what the gateway passes, [`handler`] finds the route, [`request`] and [`encoding`] make
//! bytes of the Lambda event, [`cloudevents`] makes events of the bytes, `penstock::producer` stores them, and
//! [`answer`] says what became of each, in the words of [`code`]. `docs/http.md` describes the same for senders.

pub mod answer;
pub mod cloudevents;
pub mod code;
pub mod edge;
pub mod encoding;
pub mod handler;
pub mod media_type;
pub mod request;
pub mod schemas;
mod telling;
pub mod trace;

pub use handler::Ingest;
