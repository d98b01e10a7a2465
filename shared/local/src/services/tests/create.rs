use aws_sdk_dynamodb::types::TimeToLiveStatus;
use aws_sdk_sqs::types::QueueAttributeName;

use super::{queue, queue_url, start, stream, table};
use crate::services::Created;

#[tokio::test]
async fn every_kind_is_made_as_the_template_says() {
    let services = start(None).await;
    let queues = [queue("dead", None), queue("work", Some(("dead", 3)))];
    let created = services.create(&[stream("events", 2)], &[table("progress", Some("sk"))], &queues).await.unwrap();
    assert_eq!(created.made, ["events", "progress", "dead", "work"]);

    let summary = services.clients().kinesis.describe_stream_summary().stream_name("events").send().await.unwrap();
    let summary = summary.stream_description_summary.unwrap();
    assert_eq!((summary.open_shard_count, summary.retention_period_hours), (2, 48));

    let ttl = services.clients().dynamodb.describe_time_to_live().table_name("progress").send().await.unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    assert_eq!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled));
    assert_eq!(ttl.attribute_name.as_deref(), Some("expires"));

    let url = services.clients().sqs.get_queue_url().queue_name("work").send().await.unwrap().queue_url.unwrap();
    assert_eq!(url, queue_url(&services, "work"));
    let attributes = services.clients().sqs.get_queue_attributes().queue_url(url).send().await.unwrap();
    let attributes = attributes.attributes.unwrap();
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "60");
    assert_eq!(attributes[&QueueAttributeName::MessageRetentionPeriod], "86400");
    assert!(attributes[&QueueAttributeName::RedrivePolicy].contains("\"maxReceiveCount\":3"));
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_there_is_kept_and_follows_the_template() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    let queues = [queue("dead", None), queue("work", Some(("dead", 3)))];
    services.create(&[stream("events", 2)], &[table("progress", None)], &queues).await.unwrap();
    services.shutdown().await.unwrap();

    let services = start(Some(dir.path())).await;
    let mut events = stream("events", 2);
    events.retention = std::time::Duration::from_secs(24 * 3600);
    let mut progress = table("progress", None);
    progress.ttl_attribute = None;
    let queues = [queue("dead", None), queue("work", None)];
    let created = services.create(&[events], &[progress], &queues).await.unwrap();
    let kept = ["events", "progress", "dead", "work"].map(str::to_owned).to_vec();
    assert_eq!(created, Created { made: Vec::new(), kept });

    let summary = services.clients().kinesis.describe_stream_summary().stream_name("events").send().await.unwrap();
    assert_eq!(summary.stream_description_summary.unwrap().retention_period_hours, 24);
    let ttl = services.clients().dynamodb.describe_time_to_live().table_name("progress").send().await.unwrap();
    assert_eq!(ttl.time_to_live_description.unwrap().time_to_live_status, Some(TimeToLiveStatus::Disabled));
    let url = queue_url(&services, "work");
    let attributes = services.clients().sqs.get_queue_attributes().queue_url(url).send().await.unwrap();
    assert!(!attributes.attributes.unwrap().contains_key(&QueueAttributeName::RedrivePolicy));
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn another_shard_count_is_refused_in_one_line_that_says_how_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    services.create(&[stream("events", 2)], &[], &[]).await.unwrap();
    let error = services.create(&[stream("events", 3)], &[], &[]).await.unwrap_err();
    let dir = dir.path().display();
    assert_eq!(
        error.to_string(),
        format!(
            "the stream events has 2 shards and the template says 3 shards: \
             remove the state directory {dir} to start afresh, or revert the template"
        )
    );
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_was_split_is_still_the_templates_stream() {
    let services = start(None).await;
    services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    super::kinesis::split_first_shard(&services, "events").await;
    let as_created = services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    let as_split = services.create(&[stream("events", 2)], &[], &[]).await.unwrap();
    assert_eq!((as_created.kept.len(), as_split.kept.len()), (1, 1));
    services.create(&[stream("events", 3)], &[], &[]).await.unwrap_err();
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn another_key_is_refused() {
    let services = start(None).await;
    services.create(&[], &[table("progress", None)], &[]).await.unwrap();
    let error = services.create(&[], &[table("progress", Some("sk"))], &[]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the table progress has the key pk S (HASH) and the template says pk S (HASH) + sk S (RANGE): \
         start again, or revert the template"
    );
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_redrive_policy_to_nowhere_is_refused() {
    let services = start(None).await;
    let error = services.create(&[], &[], &[queue("work", Some(("dead", 3)))]).await.unwrap_err();
    assert!(error.to_string().starts_with("the queue work redrives to arn:aws:sqs:"), "{error}");
    services.shutdown().await.unwrap();
}
