//! Local services, clients and a recording function.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use ferrokinesis::store::StoreOptions;
use serde_json::Value;
use winterbaume_core::MockAws;
use winterbaume_sqs::SqsService;

use crate::event_source::Invoke;
use penstock_event_source::Invocation;

pub(crate) const STREAM: &str = "orders";
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// Past any wait of these tests, and short enough to see what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A Kinesis server on loopback, which ends with the test's runtime.
pub(crate) async fn kinesis(iterator_ttl_seconds: u64) -> aws_sdk_kinesis::Client {
    let (app, _store) = ferrokinesis::create_app(StoreOptions {
        create_stream_ms: 0,
        delete_stream_ms: 0,
        update_stream_ms: 0,
        enforce_limits: false,
        iterator_ttl_seconds,
        ..StoreOptions::default()
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(endpoint)
        .build();
    aws_sdk_kinesis::Client::from_conf(config)
}

pub(crate) fn stream_arn() -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STREAM}")
}

/// An SQS in this process, behind the SDK's own client.
pub(crate) fn sqs() -> aws_sdk_sqs::Client {
    let mock = MockAws::builder().with_service(SqsService::new()).build();
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .region(aws_sdk_sqs::config::Region::new(REGION))
        .http_client(mock.http_client())
        .credentials_provider(mock.credentials_provider())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

type Answer = dyn Fn(usize, &[Value]) -> Invocation + Send + Sync;

/// A function that records the batches it gets, and answers as it is told to.
#[derive(Clone)]
pub(crate) struct Function {
    answer: Arc<Answer>,
    takes: Duration,
    batches: Arc<Mutex<Vec<Vec<Value>>>>,
    ended: Arc<Mutex<usize>>,
}

impl Function {
    /// Answers with `answer(number of earlier invocations, records)`.
    pub(crate) fn new(answer: impl Fn(usize, &[Value]) -> Invocation + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), takes: Duration::ZERO, batches: Arc::default(), ended: Arc::default() }
    }

    pub(crate) fn succeeding() -> Self {
        Self::new(|_, _| Invocation::Returned(Bytes::new()))
    }

    pub(crate) fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    /// The records of every invocation so far.
    pub(crate) fn batches(&self) -> Vec<Vec<Value>> {
        self.batches.lock().unwrap().clone()
    }

    pub(crate) fn ended(&self) -> usize {
        *self.ended.lock().unwrap()
    }

    /// Waits until `enough` of the batches.
    pub(crate) async fn until(&self, enough: impl Fn(&[Vec<Value>]) -> bool) {
        eventually("the function's batches", || enough(&self.batches())).await;
    }
}

impl Invoke for Function {
    async fn invoke(&self, payload: Bytes) -> Invocation {
        let event: Value = serde_json::from_slice(&payload).unwrap();
        let records = event["Records"].as_array().unwrap().clone();
        let number = {
            let mut batches = self.batches.lock().unwrap();
            batches.push(records.clone());
            batches.len() - 1
        };
        tokio::time::sleep(self.takes).await;
        *self.ended.lock().unwrap() += 1;
        (self.answer)(number, &records)
    }
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

pub(crate) fn failed() -> Invocation {
    Invocation::Failed { error_type: "Error".into(), message: "no".into() }
}

pub(crate) fn reporting(identifier: &str) -> Invocation {
    Invocation::Returned(format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{identifier}"}}]}}"#).into())
}
