//! Takes spans: OTLP over HTTP in protobuf. <https://opentelemetry.io/docs/specs/otlp/#otlphttp>
//!
//! Guarantees: a request is bounded as it comes and as it is decompressed, and so is what is kept of a span. A span without
//! valid ids is refused alone, and the answer says so. Not taken: JSON, metrics, logs, span events.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::{self as proto, span::SpanKind};
use prost::Message;

use super::Operator;
use super::span::{Kind, Span};

const PROTOBUF: &str = "application/x-protobuf";

/// Bytes of a request.
pub(super) const BODY_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a request that was compressed; 2,000 spans are about 1 MB.
const DECOMPRESSED_MAX: u64 = 4 * 1024 * 1024;

/// Attributes of a span that are kept.
const ATTRIBUTES_MAX: usize = 32;
/// Bytes of a text that are kept: an event's id is shorter.
const TEXT_MAX: usize = 1024;

/// What every answer of 4xx has to be: `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Refusal {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

impl Refusal {
    fn because(message: impl Into<String>) -> Self {
        // INVALID_ARGUMENT: sending it again does not help
        Self { code: 3, message: message.into() }
    }
}

pub(super) async fn receive(State(operator): State<Operator>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await;
    let received = match body {
        Ok(body) => spans(&parts.headers, body),
        Err(error) => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, Refusal::because(format!("{error}; {BODY_MAX} bytes are taken"))))
        }
    };
    match received {
        Ok((spans, rejected)) => {
            operator.spans.insert(spans);
            let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
                rejected_spans: rejected,
                error_message: "a trace id has 16 bytes and a span id 8, not all of them 0".to_owned(),
            });
            protobuf(StatusCode::OK, &ExportTraceServiceResponse { partial_success })
        }
        Err((status, refusal)) => protobuf(status, &refusal),
    }
}

fn protobuf(status: StatusCode, message: &impl Message) -> Response {
    (status, [(CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
}

/// The spans of a request, and how many more it had that are none.
fn spans(headers: &HeaderMap, body: Bytes) -> Result<(Vec<Span>, i64), (StatusCode, Refusal)> {
    let unsupported = |text: String| (StatusCode::UNSUPPORTED_MEDIA_TYPE, Refusal::because(text));
    let kind = header(headers, &CONTENT_TYPE);
    if kind != PROTOBUF {
        return Err(unsupported(format!("the content type is `{kind}`; only {PROTOBUF} is taken")));
    }
    let body = match header(headers, &CONTENT_ENCODING).as_str() {
        "" | "identity" => body,
        "gzip" => decompress(&body)?,
        other => return Err(unsupported(format!("the content encoding is `{other}`; only gzip is taken"))),
    };
    let request = ExportTraceServiceRequest::decode(body).map_err(|error| {
        (StatusCode::BAD_REQUEST, Refusal::because(format!("no ExportTraceServiceRequest: {error}")))
    })?;
    let (mut spans, mut rejected) = (Vec::new(), 0);
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let service = attributes(resource.attributes).remove("service.name").unwrap_or_default();
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            match read(span, &service) {
                Some(span) => spans.push(span),
                None => rejected += 1,
            }
        }
    }
    Ok((spans, rejected))
}

/// A header's value without parameters, in lower case.
fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn decompress(body: &[u8]) -> Result<Bytes, (StatusCode, Refusal)> {
    let mut bytes = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(body).take(DECOMPRESSED_MAX + 1).read_to_end(&mut bytes);
    match read {
        Ok(length) if length as u64 > DECOMPRESSED_MAX => {
            let text = format!("more than {DECOMPRESSED_MAX} bytes once it is decompressed");
            Err((StatusCode::PAYLOAD_TOO_LARGE, Refusal::because(text)))
        }
        Ok(_) => Ok(bytes.into()),
        Err(error) => Err((StatusCode::BAD_REQUEST, Refusal::because(format!("no gzip: {error}")))),
    }
}

fn read(span: proto::Span, service: &str) -> Option<Span> {
    let kind = match span.kind() {
        SpanKind::Unspecified => Kind::Unspecified,
        SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
    };
    let status = span.status.unwrap_or_default();
    Some(Span {
        trace_id: id(&span.trace_id, 16)?,
        span_id: id(&span.span_id, 8)?,
        parent_id: id(&span.parent_span_id, 8),
        name: cut(span.name),
        kind,
        service: service.to_owned(),
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano.max(span.start_time_unix_nano),
        failed: status.code() == SpanStatus::Error,
        message: cut(status.message),
        attributes: attributes(span.attributes),
    })
}

/// An id in hexadecimal digits; `None` if it is none.
fn id(bytes: &[u8], length: usize) -> Option<String> {
    if bytes.len() != length || bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut id = String::with_capacity(2 * length);
    for byte in bytes {
        _ = write!(id, "{byte:02x}");
    }
    Some(id)
}

fn attributes(from: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |attribute: KeyValue| {
        let value = match attribute.value?.value? {
            Value::StringValue(text) => cut(text),
            Value::BoolValue(value) => value.to_string(),
            Value::IntValue(value) => value.to_string(),
            Value::DoubleValue(value) => value.to_string(),
            _ => return None,
        };
        Some((cut(attribute.key), value))
    };
    from.into_iter().filter_map(text).take(ATTRIBUTES_MAX).collect()
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.shrink_to_fit();
    }
    text
}
