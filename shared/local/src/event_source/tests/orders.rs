//! A stream of numbered records under four keys, and a mapping that reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::StreamStatus;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fixture::{Function, PATIENCE, STREAM, stream_arn};
use crate::event_source::{CheckpointStore, KinesisMapping, MappingError, run_kinesis};
use penstock_event_source::EventSource;
use penstock_event_source::MappingStatus;
use penstock_event_source::Settings;

/// Half of the hash space: where a shard is split, or two meet.
pub(crate) const MIDDLE: &str = "170141183460469231731687303715884105728";

pub(crate) fn mapping(settings: Settings) -> KinesisMapping {
    KinesisMapping {
        stream_name: STREAM.into(),
        source: EventSource { stream_arn: stream_arn(), region: "us-east-1".into(), role_arn: "role".into() },
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
        settings,
        on_failure_queue_url: None,
        puts: None,
        grace: PATIENCE,
    }
}

pub(crate) fn settings() -> Settings {
    Settings { batch_size: 10, report_batch_item_failures: true, ..Settings::default() }
}

pub(crate) struct Running {
    pub(crate) cancel: CancellationToken,
    pub(crate) status: watch::Receiver<MappingStatus>,
    pub(crate) task: JoinHandle<Result<(), MappingError>>,
}

pub(crate) fn run(
    mapping: KinesisMapping,
    client: &Client,
    sqs: &aws_sdk_sqs::Client,
    function: &Function,
    store: impl CheckpointStore,
) -> Running {
    let cancel = CancellationToken::new();
    let (sender, status) = watch::channel(MappingStatus::default());
    let work = run_kinesis(mapping, client.clone(), sqs.clone(), function.clone(), store, sender, cancel.clone());
    Running { cancel, status, task: tokio::spawn(work) }
}

impl Running {
    pub(crate) async fn stop(self) -> Result<(), MappingError> {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops in time").unwrap()
    }
}

pub(crate) async fn create(client: &Client, shards: i32) {
    let request = client.create_stream().stream_name(STREAM);
    request.shard_count(shards).send().await.unwrap();
    active(client).await;
}

/// Waits until the stream takes records and changes.
pub(crate) async fn active(client: &Client) {
    let status = || async {
        let described = client.describe_stream_summary().stream_name(STREAM).send().await;
        described.unwrap().stream_description_summary.unwrap().stream_status
    };
    let wait = async {
        while status().await != StreamStatus::Active {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the stream becomes active");
}

/// Puts `numbers` under each of four keys, two in each half of the hash space.
pub(crate) async fn put(client: &Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        for key in 0..4_u128 {
            let hash = key << 126;
            let request = client.put_record().stream_name(STREAM).partition_key(format!("key{key}"));
            let data = Blob::new(number.to_string());
            request.explicit_hash_key(hash.to_string()).data(data).send().await.unwrap();
        }
    }
}

/// The numbers that were delivered, by key.
pub(crate) fn delivered(batches: &[Vec<Value>]) -> BTreeMap<String, Vec<usize>> {
    let mut delivered: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for record in batches.iter().flatten() {
        let key = record["kinesis"]["partitionKey"].as_str().unwrap().to_owned();
        delivered.entry(key).or_default().push(number(record));
    }
    delivered
}

pub(crate) fn number(record: &Value) -> usize {
    let data = STANDARD.decode(record["kinesis"]["data"].as_str().unwrap()).unwrap();
    String::from_utf8(data).unwrap().parse().unwrap()
}

pub(crate) fn all(batches: &[Vec<Value>], count: usize) -> bool {
    batches.iter().map(Vec::len).sum::<usize>() >= count
}

pub(crate) fn each_key(numbers: std::ops::Range<usize>) -> BTreeMap<String, Vec<usize>> {
    (0..4).map(|key| (format!("key{key}"), numbers.clone().collect())).collect()
}

pub(crate) async fn split(client: &Client, shard: &str, at: &str) {
    let request = client.split_shard().stream_name(STREAM).shard_to_split(shard);
    request.new_starting_hash_key(at).send().await.unwrap();
    active(client).await;
}

pub(crate) async fn merge(client: &Client, shard: &str, adjacent: &str) {
    let request = client.merge_shards().stream_name(STREAM).shard_to_merge(shard);
    request.adjacent_shard_to_merge(adjacent).send().await.unwrap();
    active(client).await;
}
