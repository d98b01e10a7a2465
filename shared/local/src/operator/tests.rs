//! The endpoints, asked over HTTP; every other path belongs to a function, which must hear nothing of it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status};
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::span::{EventSpans, Kind};
use super::*;
use crate::gateway::Gateway;
use crate::lambda::{Function, FunctionConfig, OnTimeout};
use crate::metrics::MetricKey;

struct Api {
    url: String,
    function: Function,
    http: reqwest::Client,
    metrics: MetricStore,
    _stop: DropGuard,
}

async fn api() -> Api {
    let here = std::env::current_exe().unwrap();
    let config = FunctionConfig {
        name: "echo".into(),
        arn: "arn".into(),
        binary: here.ancestors().nth(2).unwrap().join("examples/obedient_function"),
        timeout: Duration::from_secs(5),
        memory_mb: 512,
        environment: Default::default(),
        max_concurrency: 1,
        on_timeout: OnTimeout::Kill,
    };
    let metrics = MetricStore::default();
    let function = Function::new(config, Arc::new(|_: &str| {}), &MetricStore::default()).unwrap();
    let watch = Watch::new(metrics.clone(), Vec::new(), Arc::new(|_| {}));
    let operator = Operator::new(metrics.clone(), watch, vec!["http://collector:4318".into()]);
    let routes = ["/{proxy+}", "/_penstock/{proxy+}"].map(|path| ("ANY".to_owned(), path.to_owned(), function.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cancel = CancellationToken::new();
    tokio::spawn(Gateway::new(routes.into()).unwrap().beside(operator).serve(listener, cancel.clone()));
    Api { url, function, http: reqwest::Client::new(), metrics, _stop: cancel.drop_guard() }
}

impl Api {
    async fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Vec<u8>) {
        let mut request = self.http.post(format!("{}/_penstock/otlp/v1/traces", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/x-protobuf");
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }

    async fn traces(&self, query: &str) -> EventSpans {
        let url = format!("{}/_penstock/traces?event_id={query}", self.url);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }
}

const PROTOBUF: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn consume(event_id: &str, span_id: u8) -> ProtoSpan {
    ProtoSpan {
        trace_id: vec![0xab; 16],
        span_id: vec![span_id; 8],
        parent_span_id: vec![1; 8],
        name: "consume_event".into(),
        kind: 5,
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 3_000,
        status: Some(Status { code: 2, message: "refused".into() }),
        attributes: vec![text("event_id", event_id), text("shard", "shardId-000000000000")],
        ..ProtoSpan::default()
    }
}

fn request(spans: Vec<ProtoSpan>) -> Vec<u8> {
    let resource = Resource { attributes: vec![text("service.name", "order-status")], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_span_that_is_sent_is_found_by_its_event() {
    let api = api().await;
    let (status, answer) = api.post(&PROTOBUF, request(vec![consume("a b/ü", 2)])).await;
    let answer = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap();
    assert_eq!((status, answer), (200, ExportTraceServiceResponse { partial_success: None }));
    let found = api.traces("a%20b/%C3%BC").await;
    assert_eq!((found.event_id.as_str(), found.spans_kept), ("a b/ü", 1));
    assert_eq!(found.sent_to, ["http://collector:4318"]);
    let span = &found.traces[0][0];
    assert_eq!(
        (span.trace_id.as_str(), span.span_id.as_str()),
        ("abababababababababababababababab", "0202020202020202")
    );
    assert_eq!(span.parent_id.as_deref(), Some("0101010101010101"));
    assert_eq!(
        (span.name.as_str(), span.kind, span.service.as_str()),
        ("consume_event", Kind::Consumer, "order-status")
    );
    assert_eq!((span.start_ns, span.end_ns), (1_000, 3_000));
    assert_eq!((span.failed, span.message.as_str()), (true, "refused"));
    assert_eq!(span.attributes["shard"], "shardId-000000000000");
    assert!(api.traces("b").await.traces.is_empty());
}

#[tokio::test]
async fn gzip_is_taken_and_a_span_without_ids_is_refused_alone() {
    let api = api().await;
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let spans = vec![consume("1", 2), ProtoSpan::default(), ProtoSpan { span_id: vec![0; 8], ..consume("1", 2) }];
    let (status, answer) = api.post(&headers, gzip(&request(spans))).await;
    let partial = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((status, partial.rejected_spans), (200, 2));
    assert_eq!(api.traces("1").await.traces[0].len(), 1);
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_reason() {
    let api = api().await;
    let gzipped = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let bomb = gzip(&vec![0; 33 * 1024 * 1024]);
    for (headers, body, expected, reason) in [
        (&PROTOBUF[..], b"garbage".to_vec(), 400, "no ExportTraceServiceRequest"),
        (&gzipped, b"garbage".to_vec(), 400, "no gzip"),
        (&gzipped, bomb, 413, "once it is decompressed"),
        (&PROTOBUF, vec![0; otlp::BODY_MAX + 1], 413, "bytes are taken"),
        (&[("content-type", "application/json")], b"{}".to_vec(), 415, "the content type is `application/json`"),
        (&[], request(vec![consume("1", 2)]), 415, "the content type is ``"),
        (&[PROTOBUF[0], ("content-encoding", "br")], Vec::new(), 415, "the content encoding is `br`"),
    ] {
        let (status, answer) = api.post(headers, body).await;
        let message = otlp::Refusal::decode(answer.as_slice()).unwrap().message;
        assert!(status == expected && message.contains(reason), "{status} {message}");
    }
    assert_eq!(api.traces("1").await.spans_kept, 0);
}

#[tokio::test]
async fn nothing_below_the_prefix_reaches_a_function() {
    let api = api().await;
    api.metrics.record(&MetricKey::of("AWS/Lambda", "Errors", "FunctionName", "a"), 1.0);
    let get = |path: &str| api.http.get(format!("{}{path}", api.url)).send();
    let metrics = get("/_penstock/metrics").await.unwrap();
    assert_eq!(metrics.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(metrics.text().await.unwrap().contains("aws_lambda_errors_sum{function_name=\"a\"} 1.0\n"));
    assert_eq!(get("/_penstock/alarms").await.unwrap().text().await.unwrap(), "[]");
    for (path, status) in [
        ("/_penstock", 404),
        ("/_penstock/", 404),
        ("/_penstock/nothing", 404),
        ("/_penstock/metrics/", 404),
        ("/_penstock/traces", 400),
        ("/_penstock/otlp/v1/traces", 405),
    ] {
        assert_eq!(get(path).await.unwrap().status().as_u16(), status, "{path}");
    }
    assert_eq!(api.function.counters().invocations, 0);
    assert_eq!(get("/_penstocks").await.unwrap().status().as_u16(), 200);
    assert_eq!(api.function.counters().invocations, 1);
    api.function.shutdown().await;
}
