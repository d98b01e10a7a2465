//! What the function tells of a request besides its answer: metrics, and a line of log for each event that is not stored.

use std::time::Duration;

use penstock::key::KeyHash;
use penstock_aws::metrics::Measured;
use tracing::{info, warn};

use crate::answer::{Answer, EventResult, Tally};
use crate::cloudevents::Named;
use crate::trace::RequestTrace;

/// Lines of one request about events that are not stored: a sender of garbage must not fill the log.
const LINES_MAX: usize = 20;

/// What is measured of a request for events. docs/metrics.md
pub(crate) fn measure(answer: &Answer, took: Duration, bytes: usize) -> Measured {
    let mut measured = Measured::default();
    let Tally { accepted, retry, .. } = answer.tally;
    measured.count("produce_requests_failed", u32::from(retry > 0 || answer.status >= 500));
    measured.millis("produce_latency", took);
    measured.bytes("produce_bytes", bytes);
    measured.count("events_accepted", accepted);
    for (code, events) in &answer.rejected {
        measured.count_by("events_rejected", ("Code", code), *events);
    }
    measured
}

/// Tells of the events of one request.
pub(crate) struct Told<'a> {
    trace: &'a RequestTrace,
    share: f64,
    lines: usize,
    untold: usize,
}

impl<'a> Told<'a> {
    /// Tells of a share of what is stored.
    pub(crate) fn new(trace: &'a RequestTrace, share: f64) -> Self {
        Self { trace, share, lines: 0, untold: 0 }
    }

    fn has_room(&mut self) -> bool {
        let room = self.lines < LINES_MAX;
        if room {
            self.lines += 1;
        } else {
            self.untold += 1;
        }
        room
    }

    /// What became of an event; `named` if it could be put on the stream.
    pub(crate) fn tell(&mut self, named: Option<&Named>, outcome: &EventResult) {
        let (source, kind) = (named.map(|named| &named.source), named.map(|named| &named.kind));
        let key_hash = named.map(|named| tracing::field::display(KeyHash(&named.key)));
        let trace_id = self.trace.id();
        match outcome {
            EventResult::Accepted { id, shard, sequence } => {
                if self.share > 0.0 && penstock_aws::clock::jitter() < self.share {
                    let (outcome, position) = ("accepted", sequence.as_str());
                    info!(outcome, event_id = id, event_source = source, event_type = kind, key_hash, %shard, position, trace_id, "event");
                }
            }
            EventResult::Rejected { id, code, detail, .. } if self.has_room() => {
                warn!(outcome = "rejected", event_id = id, trace_id, code = code.name(), reason = detail, "event");
            }
            EventResult::Retry { id, code, .. } if self.has_room() => {
                let (outcome, code) = ("to_be_sent_again", code.name());
                warn!(
                    outcome,
                    event_id = id,
                    event_source = source,
                    event_type = kind,
                    key_hash,
                    trace_id,
                    code,
                    "event"
                );
            }
            EventResult::Rejected { .. } | EventResult::Retry { .. } => {}
        }
    }

    /// Says how many events it did not tell of.
    pub(crate) fn finish(self) {
        if self.untold > 0 {
            warn!(events = self.untold, "more events of this request are not stored");
        }
    }
}
