//! What the functions tell: metrics in CloudWatch's format, and a line of log for what did not go well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::{Pipeline, Setup, event};
use serde_json::Value;

/// The metric lines of a function, each checked against the schema that AWS publishes.
fn metric_lines(pipeline: &Pipeline, function: &str) -> Vec<Value> {
    let schema = serde_json::from_str(include_str!("../../emf.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let lines = pipeline.lines(function).into_iter().filter(|line| line.contains("\"_aws\""));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    for line in &lines {
        let problems: Vec<_> = schema.iter_errors(line).map(|problem| problem.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?} in {line}");
    }
    lines
}

/// The sum of each metric, by its name and what its dimensions are set to.
fn sums(lines: &[Value]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let dimensions = directive["Dimensions"][0].as_array().unwrap().iter();
        let values: Vec<_> = dimensions.map(|name| line[name.as_str().unwrap()].as_str().unwrap()).collect();
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            let key = [&[name], values.as_slice()].concat().join(" ");
            *sums.entry(key).or_insert(0.0) += line[name].as_f64().unwrap();
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_counted_and_what_is_not_handled_is_named_without_its_payload() {
    let pipeline = Setup::obedient().start().await;
    let events = [
        event("1", "a", "t", "\"succeed\""),
        event("2", "b", "t", "\"refuse\""),
        event("3", "c", "t", "\"retry\""),
        event("1", "a", "t", "\"succeed\""),
        r#"{"specversion":"1.0","source":"e2e","type":"t","data":"secret"}"#.to_owned(),
    ];
    let (status, answer) = pipeline.post("application/cloudevents-batch+json", format!("[{}]", events.join(","))).await;
    assert_eq!(status, 207, "{answer}");
    let (status, _) = pipeline.post("application/cloudevents+json", "{").await;
    assert_eq!(status, 400);
    pipeline.wait_for("obedient", 4).await;

    let edge = sums(&metric_lines(&pipeline, "ingest"));
    let of = |name: &str| edge.get(name).copied();
    assert_eq!((of("events_accepted"), of("produce_requests_failed")), (Some(4.0), Some(0.0)), "{edge:?}");
    let rejected = ["missing_attribute", "malformed_json"].map(|code| of(&format!("events_rejected {code}")));
    assert_eq!(rejected, [Some(1.0), Some(1.0)], "{edge:?}");
    assert!(of("produce_bytes") > Some(300.0) && of("produce_latency") > Some(0.0), "{edge:?}");

    // a run says what it did when it has committed, which is after it can be seen in the tables
    let began = Instant::now();
    let group = loop {
        let group = sums(&metric_lines(&pipeline, "obedient"));
        if group.get("events_settled obedient") == Some(&4.0) {
            break group;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{group:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let of = |name: &str| group.get(name).copied();
    assert_eq!((of("duplicates obedient"), of("consumer_errors obedient")), (Some(1.0), Some(3.0)), "{group:?}");
    let letters = ["refused", "retries_exhausted"].map(|reason| of(&format!("dead_letters obedient {reason}")));
    assert_eq!(letters, [Some(1.0), Some(1.0)], "{group:?}");

    let lines = [pipeline.lines("ingest"), pipeline.lines("obedient")].concat();
    assert!(!lines.iter().any(|line| line.contains("secret") || line.contains("succeed")), "a payload is in the log");
    let told = |outcome: &str, id: &str| {
        let of = |line: &&String| {
            line.contains(&format!("outcome={outcome} event_id={id} event_source=e2e event_type=t key_hash="))
        };
        lines.iter().filter(of).count()
    };
    assert_eq!([told("dead_lettered", "2"), told("retried", "3"), told("dead_lettered", "3")], [1, 3, 1], "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("outcome=rejected trace_id=") && line.contains("code=missing_attribute"))
    );
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_counted_once_a_run_and_shows_as_lag() {
    let pipeline = Setup::obedient().start().await;
    let events: Vec<_> = (0..12).map(|n| event(&n.to_string(), &format!("k{n}"), "t", "\"retry\"")).collect();
    let (status, answer) = pipeline.post("application/cloudevents-batch+json", format!("[{}]", events.join(","))).await;
    assert_eq!(status, 202, "{answer}");
    let began = Instant::now();
    let lines = loop {
        let lines = metric_lines(&pipeline, "obedient");
        if lines.iter().filter(|line| line["outage_stops"] == 1).count() >= 3 {
            break lines;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{}", pipeline.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let lags: Vec<_> = lines.iter().filter_map(|line| line["consumer_lag_ms"].as_f64()).collect();
    assert!(lags.len() == lines.len() && lags.is_sorted(), "it is behind by what it does not settle: {lags:?}");
    assert_eq!(sums(&lines).get("events_settled obedient"), Some(&0.0));
    assert!(pipeline.dead_letters("obedient").await.is_empty(), "nothing is counted against any event");
    pipeline.stop().await;
}
