use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use penstock::ShardId;
use penstock::packing::PackedRecord;
use penstock::ports::{Error, PutResult};
use proptest::prelude::*;
use serde_json::{Value, json};

use penstock_schema::policy::Undeclared;

use super::*;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCHED: &str = "application/cloudevents-batch+json";

/// A stream in memory. Records of the key `slow` are throttled for ever.
#[derive(Debug, Default)]
struct Memory {
    stored: Mutex<Vec<PackedRecord>>,
    fault: Option<Error>,
}

impl Stream for &Memory {
    async fn put(&self, records: &[PackedRecord]) -> Result<Vec<PutResult>, Error> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut stored = self.stored.lock().unwrap();
        let verdicts = records.iter().map(|record| {
            if record.key.as_str() == "slow" {
                return PutResult::Throttled;
            }
            stored.push(record.clone());
            PutResult::Stored {
                shard: ShardId::new("shardId-000000000000"),
                sequence: stored.len().to_string().parse().unwrap(),
            }
        });
        Ok(verdicts.collect())
    }
}

/// Time that passes only while somebody sleeps.
#[derive(Debug, Default)]
struct Ticks(AtomicU64);

impl Clock for &Ticks {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap().max(1);
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

fn of_build() -> Schemas<NoRegistry> {
    Schemas::new(None, Undeclared::Pass)
}

fn answer_by(memory: &Memory, clock: &Ticks, request: Value, deadline: u64) -> Answer {
    let producer = Producer::new(memory, clock, (|| 0.5) as fn() -> f64);
    let ingest = Ingest::new(producer, clock, KeyRules::default(), of_build(), Limits::DEFAULT);
    let request = Request::read(&serde_json::value::to_raw_value(&request).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let trace = RequestTrace::of(&request.headers, None);
    runtime.block_on(ingest.answer(request, &trace, Timestamp(deadline)))
}

fn answer_on(memory: &Memory, request: Value) -> Answer {
    answer_by(memory, &Ticks::default(), request, 10_000)
}

fn answer(request: Value) -> Answer {
    answer_on(&Memory::default(), request)
}

/// What Lambda gets from an HTTP API.
fn request(method: &str, path: &str, headers: Value, body: Option<&[u8]>) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "stage": "$default",
            "requestId": "gateway-1",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
        },
        "body": body.map(|bytes| BASE64_STANDARD.encode(bytes)),
        "isBase64Encoded": true,
    })
}

fn post(content_type: &str, body: impl AsRef<[u8]>) -> Value {
    request("POST", "/v1/events", json!({"content-type": content_type}), Some(body.as_ref()))
}

fn event(id: &str, subject: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","subject":"{subject}"}}"#)
}

