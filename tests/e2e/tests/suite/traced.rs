//! A trace, from the sender's request to the handler, at a collector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use e2e::{Pipeline, Setup, event};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Spans, each with the service that sent it.
type Received = Arc<Mutex<Vec<(String, Span)>>>;

/// A collector: OTLP's protobuf over HTTP.
async fn collector() -> (String, Received) {
    let received = Received::default();
    let take = async |State(received): State<Received>, body: Bytes| {
        for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            let service = text(&resource.resource.unwrap_or_default().attributes, "service.name");
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            received.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
    };
    let router = axum::Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&received));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, received)
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == name).and_then(|found| found.value.clone());
    match value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        _ => String::new(),
    }
}

async fn post_with(pipeline: &Pipeline, traceparent: &str, event: String) -> u16 {
    let request = pipeline.http.post(pipeline.url()).header("content-type", "application/cloudevents+json");
    pipeline.send(request.header("traceparent", traceparent).body(event)).await.0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_to_the_handler() {
    let (endpoint, received) = collector().await;
    let pipeline = Setup::obedient().with("OtlpEndpoint", &endpoint).start().await;
    assert_eq!(post_with(&pipeline, PARENT, event("1", "k", "t", "\"succeed\"")).await, 202);
    // its sender does not want this one kept
    assert_eq!(post_with(&pipeline, &PARENT.replace("-01", "-00"), event("2", "k", "t", "\"succeed\"")).await, 202);
    pipeline.wait_for("obedient", 2).await;
    let began = Instant::now();
    while received.lock().unwrap().len() < 4 {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}\n{}", received.lock().unwrap(), pipeline.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let received = received.lock().unwrap().clone();
    let spans: BTreeMap<&str, &(String, Span)> = received.iter().map(|span| (span.1.name.as_str(), span)).collect();
    assert_eq!((spans.len(), received.len()), (4, 4), "{received:?}");
    let [produce, assign, consume, process] =
        ["produce_event", "partition_assign", "consume_event", "process_event"].map(|name| &spans[name].1);
    for span in [produce, assign, consume, process] {
        assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    assert_eq!(hex(&produce.parent_span_id), "00f067aa0ba902b7");
    assert_eq!((&assign.parent_span_id, &consume.parent_span_id), (&produce.span_id, &produce.span_id));
    assert_eq!(process.parent_span_id, consume.span_id);
    assert_eq!(consume.links.iter().map(|link| &link.span_id).collect::<Vec<_>>(), [&produce.span_id]);
    let services = ["produce_event", "partition_assign", "consume_event", "process_event"].map(|name| &*spans[name].0);
    assert_eq!(services, ["ingest", "ingest", "obedient", "obedient"]);
    assert_eq!(text(&produce.attributes, "event_id"), "1");
    let place = |span: &Span| (text(&span.attributes, "shard"), text(&span.attributes, "position"));
    assert_eq!(place(assign).0, place(consume).0);
    assert!(place(consume).1.starts_with(&place(assign).1), "{:?} {:?}", place(consume), place(assign));
    assert_eq!(text(&consume.attributes, "outcome"), "handled");
    assert!(pipeline.lines("ingest").iter().any(|line| line.contains("trace_id=4bf92f3577b34da6a3ce929d0e0e4736")));
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_fails_nothing() {
    // it accepts connections and says nothing
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let pipeline = Setup::obedient().with("OtlpEndpoint", &endpoint).start().await;
    for id in ["1", "2", "3"] {
        assert_eq!(post_with(&pipeline, "malformed", event(id, "k", "t", "\"succeed\"")).await, 202);
    }
    let counts = pipeline.wait_for("obedient", 3).await;
    assert_eq!(counts.handled, 3);
    let told = |line: &String| line.contains("the collector did not take the spans");
    let lines = pipeline.lines("ingest");
    assert_eq!(lines.iter().filter(|line| told(line)).count(), 1, "asked once and left alone: {lines:#?}");
    assert_eq!(pipeline.stack.functions()["Obedient"].counters().errors, 0);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_about_traces_that_will_not_do_are_told_and_stop_nothing() {
    let pipeline = Setup::obedient().with("OtlpEndpoint", "localhost:4318").start().await;
    assert_eq!(post_with(&pipeline, PARENT, event("1", "k", "t", "\"succeed\"")).await, 202);
    assert_eq!(pipeline.wait_for("obedient", 1).await.handled, 1);
    let told = |line: &String| line.contains("traces are not set up") && line.contains("OTEL_EXPORTER_OTLP_ENDPOINT");
    for binary in ["ingest", "obedient"] {
        assert_eq!(pipeline.lines(binary).iter().filter(|line| told(line)).count(), 1, "{:#?}", pipeline.lines(binary));
    }
    pipeline.stop().await;
}
