//! The spans that the functions have sent.
//!
//! Guarantees: at most [`SPANS_MAX`] are kept, of [`BYTES_MAX`] together, in memory only; beyond, whole traces go, the one that was heard of first
//! first. A span that is sent again replaces itself. A trace may be incomplete: spans of a process that was killed are
//! never sent.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::span::Span;

/// Spans that are kept: 180 MB with the attributes that the functions give theirs.
pub const SPANS_MAX: usize = 100_000;

/// Bytes of their texts together. Others' spans can be larger.
const BYTES_MAX: usize = 128 * 1024 * 1024;

/// All spans. Clones are the same store.
#[derive(Debug, Clone)]
pub struct SpanStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    kept: Mutex<Kept>,
}

/// A trace's spans by their ids.
type Trace = HashMap<String, Span>;

#[derive(Debug, Default)]
struct Kept {
    traces: HashMap<String, Trace>,
    /// The traces, in the order in which they were heard of.
    order: VecDeque<String>,
    spans: usize,
    bytes: usize,
}

impl Default for SpanStore {
    fn default() -> Self {
        Self::new(SPANS_MAX)
    }
}

impl SpanStore {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max, kept: Mutex::default() }))
    }

    /// Keeps spans.
    pub fn insert(&self, spans: Vec<Span>) {
        let mut guard = self.lock();
        let kept = &mut *guard;
        for span in spans {
            if !kept.traces.contains_key(&span.trace_id) {
                kept.order.push_back(span.trace_id.clone());
            }
            let trace = kept.traces.entry(span.trace_id.clone()).or_default();
            kept.bytes += span.bytes();
            match trace.insert(span.span_id.clone(), span) {
                Some(before) => kept.bytes -= before.bytes(),
                None => kept.spans += 1,
            }
            while kept.spans > self.0.max || kept.bytes > BYTES_MAX {
                let Some(oldest) = kept.order.pop_front() else { break };
                let trace = kept.traces.remove(&oldest).unwrap_or_default();
                kept.spans -= trace.len();
                kept.bytes -= trace.values().map(Span::bytes).sum::<usize>();
            }
        }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.lock().spans
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of an event, as [`EventSpans::traces`](super::span::EventSpans::traces) has it.
    pub fn of_event(&self, event_id: &str) -> Vec<Vec<Span>> {
        let kept = self.lock();
        let traces = kept.traces.values().map(|trace| related(trace, event_id));
        let mut traces: Vec<_> = traces.filter(|spans| !spans.is_empty()).collect();
        traces.sort_by_cached_key(|spans| (spans[0].start_ns, spans[0].trace_id.clone()));
        traces
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The spans that name the event, what they are parts of, and their parts; by when they began.
fn related(trace: &Trace, event_id: &str) -> Vec<Span> {
    let own: Vec<&Span> = trace.values().filter(|span| span.names(event_id)).collect();
    if own.is_empty() {
        return Vec::new();
    }
    // what the senders call parents can be a circle, so that both ways look where they have been
    let mut found: HashSet<&str> = HashSet::new();
    for span in &own {
        let mut above = span.parent_id.as_ref().and_then(|id| trace.get(id));
        while let Some(span) = above.filter(|span| found.insert(&span.span_id)) {
            above = span.parent_id.as_ref().and_then(|id| trace.get(id));
        }
    }
    let mut parts: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in trace.values() {
        if let Some(parent) = &span.parent_id {
            parts.entry(parent).or_default().push(span);
        }
    }
    let mut below: HashSet<&str> = HashSet::new();
    let mut next = own;
    while let Some(span) = next.pop() {
        if below.insert(&span.span_id) {
            next.extend(parts.get(span.span_id.as_str()).into_iter().flatten());
        }
    }
    found.extend(below);
    let mut spans: Vec<Span> = found.into_iter().filter_map(|id| trace.get(id)).cloned().collect();
    spans.sort_by(|a, b| (a.start_ns, &a.span_id).cmp(&(b.start_ns, &b.span_id)));
    spans
}

#[cfg(test)]
mod tests {
    use super::super::span::Kind;
    use super::*;

    /// A span of trace `t`; its ids are texts, and `start` is in ns.
    fn span(trace: &str, id: &str, parent: Option<&str>, event: Option<&str>, start: u64) -> Span {
        Span {
            trace_id: trace.to_owned(),
            span_id: id.to_owned(),
            parent_id: parent.map(str::to_owned),
            name: "consume_event".to_owned(),
            kind: Kind::Consumer,
            service: "order-status".to_owned(),
            start_ns: start,
            end_ns: start + 1,
            failed: false,
            message: String::new(),
            attributes: event.map(|id| ("event_id".to_owned(), id.to_owned())).into_iter().collect(),
        }
    }

    fn ids(spans: &[Span]) -> Vec<&str> {
        spans.iter().map(|span| span.span_id.as_str()).collect()
    }

    #[test]
    fn of_a_trace_of_two_events_only_the_spans_of_the_one_are_given() {
        let store = SpanStore::default();
        store.insert(vec![
            span("t", "batch", None, None, 0),
            span("t", "produce-1", Some("batch"), Some("1"), 1),
            span("t", "produce-2", Some("batch"), Some("2"), 2),
            span("t", "assign-1", Some("produce-1"), None, 3),
            span("t", "assign-2", Some("produce-2"), None, 4),
            span("t", "process-1", Some("consume-1"), None, 9),
            span("t", "consume-1", Some("produce-1"), Some("1"), 8),
            span("t", "consume-2", Some("produce-2"), Some("2"), 8),
            span("u", "elsewhere-1", None, Some("1"), 5),
            span("v", "other", None, Some("3"), 5),
        ]);
        let found = store.of_event("1");
        assert_eq!(found.len(), 2);
        assert_eq!(ids(&found[0]), ["batch", "produce-1", "assign-1", "consume-1", "process-1"]);
        assert_eq!(ids(&found[1]), ["elsewhere-1"]);
        assert!(store.of_event("4").is_empty());
    }

    #[test]
    fn spans_whose_parents_are_a_circle_or_missing_are_found() {
        let store = SpanStore::default();
        store.insert(vec![
            span("t", "a", Some("b"), Some("1"), 0),
            span("t", "b", Some("a"), None, 1),
            span("t", "self", Some("self"), Some("1"), 2),
            span("t", "orphan", Some("never sent"), Some("1"), 3),
        ]);
        assert_eq!(ids(&store.of_event("1")[0]), ["a", "b", "self", "orphan"]);
    }

    #[test]
    fn beyond_the_bound_the_oldest_traces_go_whole_and_a_span_that_comes_again_counts_once() {
        let store = SpanStore::new(4);
        store.insert(vec![span("a", "1", None, Some("1"), 9), span("b", "1", None, Some("2"), 8)]);
        store.insert(vec![span("b", "1", None, Some("2"), 7), span("a", "2", None, None, 8)]);
        assert_eq!((store.len(), store.of_event("2")[0][0].start_ns), (3, 7));
        store.insert(vec![span("c", "1", None, None, 1), span("c", "2", None, None, 1)]);
        assert_eq!(store.len(), 3, "both spans of the trace that was heard of first are gone");
        assert!(store.of_event("1").is_empty() && !store.of_event("2").is_empty());
        let many = (0..10).map(|n| span("d", &n.to_string(), None, Some("4"), n)).collect();
        store.insert(many);
        assert!(store.len() <= 4, "one trace alone can be too much");
    }
}