fn status_and_code(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    (answer.status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn each_mode_stores_the_event_and_answers_with_its_place() {
    let headers = json!({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-subject": "k"});
    let requests = [
        post(STRUCTURED, event("1", "k")),
        post(BATCHED, format!("[{}]", event("1", "k"))),
        request("POST", "/v1/events", headers, None),
    ];
    for request in requests {
        let memory = Memory::default();
        let answer = answer_on(&memory, request);
        assert_eq!(answer.status, 202, "{}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            body["events"],
            json!([{"index": 0, "id": "1", "status": "accepted", "shard": "shardId-000000000000", "sequence": "1"}])
        );
        let stored = memory.stored.lock().unwrap();
        assert_eq!((stored.len(), stored[0].key.as_str()), (1, "k"));
    }
}

#[test]
fn outcomes_are_told_at_the_index_of_their_event() {
    let batch = format!("[{},{{}},{},{}]", event("1", "fast"), event("3", "slow"), event("4", "fast"));
    let answer = answer(post(BATCHED, batch));
    assert_eq!(answer.status, 207);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let told: Vec<_> = body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["index"].as_u64().unwrap(), event["id"].as_str(), event["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [(0, Some("1"), "accepted"), (1, None, "rejected"), (2, Some("3"), "retry"), (3, Some("4"), "accepted")]
    );
    assert_eq!(answer.headers["retry-after"], "1");
}

#[test]
fn events_go_to_the_producer_in_their_order() {
    let batch: Vec<_> = (0..20).map(|n| event(&n.to_string(), &format!("key-{n}"))).collect();
    let memory = Memory::default();
    answer_on(&memory, post(BATCHED, format!("[{}]", batch.join(","))));
    let keys: Vec<_> = memory.stored.lock().unwrap().iter().map(|record| record.key.to_string()).collect();
    assert_eq!(keys, (0..20).map(|n| format!("key-{n}")).collect::<Vec<_>>());
}

#[test]
fn every_refusal_of_a_whole_request_has_its_status_and_stores_nothing() {
    let coded = |encoding: &str, body: &[u8]| {
        let headers = json!({"content-type": STRUCTURED, "content-encoding": encoding});
        request("POST", "/v1/events", headers, Some(body))
    };
    let mut broken_base64 = post(STRUCTURED, "x");
    broken_base64["body"] = json!("***");
    let rows = [
        (post(STRUCTURED, ""), (400, "empty_body")),
        (broken_base64, (400, "malformed_base64")),
        (coded("gzip", b"not gzip"), (400, "malformed_encoding")),
        (coded("zstd", b"not zstd"), (400, "malformed_encoding")),
        (coded("br", b"{}"), (415, "unsupported_encoding")),
        (post(STRUCTURED, b"\xFF"), (400, "invalid_utf8")),
        (post(STRUCTURED, "{"), (400, "malformed_json")),
        (post(BATCHED, format!("[{},", event("1", "k"))), (400, "malformed_json")),
        (post(BATCHED, event("1", "k")), (400, "not_an_event")),
        (post(BATCHED, format!("[{}]", vec![event("1", "k"); 501].join(","))), (413, "too_many_events")),
        (post(STRUCTURED, vec![b' '; 6 * 1024 * 1024 + 1]), (413, "body_too_large")),
        (post("application/json", event("1", "k")), (415, "unsupported_media_type")),
        (post(STRUCTURED, r#"{"id":"1"}"#), (400, "missing_attribute")),
        (post(BATCHED, r#"[{"id":"1"},7]"#), (400, "events_rejected")),
    ];
    for (request, (status, code)) in rows {
        let memory = Memory::default();
        let answer = answer_on(&memory, request);
        assert_eq!(status_and_code(&answer), (status, code.to_owned()), "{}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(memory.stored.lock().unwrap().is_empty(), "{code}");
    }
}

#[test]
fn a_compressed_body_is_read() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(event("1", "k").as_bytes()).unwrap();
    let zstd = zstd::stream::encode_all(event("1", "k").as_bytes(), 1).unwrap();
    for (encoding, body) in [("gzip", encoder.finish().unwrap()), ("zstd", zstd)] {
        let headers = json!({"content-type": STRUCTURED, "content-encoding": encoding});
        assert_eq!(answer(request("POST", "/v1/events", headers, Some(&body))).status, 202, "{encoding}");
    }
}

#[test]
fn the_streams_troubles_have_their_own_statuses() {
    let rows = [
        (Error::Throttled("x".to_owned()), (429, "throttled"), "1"),
        (Error::Unavailable("x".to_owned()), (503, "stream_unavailable"), "1"),
        (Error::Refused("x".to_owned()), (503, "stream_refused"), "30"),
    ];
    for (fault, (status, code), wait) in rows {
        let memory = Memory { fault: Some(fault), ..Memory::default() };
        let answer = answer_on(&memory, post(STRUCTURED, event("1", "k")));
        assert_eq!(status_and_code(&answer), (status, code.to_owned()));
        assert_eq!(answer.tally, Tally { retry: 1, ..Tally::default() }, "{code}: nothing is wrong with the event");
        assert_eq!(answer.headers["retry-after"], wait, "{code}");
    }
}

#[test]
fn a_stream_that_refuses_rejects_only_what_the_edge_itself_rejects() {
    let memory = Memory { fault: Some(Error::Refused("AccessDeniedException".to_owned())), ..Memory::default() };
    let answer = answer_on(&memory, post(BATCHED, format!("[{},{{}},{}]", event("1", "k"), event("2", "l"))));
    assert_eq!(answer.status, 207);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let told: Vec<_> =
        body["events"].as_array().unwrap().iter().map(|event| (&event["status"], &event["code"])).collect();
    let (retry, rejected) =
        ((json!("retry"), json!("stream_refused")), (json!("rejected"), json!("missing_attribute")));
    assert_eq!(told, [&retry, &rejected, &retry].map(|(status, code)| (status, code)));
}

#[test]
fn the_producer_stops_in_time_for_the_answer() {
    // it has five seconds of ten; a second of four and a quarter of two are kept back
    for (left, latest) in [(10_000, 5_000), (4_000, 3_000), (2_000, 1_500)] {
        let clock = Ticks::default();
        let answer = answer_by(&Memory::default(), &clock, post(STRUCTURED, event("1", "slow")), left);
        assert_eq!(status_and_code(&answer), (429, "throttled".to_owned()));
        assert!((&clock).now() <= Timestamp(latest), "{:?}", (&clock).now());
        // the longest wait between two tries is half a second with this jitter
        assert!((&clock).now() > Timestamp(latest - 500), "it does try: {:?}", (&clock).now());
    }
}

#[test]
fn without_time_nothing_is_put() {
    let (memory, clock) = (Memory::default(), Ticks(AtomicU64::new(5_000)));
    let answer = answer_by(&memory, &clock, post(STRUCTURED, event("1", "k")), 4_000);
    assert_eq!(status_and_code(&answer), (503, "out_of_time".to_owned()));
    assert!(memory.stored.lock().unwrap().is_empty());
}

#[test]
fn paths_and_methods_are_answered_here_too() {
    let ask = |method: &str, path: &str| answer(request(method, path, json!({}), None));
    assert_eq!((ask("GET", "/v1/health").status, ask("GET", "/v1/health").body.as_str()), (200, r#"{"status":"ok"}"#));
    for path in ["/", "", "/v1", "/v1/events/", "/v1/events/1", "/v2/events", "//v1/events"] {
        assert_eq!(status_and_code(&ask("POST", path)), (404, "not_found".to_owned()), "{path}");
    }
    for (method, path, allowed) in
        [("GET", "/v1/events", "POST"), ("PUT", "/v1/events", "POST"), ("POST", "/v1/health", "GET")]
    {
        let answer = ask(method, path);
        assert_eq!(status_and_code(&answer), (405, "method_not_allowed".to_owned()));
        assert_eq!(answer.headers["allow"], allowed);
    }
}

#[test]
fn the_name_of_a_stage_before_the_path_is_no_part_of_it() {
    let staged = |path: &str| {
        let mut request = request("GET", path, json!({}), None);
        request["requestContext"]["stage"] = json!("v1");
        answer(request).status
    };
    assert_eq!(staged("/v1/v1/health"), 200);
    assert_eq!(staged("/v1/health"), 200, "a custom domain's mapping leaves the stage out");
    assert_eq!(staged("/v1x/v1/health"), 404);
}

#[test]
fn every_recorded_payload_is_taken_with_all_its_events() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/payloads");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !["apigw-", "rest-", "url-"].iter().any(|edge| name.starts_with(edge)) {
            continue;
        }
        let answer = answer(serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap());
        assert_eq!(answer.status, 202, "{name}: {}", answer.body);
        assert!(answer.tally.accepted > 0, "{name}");
        seen += 1;
    }
    assert!(seen >= 7, "{seen} payloads");
}

#[test]
fn the_lambda_event_is_answered_with_a_lambda_response() {
    let (memory, clock) = (Memory::default(), Ticks::default());
    let ingest = Ingest::new(
        Producer::new(&memory, &clock, || 0.5),
        &clock,
        KeyRules::default(),
        Schemas::none(),
        Limits::DEFAULT,
    );
    let payload = serde_json::value::to_raw_value(&post(STRUCTURED, event("1", "k"))).unwrap();
    let mut context = lambda_runtime::Context::default();
    context.deadline = 3_000;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(ingest.handle(LambdaEvent::new(payload, context))).unwrap();
    assert_eq!(serde_json::to_value(response).unwrap()["statusCode"], 202);
}

proptest! {
    #[test]
    fn no_lambda_event_panics(
        method in prop::sample::select(vec!["GET", "POST", "OPTIONS", "X"]),
        path in prop_oneof![Just("/v1/events".to_owned()), Just("/v1/health".to_owned()), any::<String>()],
        kind in prop::sample::select(vec![STRUCTURED, BATCHED, "application/json", "\u{e9}", ""]),
        encoding in prop::sample::select(vec!["", "gzip", "zstd", "gzip, zstd"]),
        body in proptest::collection::vec(any::<u8>(), 0..80),
        base64 in any::<bool>(),
    ) {
        let headers = json!({"content-type": kind, "content-encoding": encoding, "ce-id": "1"});
        let mut request = request(method, &path, headers, Some(&body));
        request["isBase64Encoded"] = json!(base64);
        let answer = answer(request);
        prop_assert!((200..600).contains(&answer.status));
        prop_assert!(serde_json::from_str::<Value>(&answer.body).is_ok());
    }
}
