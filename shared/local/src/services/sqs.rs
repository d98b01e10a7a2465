//! SQS: the protocol of winterbaume over queues of our own, with the refusals that it lacks.
//!
//! winterbaume reads and writes the JSON protocol and knows queue attributes. The messages, their journal, the redrive
//! after `maxReceiveCount` and the move tasks are in [`queues`]: what winterbaume does there is lost at a restart, drops
//! a message whose dead-letter queue is gone, and moves nothing. Not imitated: FIFO order and group locks, binary message
//! attributes (refused), the query protocol, a receive with `VisibilityTimeout` 0 (it takes the queue's own), and `Failed`
//! entries of a batch (the whole call fails at the first).

mod backend;
mod moves;
mod queues;
mod refusals;
mod reported;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use winterbaume_core::{MockRequest, MockService};
use winterbaume_sqs::SqsService;

use crate::services::StartError;
use crate::services::state_dir::StateDir;
use queues::Queues;
use refusals::Refusal;

/// The largest message, attributes included, and the largest batch.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(crate) const MESSAGE_MAX: usize = 1_048_576;
/// Larger than any request with a message or batch that is taken, however much of it JSON escapes.
const BODY_MAX: usize = 8 * MESSAGE_MAX;

/// The queues behind their protocol.
#[derive(Clone)]
pub(crate) struct Sqs {
    queues: Arc<Queues>,
    protocol: Arc<SqsService>,
    host: String,
}

impl std::fmt::Debug for Sqs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqs").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Sqs {
    /// Opens the queues with what an earlier run left; their URLs start with `url`.
    pub(crate) fn open(
        state: Option<&StateDir>,
        url: &str,
        account_id: &str,
        region: &str,
    ) -> Result<Self, StartError> {
        let queues = Arc::new(Queues::open(state.map(StateDir::sqs), url, account_id, region)?);
        Ok(Self {
            protocol: Arc::new(SqsService::with_backend(Arc::clone(&queues) as _)),
            queues,
            host: format!("https://sqs.{region}.amazonaws.com/"),
        })
    }

    /// The protocol.
    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// Syncs the queues.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.queues.sync()
    }
}

async fn answer(State(sqs): State<Sqs>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return Refusal::message_too_long().into_response();
    };
    let action = parts
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.split('.').next_back());
    if let Some(action) = action
        && let Ok(input) = serde_json::from_slice::<Value>(&body)
    {
        let own = match action {
            "StartMessageMoveTask" => Some(moves::start(&sqs.queues, &input)),
            "ListMessageMoveTasks" => Some(moves::list(&sqs.queues, &input)),
            _ => refusals::check(action, &input).err().map(Err),
        };
        if let Some(own) = own {
            return own.map_or_else(Refusal::into_response, |output| success(&output));
        }
    }
    let response = sqs
        .protocol
        .handle(MockRequest { method: parts.method.to_string(), uri: sqs.host.clone(), headers: parts.headers, body })
        .await;
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, response.headers, response.body).into_response()
}

fn success(output: &Value) -> Response {
    json_response(StatusCode::OK, output)
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    (status, json, Body::from(Bytes::from(body.to_string()))).into_response()
}

impl IntoResponse for Refusal {
    /// The error's shape and, for clients that know the names of the older protocol, the header that carries those.
    fn into_response(self) -> Response {
        let body = json!({ "__type": format!("com.amazonaws.sqs#{}", self.shape), "message": self.message });
        let mut response = json_response(StatusCode::BAD_REQUEST, &body);
        if let Ok(code) = HeaderValue::from_str(&format!("{};Sender", self.code)) {
            response.headers_mut().insert("x-amzn-query-error", code);
        }
        response
    }
}
