use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::lambda::FunctionConfig;

/// The example, which cargo builds beside the tests: it echoes its event.
fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("examples/obedient_function")
}

struct Api {
    url: String,
    function: Function,
    http: reqwest::Client,
    cancel: CancellationToken,
}

async fn api() -> Api {
    api_of(Edge::HttpApi, Bounds::default()).await
}

async fn api_within(bounds: Bounds) -> Api {
    api_of(Edge::HttpApi, bounds).await
}

async fn api_of(edge: Edge, bounds: Bounds) -> Api {
    let config = FunctionConfig {
        name: "echo".into(),
        arn: "arn".into(),
        binary: binary(),
        timeout: Duration::from_secs(5),
        memory_mb: 512,
        environment: BTreeMap::new(),
        max_concurrency: 1,
        on_timeout: crate::lambda::OnTimeout::Kill,
    };
    let function = Function::new(config, Arc::new(|_: &str| {}), &crate::metrics::MetricStore::default()).unwrap();
    let routes = vec![
        ("POST".to_owned(), "/v1/things/{id}".to_owned(), function.clone()),
        ("GET".to_owned(), "/v1/things".to_owned(), function.clone()),
    ];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cancel = CancellationToken::new();
    tokio::spawn(Gateway::new(routes).unwrap().speaking(edge).within(bounds).serve(listener, cancel.clone()));
    Api { url, function, http: reqwest::Client::new(), cancel }
}

impl Api {
    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap()
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.function.shutdown().await;
    }
}

