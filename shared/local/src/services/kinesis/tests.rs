use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use penstock_aws::Clients;

use super::*;
use crate::services::server;

/// Kinesis on a state directory, and a client for it.
async fn start(dir: &Path) -> (Kinesis, Client, CancellationToken) {
    let state = StateDir::open(dir).unwrap();
    let kinesis = Kinesis::open(Some(&state), "000000000000", "eu-central-1", MetricStore::default()).await.unwrap();
    let (listener, url) = server::listen("Kinesis", 0).await.unwrap();
    let stop = CancellationToken::new();
    server::serve(listener, kinesis.router(), stop.clone());
    let environment = [
        ("AWS_ENDPOINT_URL_KINESIS", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", "eu-central-1"),
    ];
    let environment: BTreeMap<_, _> = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    (kinesis, Clients::from_environment(&environment).kinesis, stop)
}

/// Has the journal write to `file`; gives what it wrote to.
async fn replace_file(kinesis: &Kinesis, file: File) -> File {
    kinesis.kept.write().await.as_mut().unwrap().journal().replace_file(file)
}

/// A put of one record; its sequence number or the code of the refusal.
async fn put(client: &Client, key: &str) -> Result<String, String> {
    let call = client.put_record().stream_name("events").partition_key(key).data(Blob::new(key)).send().await;
    call.map(|put| put.sequence_number).map_err(|error| error.code().unwrap_or_default().to_owned())
}

async fn keys(client: &Client) -> Vec<String> {
    let call = client.get_shard_iterator().stream_name("events").shard_id("shardId-000000000000");
    let iterator = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator;
    let records = client.get_records().set_shard_iterator(iterator).send().await.unwrap().records;
    records.into_iter().map(|record| record.partition_key.unwrap()).collect()
}

#[tokio::test]
async fn a_put_that_a_full_disk_does_not_take_is_refused_and_is_not_on_the_stream_then_or_later() {
    let dir = tempfile::tempdir().unwrap();
    let (kinesis, client, stop) = start(dir.path()).await;
    client.create_stream().stream_name("events").shard_count(1).send().await.unwrap();
    while put(&client, "before").await.is_err() {}

    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let file = replace_file(&kinesis, full).await;
    assert_eq!(put(&client, "refused").await.unwrap_err(), "InternalFailure");
    assert_eq!(keys(&client).await, ["before"]);

    replace_file(&kinesis, file).await;
    put(&client, "after").await.unwrap();
    assert_eq!(keys(&client).await, ["before", "after"]);
    kinesis.close().await.unwrap();
    stop.cancel();

    let (_, again, stop) = start(dir.path()).await;
    assert_eq!(keys(&again).await, ["before", "after"], "what was refused was not written down later");
    stop.cancel();
}
