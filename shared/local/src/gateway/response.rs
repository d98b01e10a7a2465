//! From a function's answer to HTTP.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// A message of the gateway's own, in its own words.
pub(super) fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(serde_json::json!({ "message": text }))).into_response()
}

/// A function's answer. JSON without `statusCode` is the body of a 200; what is no HTTP is a 500.
pub(super) fn from_function(bytes: &[u8]) -> Response {
    let broken = || message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return broken();
    };
    if value.get("statusCode").is_none() {
        return ([("content-type", "application/json")], bytes.to_vec()).into_response();
    }
    match serde_json::from_value::<Answer>(value).ok().and_then(build) {
        Some(response) => response,
        None => broken(),
    }
}

fn build(answer: Answer) -> Option<Response> {
    let body = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded { BASE64_STANDARD.decode(body).ok()? } else { body.into_bytes() };
    let mut response = Response::builder().status(answer.status_code);
    for (name, value) in answer.headers {
        let value = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return None,
        };
        response = response.header(name, value);
    }
    for cookie in answer.cookies {
        response = response.header(http::header::SET_COOKIE, cookie);
    }
    response.body(Body::from(body)).ok()
}
