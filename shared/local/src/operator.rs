//! What operators ask: the HTTP endpoints below `/_penstock/`.
//!
//! | endpoint | answer |
//! |---|---|
//! | `GET /_penstock/id` | which run this is |
//! | `GET /_penstock/metrics` | every metric and alarm, for Prometheus |
//! | `GET /_penstock/alarms` | the alarms as JSON |
//! | `GET /_penstock/traces?event_id=…` | the spans of one event as JSON |
//! | `POST /_penstock/otlp/v1/traces` | takes spans: OTLP over HTTP in protobuf |
//!
//! Guarantees: no request below `/_penstock` reaches a function, and none of these needs one. Nothing is written to disk.
//! Not there: authentication, because whoever reaches the loopback interface may ask.

mod otlp;
mod prometheus;
pub mod span;
mod spans;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::metrics::{AlarmState, MetricStore, Watch};
use span::EventSpans;
pub use spans::{SPANS_MAX, SpanStore};

/// The path that everything here is below.
pub const PREFIX: &str = "/_penstock";

/// The endpoint that OpenTelemetry's exporters append `/v1/traces` to, below [`PREFIX`].
pub const OTLP: &str = "/otlp";

/// What the endpoints answer from.
#[derive(Clone)]
pub struct Operator {
    /// No other run has it.
    id: String,
    metrics: MetricStore,
    alarms: Watch,
    spans: SpanStore,
    sent_to: Vec<String>,
}

impl Operator {
    /// Answers about these metrics and alarms. `sent_to` is where the functions send traces to if not here.
    pub fn new(metrics: MetricStore, alarms: Watch, sent_to: Vec<String>) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        Self { id, metrics, alarms, spans: SpanStore::default(), sent_to }
    }

    /// Which run this is.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The endpoints.
    pub(crate) fn router(self) -> Router {
        let below = |path: &str| format!("{PREFIX}{path}");
        Router::new()
            .route(&below("/id"), get(async |State(operator): State<Self>| operator.id))
            .route(&below("/metrics"), get(metrics))
            .route(&below("/alarms"), get(alarms))
            .route(&below("/traces"), get(traces))
            .route(&below(&format!("{OTLP}/v1/traces")), post(otlp::receive))
            // the rest too, or else the routes of the template would be tried
            .route(PREFIX, any(nowhere))
            .route(&below("/"), any(nowhere))
            .route(&below("/{*rest}"), any(nowhere))
            .with_state(self)
    }
}

async fn metrics(State(operator): State<Operator>) -> Response {
    let now_ms = u64::try_from(crate::services::now_ms()).unwrap_or_default();
    let text = prometheus::render(&operator.metrics.totals(), &operator.alarms.alarms(), now_ms);
    ([(CONTENT_TYPE, prometheus::CONTENT_TYPE)], text).into_response()
}

async fn alarms(State(operator): State<Operator>) -> Json<Vec<AlarmState>> {
    Json(operator.alarms.alarms())
}

async fn traces(State(operator): State<Operator>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let Some((_, event_id)) = parameters.find(|(name, _)| name == "event_id") else {
        return problem(StatusCode::BAD_REQUEST, "say which event: ?event_id=…");
    };
    let traces = operator.spans.of_event(&event_id);
    Json(EventSpans {
        event_id: event_id.into_owned(),
        traces,
        spans_kept: operator.spans.len(),
        sent_to: operator.sent_to,
    })
    .into_response()
}

async fn nowhere() -> Response {
    problem(StatusCode::NOT_FOUND, "there are /_penstock/metrics, /_penstock/alarms and /_penstock/traces?event_id=…")
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, Json(serde_json::json!({ "message": text }))).into_response()
}

#[cfg(test)]
mod tests;
