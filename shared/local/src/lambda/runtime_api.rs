//! The Runtime API of one environment: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.
//!
//! An answer names its invocation. One that names another than the one under way is refused, so a late answer of an
//! earlier invocation never counts for a later one.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Invocation, PAYLOAD_MAX};

/// An invocation for the process to fetch.
pub(super) struct Work {
    pub(super) request_id: String,
    pub(super) deadline_ms: u64,
    pub(super) arn: String,
    pub(super) trace_id: String,
    pub(super) payload: Bytes,
    pub(super) answer: oneshot::Sender<Invocation>,
}

/// A Runtime API that listens for one process. It stops when this is dropped.
pub(super) struct RuntimeApi {
    address: String,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Shared {
    desk: Mutex<Desk>,
    /// Counts invocations given and fetched, so that whoever waits looks again.
    changed: watch::Sender<u64>,
    asked: watch::Sender<bool>,
}

/// At most one invocation is on the desk.
#[derive(Default)]
struct Desk {
    waiting: Option<Work>,
    under_way: Option<(String, oneshot::Sender<Invocation>)>,
}

impl Shared {
    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The invocation under way, if it is the one named.
    fn take(&self, request_id: &str) -> Option<oneshot::Sender<Invocation>> {
        let mut desk = self.desk();
        desk.under_way.take_if(|(id, _)| id == request_id).map(|(_, answer)| answer)
    }
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1.
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(fail))
            .route("/2018-06-01/runtime/init/error", post(|| async { StatusCode::ACCEPTED }))
            .with_state(Arc::clone(&shared));
        let token = CancellationToken::new();
        let stopped = token.clone();
        tokio::spawn(async move {
            let serving = async { axum::serve(listener, router).await };
            tokio::select! {
                // the listener works until it is told to stop
                _ = serving => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { address, shared, _stop: token.drop_guard() })
    }

    /// `host:port`, as in `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until the process has asked for work once.
    pub(super) async fn asked(&self) {
        let mut asked = self.shared.asked.subscribe();
        // the sender lives as long as this
        drop(asked.wait_for(|asked| *asked).await);
    }

    /// Puts an invocation up for the process to fetch.
    pub(super) fn give(&self, work: Work) {
        self.shared.desk().waiting = Some(work);
        self.shared.changed.send_modify(|n| *n += 1);
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let mut changed = shared.changed.subscribe();
    shared.asked.send_replace(true);
    let work = loop {
        changed.mark_unchanged();
        if let Some(work) = shared.desk().waiting.take() {
            break work;
        }
        if changed.changed().await.is_err() {
            return StatusCode::GONE.into_response();
        }
    };
    shared.desk().under_way = Some((work.request_id.clone(), work.answer));
    let headers = [
        ("lambda-runtime-aws-request-id", work.request_id),
        ("lambda-runtime-deadline-ms", work.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", work.arn),
        ("lambda-runtime-trace-id", work.trace_id),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, Body::from(work.payload)).into_response()
}

async fn respond(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Body) -> StatusCode {
    let body = to_bytes(body, PAYLOAD_MAX).await;
    let Some(answer) = shared.take(&id) else {
        return StatusCode::BAD_REQUEST;
    };
    let (status, invocation) = match body {
        Ok(body) => (StatusCode::ACCEPTED, Invocation::Returned(body)),
        Err(_) => {
            let message = format!("Response payload size exceeded maximum allowed payload size ({PAYLOAD_MAX} bytes).");
            (StatusCode::PAYLOAD_TOO_LARGE, Invocation::failed("Function.ResponseSizeTooLarge", message))
        }
    };
    // whoever invoked may have left
    drop(answer.send(invocation));
    status
}

/// The body of an error report.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    error_type: String,
    error_message: String,
}

async fn fail(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Some(answer) = shared.take(&id) else {
        return StatusCode::BAD_REQUEST;
    };
    let report: Report = serde_json::from_slice(&body).unwrap_or_default();
    let header = headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok());
    let error_type = [report.error_type.as_str(), header.unwrap_or_default(), "Unhandled"]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default()
        .to_owned();
    drop(answer.send(Invocation::Failed { error_type, message: report.error_message }));
    StatusCode::ACCEPTED
}
