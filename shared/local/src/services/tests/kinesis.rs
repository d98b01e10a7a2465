use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType, StreamStatus};

use super::{start, stream};
use crate::services::Services;

pub(super) async fn put(services: &Services, stream: &str, key: &str) -> String {
    let call = services.clients().kinesis.put_record().stream_name(stream).partition_key(key);
    call.data(Blob::new(key)).send().await.unwrap().sequence_number
}

/// Sequence numbers and partition keys of a shard, oldest first.
pub(super) async fn read(services: &Services, stream: &str, shard: &str) -> Vec<(String, String)> {
    let call = services.clients().kinesis.get_shard_iterator().stream_name(stream).shard_id(shard);
    let iterator = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
    let call = services.clients().kinesis.get_records().set_shard_iterator(iterator.shard_iterator);
    let records = call.send().await.unwrap().records;
    records.into_iter().map(|record| (record.sequence_number, record.partition_key.unwrap())).collect()
}

pub(super) async fn split_first_shard(services: &Services, stream: &str) {
    let half = (1_u128 << 127).to_string();
    let call = services.clients().kinesis.split_shard().stream_name(stream).shard_to_split("shardId-000000000000");
    call.new_starting_hash_key(half).send().await.unwrap();
    loop {
        let output = services.clients().kinesis.describe_stream().stream_name(stream).send().await.unwrap();
        let description = output.stream_description.unwrap();
        if *description.stream_status() == StreamStatus::Active && description.shards().len() == 3 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_shard_takes_a_thousand_records_a_second_and_refuses_the_rest_one_by_one() {
    let services = start(None).await;
    services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    let records: Vec<_> = (0..500)
        .map(|number| {
            let entry = PutRecordsRequestEntry::builder().partition_key(number.to_string());
            entry.data(Blob::new("x")).build().unwrap()
        })
        .collect();
    let (mut accepted, mut refused) = (0, 0);
    // 3,000 records: more than a shard takes in the two seconds that this may at most last
    let started = std::time::Instant::now();
    for _ in 0..6 {
        let call = services.clients().kinesis.put_records().stream_name("events");
        let output = call.set_records(Some(records.clone())).send().await.unwrap();
        for record in &output.records {
            match record.error_code() {
                None => accepted += 1,
                Some(code) => {
                    assert_eq!(code, "ProvisionedThroughputExceededException");
                    refused += 1;
                }
            }
        }
    }
    let windows = started.elapsed().as_secs() as usize + 2;
    assert!(accepted <= 1000 * windows, "{accepted} accepted in {windows} windows");
    assert!(accepted >= 1000, "{accepted} accepted");
    assert_eq!(accepted + refused, 3000);
    if windows == 2 {
        assert!(refused >= 1000, "{refused} refused");
    }
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_put_is_told_of_and_a_read_is_not() {
    let services = start(None).await;
    services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    let mut puts = services.puts();
    puts.mark_unchanged();
    read(&services, "events", "shardId-000000000000").await;
    assert!(!puts.has_changed().unwrap());
    put(&services, "events", "k").await;
    assert!(puts.has_changed().unwrap());
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_put_of_four_mebibytes_is_taken() {
    let services = start(None).await;
    services.create(&[stream("events", 8)], &[], &[]).await.unwrap();
    let records: Vec<_> = (0..4)
        .map(|number: u128| {
            let entry = PutRecordsRequestEntry::builder().partition_key("k");
            let hash = (number << 126).to_string();
            entry.explicit_hash_key(hash).data(Blob::new(vec![7; 1_000_000])).build().unwrap()
        })
        .collect();
    let call = services.clients().kinesis.put_records().stream_name("events");
    let output = call.set_records(Some(records)).send().await.unwrap();
    assert_eq!(output.failed_record_count, Some(0));
    services.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_keeps_up_with_many_writers_misses_nothing() {
    const WRITERS: usize = 8;
    const PUTS: usize = 40;
    let services = start(None).await;
    services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = services.clients().kinesis.clone();
        writers.spawn(async move {
            for put in 0..PUTS {
                // larger ones leave more time between a record's number and its place
                let records = (0..3).map(|_| {
                    let entry = PutRecordsRequestEntry::builder().partition_key(format!("{writer}-{put}"));
                    entry.data(Blob::new(vec![7; 1000])).build().unwrap()
                });
                let call = client.put_records().stream_name("events").set_records(Some(records.collect()));
                let output = call.send().await.unwrap();
                assert_eq!(output.failed_record_count, Some(0));
            }
        });
    }
    let client = &services.clients().kinesis;
    let call = client.get_shard_iterator().stream_name("events").shard_id("shardId-000000000000");
    let mut iterator = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator;
    let (mut seen, mut written) = (0, false);
    loop {
        let page = client.get_records().set_shard_iterator(iterator).send().await.unwrap();
        seen += page.records().len();
        iterator = page.next_shard_iterator;
        if written && page.records.is_empty() {
            break;
        }
        while writers.try_join_next().is_some() {}
        written = writers.is_empty();
    }
    assert_eq!(seen, WRITERS * PUTS * 3);
    services.shutdown().await.unwrap();
}
