//! The metrics of the streams, read as requests and answers go by.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::operation;
use crate::metrics::{MetricStore, StreamCall};
use crate::services::server::BODY_MAX;

/// Passes a request on, and records what became of it.
pub(super) async fn report(State(metrics): State<MetricStore>, request: Request, next: Next) -> Response {
    let operation = operation(&request).to_owned();
    if !StreamCall::counts(&operation) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = StreamCall::read(&operation, &body);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let Some(call) = call else { return response };
    let success = response.status().is_success();
    if success && matches!(call, StreamCall::Get { .. }) {
        // what was read says nothing more, and is large
        call.answered(&metrics, success, b"");
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    call.answered(&metrics, success, &body);
    Response::from_parts(parts, Body::from(body))
}
