//! The handler: one invocation, from the Lambda event to the answer.
//!
//! Guarantees: events go to the stream in the order they were sent, and only once the whole request could be read; the
//! producer stops early enough for the answer still to be given; one line of log a request, without a payload; one of a health check is for debugging.
//! Does not authenticate: that is the gateway's business.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;
use lambda_runtime::LambdaEvent;
use penstock::Limits;
use penstock::key::KeyRules;
use penstock::ports::{Clock, Stream};
use penstock::producer::{Fate, Producer};
use penstock::time::Timestamp;
use penstock_aws::metrics::Metrics;
use penstock_aws::trace::Traces;
use penstock_schema::registry::Registry;
use serde_json::value::RawValue;

use crate::answer::{Answer, EventResult, Tally};
use crate::cloudevents::{self, Judged, Named, Read, Refused, Rules};
use crate::code::RefusalCode;
use crate::edge::{self, Request, Response};
use crate::request;
use crate::schemas::{NoRegistry, Schemas};
use crate::telling::{self, Told};
use crate::trace::{RequestTrace, Times};

/// What is kept back of an invocation's time to give the answer in.
const ANSWER_MARGIN_MAX: Duration = Duration::from_secs(1);

/// How long a request waits for a stream that throttles or does not answer, unless told otherwise. A sender that is told to come
/// again sooner takes up no function meanwhile.
const PUT_TIME_MAX: Duration = Duration::from_secs(5);

/// The function.
#[derive(Debug)]
pub struct Ingest<S, C, R = NoRegistry> {
    producer: Producer<S, C>,
    clock: C,
    keys: KeyRules,
    schemas: Schemas<R>,
    limits: Limits,
    put_time_max: Duration,
    log_share: f64,
    metrics: Option<Metrics>,
    traces: Option<Arc<Traces>>,
}

/// The requests that are measured.
const TAKES_EVENTS: (Option<Resource>, &Method) = (Some(Resource::Events), &Method::POST);

/// The requests that are no news.
const ASKS_HEALTH: (Option<Resource>, &Method) = (Some(Resource::Health), &Method::GET);

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Events,
    Health,
}

