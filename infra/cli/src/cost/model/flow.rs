//! What flows through a stack under a load: requests, records, batches, and how long functions work on them.

use super::super::calls::{Calls, Figures};
use super::super::input::Load;
use super::super::states::StateCalls;
use super::Assumption;

/// A shard takes so much a second. <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
const SHARD_BYTES: f64 = 1e6;
const SHARD_RECORDS: f64 = 1000.0;
/// Shards bear this much more than the mean.
const HEADROOM: f64 = 1.5;
/// The template's, and what an on-demand stream starts with.
const SHARDS_MIN: f64 = 2.0;
const ON_DEMAND_SHARDS_MIN: f64 = 4.0;
/// The template's `BatchSize`.
const BATCH_RECORDS: f64 = 500.0;
/// A batch has 6 MB, in base64 and with some 500 bytes about each record. <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
const BATCH_BYTES: f64 = 6e6;
const RECORD_ABOUT: f64 = 500.0;
/// Lambda asks a shard once a second. <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
const POLL_SECONDS: f64 = 1.0;
/// Memory at which a function has one CPU. <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const CPU_MB: f64 = 1769.0;
/// Milliseconds that a call is waited for.
const DYNAMODB_MS: f64 = 5.0;
const KINESIS_MS: f64 = 15.0;
/// Events that per-event idempotency has under way at once, as many as a run has lanes: `Settings::concurrency`.
const AT_ONCE: f64 = 64.0;
/// CPU of a request beside its call and its events.
const REQUEST_MS: f64 = 0.2;
/// CloudWatch adds so much to each line. <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>
pub(super) const LINE_BYTES: f64 = 26.0;
/// The template's access log, with its 26.
pub(super) const ACCESS_LINE_BYTES: f64 = 350.0;
/// What Lambda itself logs of an invocation, as JSON: its start and its report.
pub(super) const PLATFORM_BYTES: f64 = 550.0;
/// API Gateway bills each 512 KB. <https://aws.amazon.com/api-gateway/pricing/>
const HTTP_UNIT_BYTES: f64 = 512.0 * 1024.0;
/// Requests a second that an account's APIs take unless AWS raises it.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>
const ACCOUNT_REQUESTS: f64 = 10_000.0;

/// Rates are a second's; sizes are means.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) requests: f64,
    /// What API Gateway bills a request as.
    pub(super) http_units: f64,
    pub(super) records: f64,
    /// 25 KB units of a record, and KB of it as on-demand bills them.
    pub(super) put_units: f64,
    pub(super) billed_kb: f64,
    pub(super) stream_bytes: f64,
    pub(super) shards: f64,
    /// Batches of a group, and what is in one.
    pub(super) batches: f64,
    pub(super) batch_events: f64,
    pub(super) batch_keys: f64,
    state_calls: StateCalls,
    /// Billed milliseconds of a request and of a batch.
    pub(super) edge_ms: f64,
    pub(super) handler_ms: f64,
    pub(super) projection_ms: f64,
    /// Of a batch with per-event idempotency.
    pub(super) usual_handler_ms: f64,
    pub(super) usual_projection_ms: f64,
    /// The share of its time that the busiest group works on a shard.
    busy: f64,
    by_group: bool,
}

impl Flow {
    pub(super) fn of(load: &Load, figures: &Figures) -> Self {
        let requests = load.events_per_second / load.request_events as f64;
        let keys = (load.request_events as f64 / load.events_per_key).ceil();
        let request_records = keys * figures.records_per_key;
        let record_events = load.request_events as f64 / request_records;
        let record_bytes = record_events * (load.bytes as f64 + figures.stream_bytes_added);
        let records = requests * request_records;
        let stream_bytes = records * record_bytes;
        let by_stream = (stream_bytes / SHARD_BYTES).max(records / SHARD_RECORDS) * HEADROOM;

        let cpu = CPU_MB / load.memory as f64;
        let slow = cpu.max(1.0);
        let edge_cpu = REQUEST_MS + figures.call_ms + load.request_events as f64 * figures.event_ms;
        let largest = BATCH_RECORDS.min((BATCH_BYTES / (record_bytes * 4.0 / 3.0 + RECORD_ABOUT)).floor()).max(1.0);
        let time = |records: f64| Time::of(load, figures, records * record_events, slow);
        // a shard is worked on by one run at a time: full batches, one after the other, have to keep up with it
        let full = time(largest);
        let slowest = if load.projection_groups > 0 { full.projection } else { full.handler };
        let per_shard = largest * record_events * 1000.0 / slowest;
        let by_group = load.events_per_second / per_shard * HEADROOM;
        let shards = if load.on_demand {
            by_stream.ceil().max(ON_DEMAND_SHARDS_MIN)
        } else {
            by_stream.max(by_group).ceil().max(SHARDS_MIN)
        };

        let shard_records = records / shards;
        let wait = POLL_SECONDS.max(load.batch_window as f64);
        // the records of a request come together
        let shard_batches = shard_records.min(requests).min(1.0 / wait).max(shard_records / largest);
        let batch_records = shard_records / shard_batches;
        let took = time(batch_records);
        let batch_events = batch_records * record_events;
        Self {
            requests,
            http_units: (load.request_events as f64 * load.bytes as f64 / HTTP_UNIT_BYTES).ceil(),
            records,
            put_units: (record_bytes / 25_600.0).ceil(),
            billed_kb: (record_bytes / 1024.0).ceil(),
            stream_bytes,
            shards,
            batches: shard_batches * shards,
            batch_events,
            batch_keys: keys_of(load, batch_events),
            state_calls: states_of(load, batch_events),
            edge_ms: edge_cpu * slow + figures.edge_calls_per_request * KINESIS_MS,
            handler_ms: took.handler,
            projection_ms: took.projection,
            usual_handler_ms: took.usual_handler,
            usual_projection_ms: took.usual_projection,
            busy: load.events_per_second / shards / per_shard,
            by_group: !load.on_demand && by_group > by_stream && by_group > SHARDS_MIN,
        }
    }

