//! Against receivers on loopback that answer, refuse, or do nothing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use super::*;

const CONTEXT: TraceContext = TraceContext { trace: 7, span: 8, sampled: true };

fn traces(endpoint: &str) -> Option<Arc<Traces>> {
    // the exporter reads the process's environment: a test names its endpoint itself
    let exporter =
        SpanExporter::builder().with_http().with_http_client(Client::new()).with_retry_policy(RetryPolicy::disabled());
    let exporter = opentelemetry_otlp::WithExportConfig::with_endpoint(exporter, endpoint).build().unwrap();
    let mut reader = Reader::new(|_: &str| None);
    Some(Arc::new(Traces {
        spans: Mutex::default(),
        dropped: AtomicU64::new(0),
        exporter,
        sampler: Sampler::read(&mut reader),
        flush_max: FLUSH_MAX,
        failed: Mutex::default(),
    }))
}

fn span(name: &'static str) -> Span {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    Span {
        name,
        context: CONTEXT,
        parent: None,
        is_remote: false,
        kind: Kind::Producer,
        began: now,
        ended: now,
        attributes: vec![("event_id", "1".to_owned())],
        failed: None,
    }
}

/// A receiver that takes one request and answers `status`, or never does.
fn receiver(status: Option<u16>) -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let mut bytes = vec![0; 64 * 1024];
            let read = stream.read(&mut bytes).unwrap();
            bytes.truncate(read);
            // a test that has ended hears nothing more
            drop(sender.send(bytes));
            match status {
                Some(status) => {
                    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    stream.write_all(answer.as_bytes()).unwrap();
                }
                None => std::thread::sleep(Duration::from_secs(5)),
            }
        }
    });
    (endpoint, received)
}

#[tokio::test]
async fn spans_arrive_before_the_flush_ends() {
    let (endpoint, received) = receiver(Some(200));
    let traces = traces(&endpoint).unwrap();
    traces.record(span("produce_event"));
    traces.flush(Duration::from_secs(10)).await;
    let bytes = received.try_recv().unwrap();
    let request = String::from_utf8_lossy(&bytes);
    assert!(request.starts_with("POST /v1/traces"), "{request}");
    assert!(lock(&traces.failed).is_none() && lock(&traces.spans).is_empty());
}

#[tokio::test]
async fn a_collector_that_hangs_or_refuses_costs_its_bound_once() {
    for status in [None, Some(503)] {
        let (endpoint, received) = receiver(status);
        let traces = traces(&endpoint).unwrap();
        let began = Instant::now();
        traces.record(span("one"));
        traces.flush(Duration::from_millis(400)).await;
        assert!(began.elapsed() < Duration::from_millis(1500), "it took {:?}", began.elapsed());
        received.try_recv().unwrap();
        let began = Instant::now();
        traces.record(span("two"));
        traces.flush(Duration::from_secs(10)).await;
        assert!(began.elapsed() < Duration::from_millis(50), "it took {:?}", began.elapsed());
        assert!(received.try_recv().is_err(), "it is left alone for a while");
    }
}

#[tokio::test]
async fn no_more_spans_are_kept_than_the_bound() {
    let traces = traces("http://127.0.0.1:1/v1/traces").unwrap();
    for _ in 0..SPANS_MAX + 5 {
        traces.record(span("produce_event"));
    }
    assert_eq!((lock(&traces.spans).len(), traces.dropped.load(Ordering::Relaxed)), (SPANS_MAX, 5));
    traces.flush(Duration::from_secs(1)).await;
    assert!(lock(&traces.spans).is_empty(), "nothing is kept past an invocation");
}