impl<S: Stream, C: Clock, R: Registry + 'static> Ingest<S, C, R> {
    /// A function that puts events on the stream of `producer`. `clock` is the one that the producer has.
    pub fn new(producer: Producer<S, C>, clock: C, keys: KeyRules, schemas: Schemas<R>, limits: Limits) -> Self {
        let (put_time_max, log_share) = (PUT_TIME_MAX, 0.0);
        Self { producer, clock, keys, schemas, limits, put_time_max, log_share, metrics: None, traces: None }
    }

    /// Waits so long at most for the stream to take the events of a request.
    #[must_use]
    pub fn waiting(self, put_time_max: Duration) -> Self {
        Self { put_time_max, ..self }
    }

    /// Writes metrics, sends spans, and writes a line of log for a share of what is accepted, from 0 to 1.
    #[must_use]
    pub fn telling(self, metrics: Metrics, traces: Option<Arc<Traces>>, log_share: f64) -> Self {
        Self { metrics: Some(metrics), traces, log_share, ..self }
    }

    /// Handles one invocation, whichever of the three ways its request came.
    ///
    /// # Errors
    /// When it is no request at all.
    pub async fn handle(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Response, edge::Error> {
        let LambdaEvent { payload, context } = event;
        let request = Request::read(&payload)?;
        drop(payload);
        let (shape, gateway_request_id) = (request.payload, request.id.clone());
        let body = request.body.as_deref().unwrap_or_default();
        let bytes = request::received_bytes(body, request.is_base64_encoded);
        let began = self.clock.now();
        let asked = (resource(&request), &request.method);
        let (takes_events, asks_health) = (asked == TAKES_EVENTS, asked == ASKS_HEALTH);
        let trace = RequestTrace::of(&request.headers, self.traces.as_ref());
        let answer = self.answer(request, &trace, Timestamp(context.deadline)).await;
        let Tally { accepted, rejected, retry } = answer.tally;
        if let Some(metrics) = self.metrics.as_ref().filter(|_| takes_events) {
            let now = self.clock.now();
            let mut measured = telling::measure(&answer, now.since(began), bytes);
            measured.property("request_id", &context.request_id);
            metrics.write(&measured, now);
        }
        if asks_health {
            // whoever watches the API asks every few seconds
            let request_id = &context.request_id;
            tracing::debug!(%request_id, %gateway_request_id, status = answer.status, "asked for its health");
            return Ok(Response::of(answer, shape));
        }
        tracing::info!(
            request_id = %context.request_id,
            %gateway_request_id,
            status = answer.status,
            code = answer.code.map(RefusalCode::name),
            trace_id = trace.id(),
            accepted,
            rejected,
            retry,
            bytes,
            took_ms = self.clock.now().since(began).as_millis(),
            "answered"
        );
        if let Some(traces) = &self.traces {
            traces.flush(Timestamp(context.deadline).since(self.clock.now())).await;
        }
        Ok(Response::of(answer, shape))
    }

    /// The answer to a request that has to be answered before `deadline`.
    pub async fn answer(&self, request: Request, trace: &RequestTrace, deadline: Timestamp) -> Answer {
        match (resource(&request), &request.method) {
            (None, _) => Answer::problem(
                RefusalCode::NotFound,
                "there is nothing at this path; events are sent with POST to /v1/events",
            ),
            (Some(Resource::Health), &Method::GET) => Answer::healthy(),
            (Some(Resource::Health), _) => Answer::method_not_allowed("GET"),
            (Some(Resource::Events), &Method::POST) => self.take(request, trace, deadline).await,
            (Some(Resource::Events), _) => Answer::method_not_allowed("POST"),
        }
    }

    async fn take(&self, request: Request, trace: &RequestTrace, deadline: Timestamp) -> Answer {
        // for spans, which want more than milliseconds; whatever is decided is decided by `clock`
        let began = SystemTime::now();
        match self.read(request) {
            Ok(read) => {
                let schemas = self.schemas.prepare(read.iter().filter_map(Read::event), self.clock.now()).await;
                let rules = Rules { limits: &self.limits, keys: &self.keys, schemas: &schemas, trace };
                Answer::of(&self.publish(rules.judge(read), trace, began, deadline).await)
            }
            Err(answer) => *answer,
        }
    }

    /// The events of a request; or the answer, if the request as a whole is refused.
    fn read(&self, request: Request) -> Result<Vec<Read>, Box<Answer>> {
        let Request { headers, body, is_base64_encoded, .. } = request;
        let body = request::body(body, is_base64_encoded, &headers, &self.limits)
            .map_err(|error| Answer::problem(error.code(), &error.to_string()))?;
        let read = cloudevents::read(&self.limits, &headers, &body);
        Ok(read.map_err(|error| Answer::problem(error.code(), &error.to_string()))?)
    }

    /// Puts what is ready on the stream and says of every event, in its place, what became of it.
    async fn publish(
        &self,
        judged: Vec<Judged>,
        trace: &RequestTrace,
        began: SystemTime,
        deadline: Timestamp,
    ) -> Vec<EventResult> {
        let read = SystemTime::now();
        let mut names = Vec::with_capacity(judged.len());
        let mut outgoing = Vec::with_capacity(judged.len());
        for event in judged {
            names.push(event.map(|ready| {
                outgoing.push(ready.outgoing);
                ready.named
            }));
        }
        let fates = if outgoing.is_empty() {
            Vec::new()
        } else {
            self.producer.publish(outgoing, self.put_deadline(deadline)).await
        };
        log_troubles(&fates);
        let times = Times { request: began, read, stored: SystemTime::now() };
        let mut fates = fates.into_iter();
        let mut told = Told::new(trace, self.log_share);
        let outcome = |named: Result<Named, Refused>| match named {
            Ok(mut named) => {
                #[expect(clippy::expect_used, reason = "the producer promises one fate an event")]
                let fate = fates.next().expect("a fate for every event that was published");
                let outcome = EventResult::of_fate(std::mem::take(&mut named.id), fate);
                told.tell(Some(&named), &outcome);
                if let Some(traces) = &self.traces {
                    trace.record(traces, &times, Some(&named), &outcome);
                }
                outcome
            }
            Err(refused) => {
                let outcome = refused.into();
                told.tell(None, &outcome);
                if let Some(traces) = &self.traces {
                    trace.record(traces, &times, None, &outcome);
                }
                outcome
            }
        };
        let outcomes = names.into_iter().map(outcome).collect();
        told.finish();
        outcomes
    }

    /// When the producer has to stop: when it has had its time, and so that the answer still gets out: a second before the
    /// invocation ends, or a quarter of what is left if that is less.
    fn put_deadline(&self, deadline: Timestamp) -> Timestamp {
        let now = self.clock.now();
        let left = deadline.since(now);
        deadline.minus(ANSWER_MARGIN_MAX.min(left / 4)).min(now.plus(self.put_time_max))
    }
}

/// What the request's path names. A stage other than `$default` stands before it, unless a custom domain's mapping
/// has taken it off.
fn resource(request: &Request) -> Option<Resource> {
    let named = |path| match path {
        "/v1/events" => Some(Resource::Events),
        "/v1/health" => Some(Resource::Health),
        _ => None,
    };
    let path = request.path.as_str();
    named(path).or_else(|| named(path.strip_prefix('/')?.strip_prefix(request.stage.as_str())?))
}

/// The stream's own words are logged, once a request, because the answer does not repeat them. The producer logs what it
/// says when it refuses.
fn log_troubles(fates: &[Fate]) {
    let mut silent = fates.iter().filter_map(|fate| match fate {
        Fate::Unavailable { detail, .. } => Some(detail),
        _ => None,
    });
    if let Some(detail) = silent.next() {
        tracing::warn!(events = 1 + silent.count(), %detail, "the stream gave no answer");
    }
}

#[cfg(test)]
mod tests;
