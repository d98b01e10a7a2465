//! An SQS mapping against winterbaume's queues.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use tokio_util::sync::CancellationToken;

use super::fixture::{Function, PATIENCE, failed, reporting, sqs};
use crate::event_source::{MappingError, SqsMapping, run_sqs};
use penstock_event_source::Backoff;
use penstock_event_source::Invocation;

/// A queue whose messages are invisible for a second after a receive.
async fn queue(client: &Client) -> String {
    let request = client.create_queue().queue_name("jobs").attributes(QueueAttributeName::VisibilityTimeout, "1");
    request.send().await.unwrap().queue_url.unwrap()
}

fn mapping(queue_url: &str) -> SqsMapping {
    SqsMapping {
        queue_url: queue_url.into(),
        queue_arn: "arn:aws:sqs:us-east-1:000000000000:jobs".into(),
        region: "us-east-1".into(),
        batch_size: 10,
        report_batch_item_failures: true,
        concurrency: 1,
        long_poll: Duration::from_secs(1),
        backoff: Backoff::default(),
        grace: PATIENCE,
    }
}

async fn send(client: &Client, queue_url: &str, bodies: &[&str]) {
    for body in bodies {
        let color = MessageAttributeValue::builder().data_type("String").string_value("red").build().unwrap();
        let request = client.send_message().queue_url(queue_url).message_body(*body);
        request.message_attributes("color", color).send().await.unwrap();
    }
}

/// Runs the mapping until `enough`, stops it, and gives the bodies of each invocation.
async fn run(client: &Client, mapping: SqsMapping, function: &Function, invocations: usize) -> Vec<Vec<String>> {
    let cancel = CancellationToken::new();
    let task = tokio::spawn(run_sqs(mapping, client.clone(), function.clone(), cancel.clone()));
    function.until(|batches| batches.len() >= invocations).await;
    cancel.cancel();
    let ended: Result<(), MappingError> =
        tokio::time::timeout(PATIENCE, task).await.expect("it stops in time").unwrap();
    ended.unwrap();
    let body = |record: &serde_json::Value| record["body"].as_str().unwrap().to_owned();
    let mut batches: Vec<Vec<_>> = function.batches().iter().map(|batch| batch.iter().map(body).collect()).collect();
    batches.iter_mut().for_each(|batch| batch.sort());
    batches
}

/// Messages in the queue, visible or not.
async fn left(client: &Client, queue_url: &str) -> usize {
    use QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible};
    let request = client.get_queue_attributes().queue_url(queue_url);
    let attributes = request.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
    let count = |name| attributes.get(&name).map_or(0, |count| count.parse::<usize>().unwrap());
    count(ApproximateNumberOfMessages) + count(ApproximateNumberOfMessagesNotVisible)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_messages_are_deleted_and_the_reported_one_comes_again() {
    let client = sqs();
    let queue_url = queue(&client).await;
    send(&client, &queue_url, &["a", "b", "c"]).await;
    let function = Function::new(|run, records| match run {
        0 => {
            let b = records.iter().find(|record| record["body"] == "b").unwrap();
            reporting(b["messageId"].as_str().unwrap())
        }
        _ => Invocation::Returned("{}".into()),
    });
    let batches = run(&client, mapping(&queue_url), &function, 2).await;
    assert_eq!(batches, [vec!["a", "b", "c"], vec!["b"]]);
    assert_eq!(left(&client, &queue_url).await, 0);
    let again = &function.batches()[1][0];
    assert_eq!(again["attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(again["messageAttributes"]["color"]["stringValue"], "red");
    assert_eq!(again["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:jobs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_failed_or_throttled_invocation_come_again() {
    let client = sqs();
    let queue_url = queue(&client).await;
    send(&client, &queue_url, &["a"]).await;
    let function = Function::new(|run, _| match run {
        0 => failed(),
        1 => Invocation::Throttled,
        _ => Invocation::Returned("{}".into()),
    });
    let batches = run(&client, mapping(&queue_url), &function, 3).await;
    assert_eq!(batches, [["a"], ["a"], ["a"]]);
    assert_eq!(left(&client, &queue_url).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_mapping_lets_the_invocation_under_way_end_and_deletes_its_messages() {
    let client = sqs();
    let queue_url = queue(&client).await;
    send(&client, &queue_url, &["a"]).await;
    let function = Function::succeeding().taking(Duration::from_millis(300));
    run(&client, mapping(&queue_url), &function, 1).await;
    assert_eq!(function.ended(), 1);
    assert_eq!(left(&client, &queue_url).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invocation_that_outlives_the_grace_deletes_nothing() {
    let client = sqs();
    let queue_url = queue(&client).await;
    send(&client, &queue_url, &["a"]).await;
    let function = Function::succeeding().taking(Duration::from_secs(600));
    let config = SqsMapping { grace: Duration::from_millis(50), ..mapping(&queue_url) };
    run(&client, config, &function, 1).await;
    assert_eq!(left(&client, &queue_url).await, 1);
}
