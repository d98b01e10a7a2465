//! Spans, and those of one event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was done, from when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// The span within it, 16 hexadecimal digits.
    pub span_id: String,
    /// The span that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// `consume_event`.
    pub name: String,
    /// What OpenTelemetry calls its kind.
    pub kind: Kind,
    /// The `service.name` of its resource: the function.
    pub service: String,
    /// When it began, in ns since the epoch.
    pub start_ns: u64,
    /// When it ended, in ns since the epoch; never before it began.
    pub end_ns: u64,
    /// Whether its status is an error.
    pub failed: bool,
    /// What its status says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The attributes that are text, numbers or truth values.
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    /// Bytes of its texts, and some for the rest.
    pub(super) fn bytes(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        self.name.len() + self.service.len() + self.message.len() + attributes + 256
    }

    /// Whether the span is about this event and names it.
    pub fn names(&self, event_id: &str) -> bool {
        self.attributes.get("event_id").is_some_and(|id| id == event_id)
    }
}

/// <https://opentelemetry.io/docs/specs/otel/trace/api/#spankind>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the page says what they are")]
pub enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// What is known of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSpans {
    /// The event's id.
    pub event_id: String,
    /// The traces that it occurs in, by when they began. Of each those spans that name the event, and those above and
    /// below them, by when they began.
    pub traces: Vec<Vec<Span>>,
    /// Spans that are kept now, of all events.
    pub spans_kept: usize,
    /// Where functions send their traces to if not here.
    pub sent_to: Vec<String>,
}
