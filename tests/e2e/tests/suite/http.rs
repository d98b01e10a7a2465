//! The edge over HTTP: the three modes, and what is refused.

use std::io::Write;

use e2e::{Pipeline, Setup, event};
use penstock_local::gateway::Edge;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCHED: &str = "application/cloudevents-batch+json";

fn accepted_somewhere(item: &serde_json::Value) -> bool {
    item["status"] == "accepted"
        && item["shard"].as_str().is_some_and(|shard| shard.starts_with("shardId-"))
        && item["sequence"]
            .as_str()
            .is_some_and(|n| (n.len() > 20 || e2e::endpoint().is_some()) && n.bytes().all(|b| b.is_ascii_digit()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_and_encoding_is_answered_with_shard_and_sequence_number() {
    let pipeline = Setup::obedient().start().await;
    let one = event("1", "k", "t", r#""succeed""#);
    let (status, answer) = pipeline.post(STRUCTURED, one).await;
    assert_eq!(status, 202, "{answer}");
    assert!(accepted_somewhere(&answer["events"][0]), "{answer}");

    let two = format!("[{},{}]", event("2", "k", "t", r#""succeed""#), event("3", "l", "t", r#""succeed""#));
    let (status, answer) = pipeline.post(BATCHED, two.clone()).await;
    assert_eq!((status, &answer["accepted"]), (202, &2.into()), "{answer}");

    let binary = pipeline.http.post(pipeline.url()).body(r#""succeed""#);
    let binary =
        [("ce-specversion", "1.0"), ("ce-id", "4"), ("ce-source", "e2e"), ("ce-type", "t"), ("ce-subject", "k")]
            .into_iter()
            .fold(binary.header("content-type", "application/json"), |request, (name, value)| {
                request.header(name, value)
            });
    let (status, answer) = pipeline.send(binary).await;
    assert_eq!(status, 202, "{answer}");
    assert!(accepted_somewhere(&answer["events"][0]), "{answer}");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(two.replace(r#""id":"#, r#""id":"z"#).replace(r#""z""#, r#""z"#).as_bytes()).unwrap();
    let zipped = pipeline.http.post(pipeline.url()).header("content-type", BATCHED).header("content-encoding", "gzip");
    let (status, answer) = pipeline.send(zipped.body(gzip.finish().unwrap())).await;
    assert_eq!((status, &answer["accepted"]), (202, &2.into()), "{answer}");
    let zstd = zstd::encode_all(event("5", "k", "t", r#""succeed""#).as_bytes(), 3).unwrap();
    let zstd = pipeline
        .http
        .post(pipeline.url())
        .header("content-type", STRUCTURED)
        .header("content-encoding", "zstd")
        .body(zstd);
    assert_eq!(pipeline.send(zstd).await.0, 202);

    let counts = pipeline.wait_for("obedient", 7).await;
    assert_eq!((counts.handled, counts.dead_letters), (7, 0));
    pipeline.stop().await;
}

/// A body, how it is sent, and the status and code that are documented for it.
struct Row {
    name: &'static str,
    content_type: &'static str,
    encoding: Option<&'static str>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn row(
    name: &'static str,
    content_type: &'static str,
    body: impl Into<Vec<u8>>,
    status: u16,
    code: &'static str,
) -> Row {
    Row { name, content_type, encoding: None, body: body.into(), status, code }
}

fn rows() -> Vec<Row> {
    let fine = event("1", "k", "t", "1");
    let bomb = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..100 {
            gzip.write_all(&vec![b' '; 1024 * 1024]).unwrap();
        }
        gzip.finish().unwrap()
    };
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let many = format!("[{}]", vec![fine.as_str(); 501].join(","));
    vec![
        row("malformed JSON", STRUCTURED, "{", 400, "malformed_json"),
        row("malformed batch", BATCHED, "[{},", 400, "malformed_json"),
        row("wrong content type", "text/plain", fine.clone(), 415, "unsupported_media_type"),
        row("no id", STRUCTURED, fine.replace(r#""id":"1","#, ""), 400, "missing_attribute"),
        row("unknown specversion", STRUCTURED, fine.replace("1.0", "0.3"), 400, "unsupported_specversion"),
        row("501 events", BATCHED, many, 413, "too_many_events"),
        row(
            "an oversized event",
            STRUCTURED,
            event("1", "k", "t", &format!("\"{}\"", "x".repeat(300_000))),
            413,
            "event_too_large",
        ),
        row("depth 10,000", STRUCTURED, event("1", "k", "t", &deep), 400, "too_deep"),
        row("invalid UTF-8", STRUCTURED, [fine.as_bytes(), &[0xff]].concat(), 400, "invalid_utf8"),
        row(
            "a NUL in the key",
            STRUCTURED,
            fine.replace(r#""subject":"k""#, r#""partitionkey":"a\u0000""#),
            400,
            "invalid_attribute",
        ),
        row("an empty body", STRUCTURED, "", 400, "empty_body"),
        Row { encoding: Some("gzip"), ..row("a zip bomb", STRUCTURED, bomb, 413, "body_too_large") },
        Row { encoding: Some("gzip"), ..row("broken gzip", STRUCTURED, "junk", 400, "malformed_encoding") },
        Row { encoding: Some("br"), ..row("an unknown encoding", STRUCTURED, "x", 415, "unsupported_encoding") },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_its_documented_answer_and_nothing_reaches_the_stream() {
    let pipeline = Setup::obedient().start().await;
    for Row { name, content_type, encoding, body, status, code } in rows() {
        let mut request = pipeline.http.post(pipeline.url()).header("content-type", content_type).body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let (got, answer) = pipeline.send(request).await;
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{name}: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{name}: {answer}");
    }
    // what API Gateway refuses before the function sees it
    // on a connection of its own, which the gateway closes behind its answer
    let oversized = reqwest::Client::new().post(pipeline.url()).header("content-type", STRUCTURED);
    let (status, answer) = pipeline.send(oversized.body(vec![b' '; 11 * 1024 * 1024])).await;
    assert_eq!(status, 413, "an oversized body: {answer}");
    let (status, _) = pipeline.send(pipeline.http.get(format!("{}/v2", pipeline.stack.endpoint()))).await;
    assert_eq!(status, 404);
    assert_eq!(pipeline.on_stream().await, 0);
    assert!(alive(&pipeline).await, "the edge survives all of it");
    pipeline.stop().await;
}

async fn alive(pipeline: &Pipeline) -> bool {
    pipeline.send(pipeline.http.get(format!("{}/v1/health", pipeline.stack.endpoint()))).await.0 == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_leave_no_line_in_the_log() {
    let pipeline = Setup::obedient().start().await;
    for _ in 0..3 {
        assert!(alive(&pipeline).await);
    }
    assert_eq!(pipeline.post(STRUCTURED, event("1", "k", "t", r#""succeed""#)).await.0, 202);
    pipeline.wait_for("obedient", 1).await;
    let answered: Vec<_> = pipeline.lines("ingest").into_iter().filter(|line| line.contains("answered")).collect();
    assert_eq!(answered.len(), 1, "{answered:?}");
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_one_bad_event_says_which_and_takes_the_others() {
    let pipeline = Setup::obedient().start().await;
    let bad = event("2", "k", "t", "1").replace(r#""id":"2","#, "");
    let body = format!("[{},{bad},{}]", event("1", "k", "t", r#""succeed""#), event("3", "k", "t", r#""succeed""#));
    let (status, answer) = pipeline.post(BATCHED, body).await;
    assert_eq!(status, 207, "{answer}");
    assert!(accepted_somewhere(&answer["events"][0]) && accepted_somewhere(&answer["events"][2]), "{answer}");
    let refused = &answer["events"][1];
    assert_eq!(
        (&refused["status"], &refused["code"], &refused["pointer"]),
        (&"rejected".into(), &"missing_attribute".into(), &"/1/id".into())
    );
    assert_eq!(pipeline.wait_for("obedient", 2).await.handled, 2);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_rest_api_and_a_function_url_events_are_taken_and_refused_as_behind_an_http_api() {
    for edge in [Edge::RestApi, Edge::FunctionUrl] {
        let pipeline = Setup { edge, ..Setup::obedient() }.start().await;
        let events = [event("1", "k", "t", "\"succeed\""), event("2", "k", "t", "\"succeed\"")];
        let batch = format!("[{}]", events.join(","));
        let (status, answer) = pipeline.post("application/cloudevents-batch+json", batch).await;
        assert_eq!(status, 202, "{edge:?}: {answer}");
        let request = pipeline.http.post(format!("{}/v1/events", pipeline.stack.endpoint()));
        let request = request.header("ce-specversion", "1.0").header("ce-id", "3").header("ce-source", "s");
        let request =
            request.header("ce-type", "t").header("ce-subject", "k").header("content-type", "application/json");
        assert_eq!(request.body("\"succeed\"").send().await.unwrap().status(), 202, "{edge:?}: binary mode");
        let (status, answer) = pipeline.post("application/cloudevents+json", "{}").await;
        assert_eq!((status, &answer["code"]), (400, &"missing_attribute".into()), "{edge:?}: {answer}");
        assert_eq!(pipeline.wait_for("obedient", 3).await.handled, 3, "{edge:?}");
        pipeline.stop().await;
    }
}