    /// What goes beyond a stack of this shape.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.busy > 1.0 {
            warnings.push(format!(
                "a group cannot keep up on {} shards: full batches would take {:.1} times the time there is; give it more \
                 memory, or the stream more shards",
                self.shards, self.busy
            ));
        }
        if self.by_group {
            warnings.push(format!(
                "{} shards are more than the stream needs: with full batches of so many keys, the slowest group cannot keep up \
                 on fewer",
                self.shards
            ));
        }
        if self.requests > ACCOUNT_REQUESTS {
            warnings.push(format!(
                "{:.0} requests a second are more than the {ACCOUNT_REQUESTS} that AWS gives an account at first; and \
                 RequestsPerSecond has to be raised",
                self.requests
            ));
        }
        warnings
    }

    /// What was assumed, and what follows from it.
    pub(super) fn assumptions(&self, load: &Load, calls: &Calls) -> Vec<Assumption> {
        let count = format!("{} at {}, {}", calls.command, calls.commit, calls.date);
        let assumption = |what, value: String, source: &str| Assumption { what, value, source: source.to_owned() };
        let mut assumptions = vec![
            assumption("calls and units of a request, a batch and a key", "counted".to_owned(), &count),
            assumption(
                "shards",
                self.shards.to_string(),
                "1.5 times the larger of 1 MB and 1,000 records a second, and of what full batches keep up with; 2 at least, 4 on demand",
            ),
            assumption(
                "a record",
                format!("{:.1} a request, {:.0} bytes", self.records / self.requests, self.stream_bytes / self.records),
                "the events of one key in one request: --events-per-key",
            ),
            assumption(
                "batches of a group",
                format!(
                    "{:.2} a second, of {:.1} events and {:.1} keys",
                    self.batches, self.batch_events, self.batch_keys
                ),
                "a shard is asked once a second, or once in a batch window; 500 records or 6 MB at most",
            ),
            assumption(
                "billed ms, ingest",
                format!("{:.1} a request", self.edge_ms),
                "a put waits 15 ms; CPU as below and 0.2 ms a request, not measured",
            ),
            assumption(
                "billed ms, groups",
                format!(
                    "{:.1} a batch of a handler, {:.1} of a projection; {:.1} and {:.1} with per-event idempotency",
                    self.handler_ms, self.projection_ms, self.usual_handler_ms, self.usual_projection_ms
                ),
                "a call waits 5 ms, also one for many states; with per-event idempotency 64 events at once; what a handler itself does is not counted",
            ),
            assumption(
                "CPU",
                format!(
                    "{} ms a call, {} ms a state and {} ms an event, {:.1} times that at {} MB",
                    calls.milliseconds.call,
                    calls.milliseconds.state,
                    calls.milliseconds.event,
                    (CPU_MB / load.memory as f64).max(1.0),
                    load.memory
                ),
                &calls.milliseconds.source,
            ),
            assumption(
                "idle polling",
                "5 pollers a redrive mapping, 2 of give-ups, a call each 20 s".to_owned(),
                "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html: a maximum concurrency keeps five",
            ),
            assumption(
                "logs beside the functions' own",
                "350 bytes of access log a request, 550 of Lambda's own an invocation, 26 a line".to_owned(),
                "not measured; 26: CloudWatch's PutLogEvents",
            ),
            assumption(
                "per-event idempotency",
                "a conditional PutItem and an UpdateItem an event and group, two write units".to_owned(),
                "https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/: 2 WCUs an invocation if the result is under 1 KB",
            ),
        ];
        if load.projection_groups > 0 {
            assumptions.push(assumption(
                "calls for states, a projection",
                format!(
                    "{} loads and {} stores a batch, with per-event idempotency too",
                    self.state_calls.loads, self.state_calls.stores
                ),
                "100 states a BatchGetItem, 25 a BatchExecuteStatement; what --states-remembered says is not read",
            ));
        }
        assumptions
    }
}

/// Keys of a batch of so many events.
fn keys_of(load: &Load, events: f64) -> f64 {
    (events / load.events_per_key).max(1.0)
}

fn states_of(load: &Load, events: f64) -> StateCalls {
    let keys = keys_of(load, events);
    StateCalls::of(keys, keys * (1.0 - load.states_remembered))
}

/// Billed milliseconds of a batch.
struct Time {
    handler: f64,
    projection: f64,
    usual_handler: f64,
    usual_projection: f64,
}

impl Time {
    fn of(load: &Load, figures: &Figures, events: f64, slow: f64) -> Self {
        // `turns` is how often calls are waited for
        let ms = |calls: f64, turns: f64, states: f64| {
            let cpu = calls * figures.call_ms + states * figures.state_ms + events * figures.event_ms;
            cpu * slow + turns * DYNAMODB_MS
        };
        // begin, segment and commit follow each other
        let ledger = figures.progress_calls + figures.window_calls;
        let (keys, states) = (keys_of(load, events), states_of(load, events));
        let records = events * super::IDEMPOTENCY_CALLS;
        Self {
            handler: ms(ledger, ledger, 0.0),
            projection: ms(ledger + states.calls(), ledger + states.turns, keys),
            usual_handler: ms(records, records / AT_ONCE, 0.0),
            usual_projection: ms(records + states.calls(), records / AT_ONCE + states.turns, keys),
        }
    }
}
