//! What operators ask a pipeline that runs: `penstock alarms`, `penstock trace`, and the metrics.

use std::time::{Duration, Instant};

use e2e::{children, event, penstock, text};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::commands::{free_port, start_dev_with};

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// What an exporter sends for a span of these ms.
fn spans_of(service: &str, name: &str, id: u8, parent: Option<u8>, (start, end): (u64, u64)) -> ResourceSpans {
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        parent_span_id: parent.map(|id| vec![id; 8]).unwrap_or_default(),
        name: name.into(),
        start_time_unix_nano: start * 1_000_000,
        end_time_unix_nano: end * 1_000_000,
        attributes: vec![
            attribute("event_id", "ORDER 1"),
            attribute("event_type", "t"),
            attribute("event_source", "s"),
        ],
        ..Span::default()
    };
    ResourceSpans {
        resource: Some(Resource { attributes: vec![attribute("service.name", service)], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_what_rings_what_is_counted_and_what_became_of_an_event() {
    let port = free_port().to_string();
    let more = ["--template", "tests/e2e/obedient.yaml", "--alarm-speed", "60", "--timeout-max", "1"];
    let (dev, printed) = start_dev_with(&port, &more).await;
    for command in ["alarms", "trace"] {
        assert!(printed.contains(&format!("cargo penstock {command} --port {port}")), "{printed}");
    }
    let operator = format!("http://127.0.0.1:{port}/_penstock");
    let http = reqwest::Client::new();

    let quiet = penstock(&["alarms", "--port", &port], "").await;
    assert_eq!(quiet.status.code(), Some(0), "{quiet:?}");
    assert!(text(&quiet.stdout).ends_with("(--all shows them)\n"), "{quiet:?}");

    let began = Instant::now();
    let sent = penstock(&["send", "-", "--port", &port], &event("1", "k", "t", "\"block\"")).await;
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let ringing = loop {
        let alarms = penstock(&["alarms", "--port", &port], "").await;
        let said = text(&alarms.stdout);
        if said.contains("ALARM CrashesAlarm for ") {
            assert_eq!(alarms.status.code(), Some(1), "{said}");
            break said;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let lines: Vec<_> = ringing.lines().collect();
    assert!(
        lines[0].starts_with("ALARM CrashesAlarm for ") && lines[0].contains(": 1 of 1 datapoint > 0 ("),
        "{ringing}"
    );
    assert_eq!(lines[1], "  The function crashes.", "{ringing}");
    let all = penstock(&["alarms", "--json", "--port", &port], "").await;
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");

    let metrics = http.get(format!("{operator}/metrics")).send().await.unwrap().text().await.unwrap();
    for line in
        ["penstock_events_accepted_sum 1.0", "penstock_alarm_state{alarm=\"CrashesAlarm\"} ", "aws_lambda_errors_sum{"]
    {
        assert!(metrics.contains(&format!("\n{line}")), "{line} in {metrics}");
    }

    let longest = metrics.lines().find(|line| line.starts_with("aws_lambda_duration_max{") && line.contains("bedient"));
    let longest: f64 = longest.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!((1_000.0..5_000.0).contains(&longest), "the template allows 6 s, --timeout-max 1: {longest} ms");

    let pids: Vec<_> = children(dev.id().unwrap()).into_iter().map(|child| child.pid).collect();
    let endpoint = format!("OTEL_EXPORTER_OTLP_ENDPOINT={operator}/otlp\0");
    let told =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/environ")).is_ok_and(|all| all.contains(&endpoint));
    assert!(pids.iter().any(told), "no function is told where traces go");
    let resource_spans = vec![
        spans_of("obedient", "consume_event", 2, Some(1), (1_020, 1_040)),
        spans_of("ingest", "produce_event", 1, None, (1_000, 1_010)),
    ];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let post = http.post(format!("{operator}/otlp/v1/traces")).header("content-type", "application/x-protobuf");
    assert_eq!(post.body(body).send().await.unwrap().status().as_u16(), 200);
    let trace = penstock(&["trace", "ORDER 1", "--port", &port], "").await;
    assert_eq!(
        text(&trace.stdout),
        "trace 07070707070707070707070707070707: ORDER 1, t from s\n\
         produce_event    ingest     0.0 ms  10.0 ms  ##########\n\
         \x20 consume_event  obedient  20.0 ms  20.0 ms                      ####################\n"
    );
    let unknown = penstock(&["trace", "nobody", "--port", &port], "").await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("no trace of the event `nobody` is known"), "{unknown:?}");

    drop(dev);
    let gone = penstock(&["alarms", "--port", &free_port().to_string()], "").await;
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
}
