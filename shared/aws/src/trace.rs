//! Traces: spans of single events, sent to an OpenTelemetry collector before an invocation is answered.
//!
//! `produce_event` and `partition_assign` are made at the edge, `consume_event` and `process_event` in a group; the trace goes
//! from one to the other in the event's `traceparent`. Without `OTEL_EXPORTER_OTLP_ENDPOINT` nothing of this is there but the
//! `traceparent`.
//!
//! Guarantees: a collector that hangs, refuses or is not there takes an invocation no longer than [`FLUSH_MAX`], and then
//! not again for [`PAUSE`]; spans are never kept past an invocation, because a frozen function loses them; and there are
//! never more of them than [`SPANS_MAX`]. What cannot be sent is dropped, and that is told.

mod client;
mod layer;
mod sampler;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use penstock::trace::TraceContext;
use tracing::warn;

use crate::config::{self, Reader};
use client::Client;
pub(crate) use layer::SpanLayer;
pub use sampler::Sampler;

/// How long an invocation waits for the collector, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says less.
pub const FLUSH_MAX: Duration = Duration::from_millis(500);

/// After a collector has failed, spans are dropped for so long.
pub const PAUSE: Duration = Duration::from_secs(10);

/// Spans of one invocation; some 300 bytes each on the way.
pub const SPANS_MAX: usize = 2000;

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// What it is of.
    pub name: &'static str,
    /// The trace, and the span's own id.
    pub context: TraceContext,
    /// The span above it.
    pub parent: Option<u64>,
    /// Whether that one is in another process.
    pub is_remote: bool,
    /// Which part of the way it is.
    pub kind: Kind,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What more is known.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it is not as it should be.
    pub failed: Option<&'static str>,
}

/// OpenTelemetry's kinds, as far as they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Puts an event on the stream.
    Producer,
    /// Takes one from it; linked to the span that put it there.
    Consumer,
    /// A part of one of these.
    Internal,
}

/// Collects the spans of an invocation and sends them.
#[derive(Debug)]
pub struct Traces {
    spans: Mutex<Vec<SpanData>>,
    dropped: AtomicU64,
    exporter: SpanExporter,
    sampler: Sampler,
    flush_max: Duration,
    failed: Mutex<Option<Instant>>,
}

impl Traces {
    /// As the environment says, in OpenTelemetry's variables
    /// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>): `None` without an endpoint, with `OTEL_SDK_DISABLED`, or
    /// with variables that will not do, which `reader` says: a function works without traces. Spans go out as protobuf over
    /// HTTP. `service` is their name unless the environment says another.
    fn from_env<L: Fn(&str) -> Option<String>>(service: &str, reader: &mut Reader<L>) -> Option<Arc<Self>> {
        let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let endpoint = endpoint.into_iter().find(|name| reader.optional(name).is_some())?;
        if reader.optional("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let flush_max = reader.number("OTEL_EXPORTER_OTLP_TIMEOUT", 500, 1..=u64::MAX);
        let sampler = Sampler::read(reader);
        let name = reader.optional("OTEL_SERVICE_NAME");
        let is_named = || reader.optional("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
        let resource = match name {
            Some(name) => Resource::builder().with_service_name(name),
            None if is_named() => Resource::builder(),
            None => Resource::builder().with_service_name(service.to_owned()),
        };
        // the exporter reads the endpoint and the headers; sending again would take the invocation's time
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new())
            .with_retry_policy(RetryPolicy::disabled());
        match exporter.build() {
            Ok(mut exporter) => {
                exporter.set_resource(&resource.build());
                Some(Arc::new(Self {
                    spans: Mutex::default(),
                    dropped: AtomicU64::new(0),
                    exporter,
                    sampler,
                    flush_max: Duration::from_millis(flush_max).min(FLUSH_MAX),
                    failed: Mutex::default(),
                }))
            }
            Err(error) => {
                reader.refuse(endpoint, &error.to_string());
                None
            }
        }
    }

    /// Whether the spans of a trace are to be collected. `parent` is what whoever began the trace says of it.
    pub fn samples(&self, trace: u128, parent: Option<TraceContext>) -> bool {
        self.sampler.samples(trace, parent.map(|parent| parent.sampled))
    }

    /// Keeps a span until the next flush.
    pub fn record(&self, span: Span) {
        let mut spans = lock(&self.spans);
        if spans.len() < SPANS_MAX {
            spans.push(span.into_data());
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what was collected, within [`FLUSH_MAX`] and a quarter of what is left of the invocation.
    pub async fn flush(&self, left: Duration) {
        let spans = std::mem::take(&mut *lock(&self.spans));
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            warn!(spans = dropped, max = SPANS_MAX, "an invocation has more spans than are kept: sample less");
        }
        let paused = lock(&self.failed).is_some_and(|failed| failed.elapsed() < PAUSE);
        if spans.is_empty() || paused {
            return;
        }
        let count = spans.len();
        let sent = tokio::time::timeout(self.flush_max.min(left / 4), self.exporter.export(spans)).await;
        let error = match sent {
            Ok(Ok(())) => {
                *lock(&self.failed) = None;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", self.flush_max.as_millis()),
        };
        let pause_s = PAUSE.as_secs();
        warn!(
            spans = count,
            pause_s, error, "the collector did not take the spans: they are dropped, and so are those of a while"
        );
        *lock(&self.failed) = Some(Instant::now());
    }
}

/// Starts a function's log, and its traces if the environment asks for them. What is wrong with its variables about traces
/// is logged, and the function works without them or with their defaults.
pub fn start(service: &str) -> Option<Arc<Traces>> {
    let mut reader = Reader::new(config::process_environment);
    let traces = Traces::from_env(service, &mut reader);
    crate::log::start(traces.as_ref());
    if let Err(error) = reader.finish() {
        warn!(%error, collected = traces.is_some(), "traces are not set up as they should be");
    }
    traces
}

/// A new id of a span.
pub fn new_span_id() -> u64 {
    fastrand::u64(1..)
}

/// A new id of a trace.
pub fn new_trace_id() -> u128 {
    fastrand::u128(1..)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Span {
    fn into_data(self) -> SpanData {
        let trace = TraceId::from_bytes(self.context.trace.to_be_bytes());
        let context = |span: u64, remote| {
            let id = SpanId::from_bytes(span.to_be_bytes());
            SpanContext::new(trace, id, TraceFlags::SAMPLED, remote, TraceState::NONE)
        };
        let mut links = SpanLinks::default();
        let (span_kind, producer) = match self.kind {
            Kind::Producer => (SpanKind::Producer, None),
            Kind::Consumer => (SpanKind::Consumer, self.parent),
            Kind::Internal => (SpanKind::Internal, None),
        };
        links.links.extend(producer.map(|parent| Link::with_context(context(parent, true))));
        SpanData {
            span_context: context(self.context.span, false),
            parent_span_id: self.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.to_be_bytes())),
            parent_span_is_remote: self.is_remote,
            span_kind,
            name: self.name.into(),
            start_time: self.began,
            end_time: self.ended.max(self.began),
            attributes: self.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.failed.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder("penstock").build(),
        }
    }
}

#[cfg(test)]
mod tests;
