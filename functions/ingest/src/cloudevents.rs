//! CloudEvents over HTTP: the events of a request, in whichever of the three modes it comes.
//!
//! Guarantees: in the batched mode every event is judged on its own, so that one bad event refuses no other; what is
//! ready can be put on the stream as it is: valid, with its partition key, and within the bounds as it is stored.
//! Does not tell duplicates apart: that is the consumers' business.
//!
//! The binding: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>.

mod batch;
mod binary;
mod error;
mod header;
mod mode;

use std::borrow::Cow;

use http::HeaderMap;
use penstock::event::{self, Event};
use penstock::key::KeyRules;
use penstock::producer::Outgoing;
use penstock::trace::TraceContext;
use penstock::{Limits, PartitionKey};
use serde::Deserialize;

pub(crate) use mode::ACCEPTED;

use crate::schemas::{EXPLAINED_BYTES, View};
use crate::trace::RequestTrace;

pub use error::{Error, EventError, Fault, HeaderProblem};
pub use mode::{Mode, Place};

/// An event that can be put on the stream.
#[derive(Debug)]
pub struct Ready {
    /// What the log calls it.
    pub named: Named,
    /// The event as the producer takes it.
    pub outgoing: Outgoing,
}

/// Which event it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its `id`.
    pub id: String,
    /// Its `source`.
    pub source: String,
    /// Its `type`.
    pub kind: String,
    /// What its order is kept by.
    pub key: PartitionKey,
    /// The trace that it belongs to.
    pub trace: TraceContext,
}

/// An event that cannot.
#[derive(Debug)]
pub struct Refused {
    /// The event's `id`, if it could be made out.
    pub id: Option<String>,
    /// Where in the request the fault is, if it is in one place.
    pub place: Option<Place>,
    /// What is wrong.
    pub error: EventError,
    /// All that is wrong with its data, if that is what it is.
    pub faults: Box<[Fault]>,
}

/// One event of a request.
pub type Judged = Result<Ready, Refused>;

/// Bytes of `,"traceparent":"..."`, whose value always has 55.
const TRACE_BYTES: usize = 72;
/// Bytes of `,"tracestate":""`.
const STATE_BYTES: usize = 16;

/// One event of a request, as far as it could be read.
#[derive(Debug)]
pub struct Read {
    mode: Mode,
    index: usize,
    event: Result<Event, EventError>,
    /// Its `id`, if it could be made out although it is no event.
    id: Option<String>,
}

impl Read {
    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        self.event.as_ref().ok()
    }

    fn new(mode: Mode, index: usize, event: Result<Event, EventError>, id: impl FnOnce() -> Option<String>) -> Self {
        let id = if event.is_err() { id() } else { None };
        Self { mode, index, event, id }
    }

    fn json(mode: Mode, index: usize, json: &str, limits: &Limits) -> Self {
        Self::new(mode, index, Event::from_json(json, limits).map_err(EventError::from), || id(json, limits))
    }
}

/// The events of a request, in the order they were sent.
///
/// # Errors
/// When the request as a whole cannot be read; then none of its events may be stored.
pub fn read(limits: &Limits, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Read>, Error> {
    match Mode::of(headers)? {
        mode @ Mode::Structured => Ok(vec![Read::json(mode, 0, text(body)?, limits)]),
        mode @ Mode::Batched => {
            let events = batch::split(text(body)?, limits.events_per_request)?;
            Ok(events.iter().enumerate().map(|(index, raw)| Read::json(mode, index, raw.get(), limits)).collect())
        }
        mode @ Mode::Binary { .. } => {
            let event = binary::read(mode, headers, body, limits);
            Ok(vec![Read::new(mode, 0, event, || header::id(headers, limits))])
        }
    }
}

/// What events are judged by.
#[derive(Debug)]
pub struct Rules<'a> {
    /// The bounds.
    pub limits: &'a Limits,
    /// What gives an event its partition key.
    pub keys: &'a KeyRules,
    /// What its data has to be.
    pub schemas: &'a View<'a>,
    /// The trace that its events belong to.
    pub trace: &'a RequestTrace,
}

impl Rules<'_> {
    /// The events, each judged.
    pub fn judge(self, read: Vec<Read>) -> Vec<Judged> {
        let mut budget = EXPLAINED_BYTES;
        read.into_iter().map(|read| self.judge_one(read, &mut budget)).collect()
    }

    fn judge_one(&self, read: Read, budget: &mut usize) -> Judged {
        let Read { mode, index, event, id } = read;
        let refused = |id, error: EventError| Refused {
            id,
            place: error.place(mode, index),
            faults: error.faults(mode, index),
            error,
        };
        let event = event.map_err(|error| refused(id, error))?;
        let id = event.id().to_owned();
        self.prepare(event, budget).map_err(|error| refused(Some(id), error))
    }

    fn prepare(&self, mut event: Event, budget: &mut usize) -> Result<Ready, EventError> {
        event.set_judged(None);
        let judged = self.schemas.judge(&event, budget)?;
        let key = self.keys.key_of_or(&event, || self.schemas.partition_key(&event))?;
        let trace = self.trace.of_event();
        event.set_trace(&trace, self.trace.state());
        event.set_judged(judged);
        let body = event.to_json();
        // what the server adds is not the sender's
        let of_trace = TRACE_BYTES + self.trace.state().map_or(0, |state| STATE_BYTES + state.len());
        let of_schema = judged.map_or(0, |judged| judged.to_string().len());
        let (bytes, max) = (body.len() - of_trace - of_schema, self.limits.event_bytes);
        // Looked at again although `from_json` has: escapes and base64 can make the stored form the longer one.
        if bytes > max {
            return Err(event::Error::TooLarge { bytes, max }.into());
        }
        let [id, source, kind] = [event.id(), event.source(), event.kind()].map(str::to_owned);
        Ok(Ready { named: Named { id, source, kind, key: key.clone(), trace }, outgoing: Outgoing { key, body } })
    }
}

/// The body as text.
fn text(body: &[u8]) -> Result<&str, Error> {
    if body.trim_ascii().is_empty() {
        return Err(Error::Empty);
    }
    std::str::from_utf8(body).map_err(|error| Error::Utf8 { offset: error.valid_up_to() })
}

/// The `id` of a refused event, so that the sender can tell which one it was.
fn id(json: &str, limits: &Limits) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let named: Named<'_> = serde_json::from_str(json).ok()?;
    (named.id.len() <= limits.name_bytes).then(|| named.id.into_owned())
}

#[cfg(test)]
mod tests;