#[tokio::test]
async fn the_event_is_that_of_payload_format_2() {
    let api = api().await;
    let request = api.http.post(format!("{}/v1/things/7?a=1&a=2&b=%20", api.url)).header("cookie", "c=1; d=2");
    let request = request.header("X-Two", "one").header("X-Two", "two").header("content-type", "application/json");
    let (status, answer) = api.send(request.body(r#"{"x":"é"}"#)).await;
    assert_eq!(status, 200);
    let event = &answer["echo"];
    for (name, expected) in [
        ("version", json!("2.0")),
        ("routeKey", json!("POST /v1/things/{id}")),
        ("rawPath", json!("/v1/things/7")),
        ("rawQueryString", json!("a=1&a=2&b=%20")),
        ("cookies", json!(["c=1", "d=2"])),
        ("queryStringParameters", json!({ "a": "1,2", "b": " " })),
        ("pathParameters", json!({ "id": "7" })),
        ("body", json!(r#"{"x":"é"}"#)),
        ("isBase64Encoded", json!(false)),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
    assert_eq!(event["headers"]["x-two"], "one,two");
    assert!(event["headers"].get("cookie").is_none());
    for name in ["host", "x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"] {
        assert!(event["headers"][name].is_string(), "{name}");
    }
    let context = &event["requestContext"];
    assert_eq!((&context["stage"], &context["http"]["method"]), (&json!("$default"), &json!("POST")));
    // the shape that the functions read it with
    serde_json::from_value::<aws_lambda_events::apigw::ApiGatewayV2httpRequest>(event.clone()).unwrap();
    api.stop().await;
}

#[tokio::test]
async fn a_rest_api_and_a_function_url_hand_on_what_theirs_do() {
    let api = api_of(Edge::RestApi, Bounds::default()).await;
    let request =
        api.http.post(format!("{}/v1/things/7?a=1&a=2", api.url)).header("x-two", "one").header("x-two", "two");
    let (_, answer) = api.send(request.header("cookie", "c=1").body(&b"\xff{}"[..])).await;
    let event = &answer["echo"];
    for (name, expected) in [
        ("resource", json!("/v1/things/{id}")),
        ("path", json!("/v1/things/7")),
        ("httpMethod", json!("POST")),
        ("queryStringParameters", json!({ "a": "2" })),
        ("multiValueQueryStringParameters", json!({ "a": ["1", "2"] })),
        ("pathParameters", json!({ "id": "7" })),
        // without binary media types a body is text, whatever it is
        ("body", json!("\u{fffd}{}")),
        ("isBase64Encoded", json!(false)),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
    assert_eq!(
        (&event["headers"]["x-two"], &event["multiValueHeaders"]["x-two"]),
        (&json!("two"), &json!(["one", "two"]))
    );
    assert_eq!(event["multiValueHeaders"]["cookie"], json!(["c=1"]));
    assert_eq!((&event["requestContext"]["stage"], event.get("version")), (&json!("prod"), None));
    serde_json::from_value::<aws_lambda_events::apigw::ApiGatewayProxyRequest>(event.clone()).unwrap();
    api.stop().await;

    let api = api_of(Edge::FunctionUrl, Bounds::default()).await;
    let (_, answer) = api.send(api.http.get(format!("{}/v1/things", api.url))).await;
    let event = &answer["echo"];
    assert_eq!((&event["version"], &event["routeKey"]), (&json!("2.0"), &json!("$default")));
    assert_eq!(event["requestContext"]["routeKey"], "$default");
    serde_json::from_value::<aws_lambda_events::apigw::ApiGatewayV2httpRequest>(event.clone()).unwrap();
    api.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_text_travels_as_base64() {
    let api = api().await;
    let url = format!("{}/v1/things/7", api.url);
    for (kind, encoding, body, base64) in [
        ("application/octet-stream", None, &b"text"[..], true),
        ("text/plain", None, b"text", false),
        ("text/plain", None, b"\xff", true),
        ("application/json; charset=utf-8", None, b"{}", false),
        ("application/cloudevents+json", None, b"{}", true),
        ("application/json", Some("gzip"), b"{}", true),
    ] {
        let mut request = api.http.post(&url).header("content-type", kind).body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let (_, answer) = api.send(request).await;
        assert_eq!(answer["echo"]["isBase64Encoded"], base64, "{kind} {encoding:?}");
    }
    api.stop().await;
}

#[tokio::test]
async fn what_the_gateway_answers_itself() {
    let api = api().await;
    let url = format!("{}/v1/things/7", api.url);
    let not_found = (404, json!({ "message": "Not Found" }));
    assert_eq!(api.send(api.http.get(format!("{}/nowhere", api.url))).await, not_found);
    assert_eq!(api.send(api.http.get(&url)).await, not_found, "the method has no route");
    let too_large = api.http.post(&url).body(vec![b'x'; BODY_MAX + 1]);
    assert_eq!(api.send(too_large).await, (413, json!({ "message": "Request Entity Too Large" })));
    let head = api.http.post(&url).header("x-long", "x".repeat(HEAD_MAX));
    assert_eq!(api.send(head).await, (431, json!({ "message": "Request Header Fields Too Large" })));
    // over Lambda's 6 MB once it is base64 in an event
    let too_long = api.http.post(&url).body(vec![0; 5 * 1024 * 1024]);
    assert_eq!(api.send(too_long).await, (413, json!({ "message": "Request Too Long" })));
    api.stop().await;
}

/// Sends bytes, and gives what comes back until the connection ends.
async fn exchange(connection: &mut TcpStream, bytes: &[u8]) -> String {
    connection.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("it ends").unwrap();
    String::from_utf8(answer).unwrap()
}

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_head_that_does_not_come_is_a_408_and_the_end_of_the_connection() {
    let api = api_within(Bounds { head: SHORT, ..Bounds::default() }).await;
    for part in [&b""[..], b"POST /v1/th", b"POST /v1/things/7 HTTP/1.1\r\nhost: h\r\n"] {
        let answer = exchange(&mut api.connect().await, part).await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.ends_with(r#"{"message":"Request Timeout"}"#), "{answer}");
    }
    // one byte at a time does not keep it open
    let mut slow = api.connect().await;
    let began = std::time::Instant::now();
    while slow.write_all(b"x").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(5), "it is still open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    api.stop().await;
}

#[tokio::test]
async fn a_used_connection_stays_open_and_its_next_head_has_its_time() {
    let api = api_within(Bounds { head: SHORT, ..Bounds::default() }).await;
    let mut connection = api.connect().await;
    // two are answered at once, by the gateway itself
    for (path, status) in [("/nowhere", "404 Not Found"), ("/v1/things", "200 OK"), ("/nowhere", "404 Not Found")] {
        connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
        // longer than a head may take
        tokio::time::sleep(2 * SHORT).await;
        let mut answer = vec![0; 64 * 1024];
        let length = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")) && !answer.contains("Request Timeout"),
            "{answer}"
        );
    }
    let rest = exchange(&mut connection, b"GET /v1/").await;
    assert!(rest.ends_with(r#"{"message":"Request Timeout"}"#), "{rest}");
    api.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408_and_the_end_of_the_connection() {
    let api = api_within(Bounds { body: SHORT, ..Bounds::default() }).await;
    let head = b"POST /v1/things/7 HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nhalf";
    let answer = exchange(&mut api.connect().await, head).await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"message":"Request Timeout"}"#), "{answer}");
    api.stop().await;
}

#[tokio::test]
async fn a_request_waits_for_room_and_is_refused_when_there_is_none_in_time() {
    let api = api_within(Bounds { room: 2 * SHORT, held: 1024 * 1024, ..Bounds::default() }).await;
    let url = format!("{}/v1/things/7", api.url);
    let head = b"POST /v1/things/7 HTTP/1.1\r\nhost: h\r\ncontent-length: 1048576\r\n\r\n";
    let mut holder = api.connect().await;
    holder.write_all(head).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let small = || api.send(api.http.post(&url).body("x"));
    assert_eq!(small().await, (503, json!({ "message": "Service Unavailable" })));
    let (answer, ()) = tokio::join!(small(), async {
        tokio::time::sleep(SHORT).await;
        drop(holder);
    });
    assert_eq!(answer.0, 200, "it waited until there was room");
    api.stop().await;
}

#[tokio::test]
async fn a_function_that_has_its_event_holds_no_room() {
    let api = api_within(Bounds { room: SHORT, held: 1024, ..Bounds::default() }).await;
    let url = format!("{}/v1/things/7", api.url);
    for _ in 0..3 {
        let (status, _) = api.send(api.http.post(&url).body(vec![b'x'; 1024])).await;
        assert_eq!(status, 200);
    }
    api.stop().await;
}

#[tokio::test]
async fn a_header_that_is_no_text_is_named() {
    let api = api().await;
    let request = b"POST /v1/things/7 HTTP/1.1\r\nhost: h\r\nx-name: J\xf6rg\r\nconnection: close\r\n\r\n";
    let answer = exchange(&mut api.connect().await, request).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let message = r#"{"message":"Bad Request: the value of the header x-name has bytes that are not ASCII"}"#;
    assert!(answer.ends_with(message), "{answer}");
    api.stop().await;
}

#[test]
fn a_functions_answer_becomes_http() {
    let status = |bytes: &[u8]| response::from_function(bytes).status().as_u16();
    assert_eq!(status(br#"{"statusCode":201,"headers":{"a":"b","n":1},"cookies":["c=1"],"body":"x"}"#), 201);
    assert_eq!(status(br#"{"any":"json"}"#), 200);
    for broken in [
        &b"no json"[..],
        br#"{"statusCode":"x"}"#,
        br#"{"statusCode":200,"headers":{"a\n":"b"}}"#,
        br#"{"statusCode":200,"isBase64Encoded":true,"body":"?"}"#,
        br#"{"statusCode":99}"#,
    ] {
        assert_eq!(status(broken), 500, "{}", String::from_utf8_lossy(broken));
    }
}
