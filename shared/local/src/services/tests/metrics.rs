use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use super::kinesis::{put, read};
use super::sqs::{receive, send};
use super::{options, queue, queue_url, stream};
use crate::metrics::{Aggregate, MetricKey, MetricStore};
use crate::services::Services;

async fn start(metrics: &MetricStore) -> Services {
    let mut options = options(None);
    options.metrics = metrics.clone();
    Services::start(options).await.unwrap()
}

fn all(metrics: &MetricStore, key: &MetricKey) -> Aggregate {
    metrics.totals().get(key).unwrap_or_else(|| panic!("{key:?} was recorded")).all
}

#[tokio::test]
async fn what_a_stream_takes_and_refuses_and_how_often_it_is_read_is_reported() {
    let metrics = MetricStore::default();
    let services = start(&metrics).await;
    services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    put(&services, "events", "four").await;
    let of = |name| all(&metrics, &MetricKey::of("AWS/Kinesis", name, "StreamName", "events"));
    assert_eq!((of("IncomingRecords").sum, of("IncomingBytes").sum), (1.0, 4.0));
    assert_eq!(read(&services, "events", "shardId-000000000000").await.len(), 1);
    let reads = of("ReadProvisionedThroughputExceeded");
    assert_eq!((reads.sum, reads.count), (0.0, 1.0), "the iterator says which stream was read");

    let entry = PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new("x")).build().unwrap();
    let (mut taken, mut refused) = (1.0, 0.0);
    for _ in 0..4 {
        let call = services.clients().kinesis.put_records().stream_name("events");
        let failed = call.set_records(Some(vec![entry.clone(); 500])).send().await.unwrap().failed_record_count;
        let failed = f64::from(failed.unwrap());
        taken += 500.0 - failed;
        refused += failed;
    }
    assert!(refused > 0.0, "a shard takes a thousand a second");
    assert_eq!((of("IncomingRecords").sum, of("WriteProvisionedThroughputExceeded").sum), (taken, refused));
}

#[tokio::test]
async fn what_is_in_a_queue_is_reported_when_it_is_asked_and_what_was_sent_once() {
    let metrics = MetricStore::default();
    let services = start(&metrics).await;
    services.create(&[], &[], &[queue("work", None)]).await.unwrap();
    let sample = services.sampler();
    let sampled = |name, at: u64| {
        sample(&metrics, at * 60_000);
        let key = MetricKey::of("AWS/SQS", name, "QueueName", "work");
        metrics.spans(&key, at, 1, 1)[0].unwrap_or_else(|| panic!("{name} was recorded"))
    };
    assert_eq!(sampled("ApproximateNumberOfMessagesVisible", 1).max, 0.0);
    for body in ["a", "b", "c"] {
        send(&services, "work", body).await;
    }
    assert_eq!(sampled("NumberOfMessagesSent", 2).sum, 3.0);
    assert_eq!(sampled("NumberOfMessagesSent", 3).sum, 0.0);
    let received = receive(&services, "work").await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(sampled("ApproximateNumberOfMessagesVisible", 4).max, 0.0, "they are in flight");
    assert_eq!(sampled("ApproximateNumberOfMessagesNotVisible", 4).max, 3.0);
    assert!(sampled("ApproximateAgeOfOldestMessage", 5).max >= 1.0, "and not deleted");
    for message in received {
        let call = services.clients().sqs.delete_message().queue_url(queue_url(&services, "work"));
        call.set_receipt_handle(message.receipt_handle).send().await.unwrap();
    }
    assert_eq!(sampled("ApproximateAgeOfOldestMessage", 6).max, 0.0);
}
