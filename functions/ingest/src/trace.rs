//! The trace that a request's events belong to: the sender's, or a new one.
//!
//! Every event leaves with a `traceparent` of the server's making, whether spans are collected or not, so that a line of log
//! in any function can be found by its trace.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use penstock::key::KeyHash;
use penstock::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use penstock_aws::trace::{Kind, Span, Traces, new_span_id, new_trace_id};

use crate::answer::EventResult;
use crate::cloudevents::Named;

/// Bytes of a `tracestate` that are handed on: <https://www.w3.org/TR/trace-context/#tracestate-limits>.
const STATE_MAX: usize = 512;

/// The trace of one request.
#[derive(Debug, Clone)]
pub struct RequestTrace {
    /// What the sender says.
    parent: Option<TraceContext>,
    context: TraceContext,
    state: Option<String>,
    collects: bool,
}

impl RequestTrace {
    /// The trace that the headers name. A `traceparent` that is malformed, or there twice, begins a new one.
    pub fn of(headers: &HeaderMap, traces: Option<&Arc<Traces>>) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next().filter(|_| parents.next().is_none());
        let parent = parent.and_then(|value| value.to_str().ok()).and_then(TraceContext::parse);
        let states: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
        let state = Some(states.join(",")).filter(|state| parent.is_some() && is_sound(state));
        let begun = || TraceContext { trace: new_trace_id(), span: new_span_id(), sampled: false };
        let context = parent.unwrap_or_else(begun);
        let collects = traces.is_some_and(|traces| traces.samples(context.trace, parent));
        // without a collector here, what the sender decided is handed on
        let sampled = if traces.is_some() { collects } else { context.sampled };
        Self { parent, context: TraceContext { sampled, ..context }, state, collects }
    }

    /// The context that an event leaves with: of a span of its own, if spans are collected.
    pub(crate) fn of_event(&self) -> TraceContext {
        if self.collects { self.context.at(new_span_id()) } else { self.context }
    }

    /// What is handed on beside it.
    pub(crate) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace's id.
    pub fn id(&self) -> String {
        self.context.trace_id()
    }

    /// The spans of one event: its way through the function, and in it the stream's part, if it came that far.
    pub(crate) fn record(&self, traces: &Traces, times: &Times, named: Option<&Named>, outcome: &EventResult) {
        if !self.collects {
            return;
        }
        let (id, place, failed) = match outcome {
            EventResult::Accepted { id, shard, sequence } => (Some(id), Some((shard, sequence)), None),
            EventResult::Retry { id, code, .. } => (Some(id), None, Some(code.name())),
            EventResult::Rejected { id, code, .. } => (id.as_ref(), None, Some(code.name())),
        };
        let mut attributes: Vec<_> = id.map(|id| ("event_id", id.clone())).into_iter().collect();
        let context = named.map_or_else(|| self.of_event(), |named| named.trace);
        if let Some(named) = named {
            let of_named = [
                ("event_source", named.source.clone()),
                ("event_type", named.kind.clone()),
                ("key_hash", KeyHash(&named.key).to_string()),
            ];
            traces.record(Span {
                name: "partition_assign",
                context: context.at(new_span_id()),
                parent: Some(context.span),
                is_remote: false,
                kind: Kind::Internal,
                began: times.read,
                ended: times.stored,
                attributes: match place {
                    Some((shard, sequence)) => {
                        let place = [("shard", shard.to_string()), ("position", sequence.to_string())];
                        attributes.iter().cloned().chain(place).collect()
                    }
                    None => attributes.clone(),
                },
                failed,
            });
            attributes.extend(of_named);
        }
        traces.record(Span {
            name: "produce_event",
            context,
            parent: self.parent.map(|parent| parent.span),
            is_remote: self.parent.is_some(),
            kind: Kind::Producer,
            began: times.request,
            ended: times.stored,
            attributes,
            failed,
        });
    }
}

/// When what happened to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// It came.
    pub(crate) request: SystemTime,
    /// Its events were read, and went to the stream.
    pub(crate) read: SystemTime,
    /// The stream had answered.
    pub(crate) stored: SystemTime,
}

/// Printable ASCII that needs no escape in JSON.
fn is_sound(state: &str) -> bool {
    (1..=STATE_MAX).contains(&state.len()) && state.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_the_sender_says_is_handed_on() {
        let trace = RequestTrace::of(&headers(&[("traceparent", PARENT), ("tracestate", "a=1,b=2")]), None);
        assert_eq!((trace.of_event().to_string().as_str(), trace.state()), (PARENT, Some("a=1,b=2")));
    }

    #[test]
    fn what_is_malformed_begins_a_new_trace() {
        let bad: [&[(&str, &str)]; 4] = [
            &[],
            &[("traceparent", "00-xyz")],
            &[("traceparent", PARENT), ("traceparent", PARENT)],
            &[("tracestate", "a=1")],
        ];
        for pairs in bad {
            let trace = RequestTrace::of(&headers(pairs), None);
            assert_ne!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
            let event = trace.of_event();
            assert!(event.trace != 0 && event.span != 0 && !event.sampled && trace.state().is_none());
        }
    }

    #[test]
    fn a_state_that_is_none_is_left_out() {
        for state in ["a=\"b\"", "a=\\", &"x".repeat(513)] {
            let trace = RequestTrace::of(&headers(&[("traceparent", PARENT), ("tracestate", state)]), None);
            assert_eq!(trace.state(), None, "{state}");
        }
    }
}
