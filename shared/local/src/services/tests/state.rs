use std::path::Path;

use aws_sdk_dynamodb::types::AttributeValue;

use super::kinesis::{put, read, split_first_shard};
use super::sqs::{bodies, receive, send};
use super::{options, queue, queue_arn, queue_url, start, stream, table};
use crate::services::{Services, StartError};

async fn put_item(services: &Services, key: &str) {
    let call = services.clients().dynamodb.put_item().table_name("progress");
    call.item("pk", AttributeValue::S(key.to_owned())).send().await.unwrap();
}

async fn has_item(services: &Services, key: &str) -> bool {
    let call = services.clients().dynamodb.get_item().table_name("progress");
    let output = call.key("pk", AttributeValue::S(key.to_owned())).send().await.unwrap();
    output.item.is_some()
}

/// What a process that dies now would leave behind.
fn crash_image(from: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
    }
    image
}

async fn fill(services: &Services) -> String {
    let queues = [queue("dead", None), queue("work", Some(("dead", 2)))];
    services.create(&[stream("events", 1)], &[table("progress", None)], &queues).await.unwrap();
    put(services, "events", "a").await;
    let newest = put(services, "events", "b").await;
    put_item(services, "item").await;
    for body in ["kept", "deleted", "in flight"] {
        send(services, "work", body).await;
    }
    for message in receive(services, "work").await {
        if message.body() == Some("deleted") {
            let call = services.clients().sqs.delete_message().queue_url(queue_url(services, "work"));
            call.set_receipt_handle(message.receipt_handle).send().await.unwrap();
        }
    }
    newest
}

async fn check(services: &Services, newest: &str) {
    let records = read(services, "events", "shardId-000000000000").await;
    let keys: Vec<_> = records.iter().map(|(_, key)| key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(records[1].0, newest);
    let next = put(services, "events", "c").await;
    assert!((next.len(), next.as_str()) > (newest.len(), newest), "{next} after {newest}");
    assert_eq!(read(services, "events", "shardId-000000000000").await.len(), 3);
    assert!(has_item(services, "item").await);
    // received once before the restart: in flight then, visible now, and the count goes on
    let messages = receive(services, "work").await;
    let bodies: Vec<_> = messages.iter().map(|message| message.body().unwrap()).collect();
    assert_eq!(bodies, ["kept", "in flight"]);
    let counts = messages.iter().map(|message| {
        let attributes = message.attributes().unwrap();
        attributes[&aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount].clone()
    });
    assert_eq!(counts.collect::<Vec<_>>(), ["2", "2"]);
}

#[tokio::test]
async fn all_three_services_survive_a_clean_restart() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    let newest = fill(&services).await;
    services.shutdown().await.unwrap();
    let services = start(Some(dir.path())).await;
    check(&services, &newest).await;
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn all_three_services_survive_the_death_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    let newest = fill(&services).await;
    let image = crash_image(dir.path());
    let again = start(Some(image.path())).await;
    check(&again, &newest).await;
    again.shutdown().await.unwrap();
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn sequence_numbers_rise_over_many_restarts_without_a_put_between() {
    let dir = tempfile::tempdir().unwrap();
    let mut newest = String::new();
    for round in 0..4 {
        let services = start(Some(dir.path())).await;
        services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
        if round % 2 == 0 {
            let next = put(&services, "events", "k").await;
            assert!((next.len(), &next) > (newest.len(), &newest));
            newest = next;
        }
        services.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_split_and_the_records_of_its_children_survive() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    put(&services, "events", "before").await;
    split_first_shard(&services, "events").await;
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        put(&services, "events", key).await;
    }
    let image = crash_image(dir.path());
    let again = start(Some(image.path())).await;
    let shards = ["shardId-000000000000", "shardId-000000000001", "shardId-000000000002"];
    let mut counts = Vec::new();
    for shard in shards {
        let records = read(&again, "events", shard).await;
        assert_eq!(records, read(&services, "events", shard).await);
        counts.push(records.len());
    }
    assert_eq!(counts[0], 1);
    assert_eq!(counts[1] + counts[2], 8);
    assert!(counts[1] > 0 && counts[2] > 0, "{counts:?}");
    again.shutdown().await.unwrap();
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_deleted_stream_and_its_records_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    put(&services, "events", "old").await;
    services.clients().kinesis.delete_stream().stream_name("events").send().await.unwrap();
    services.shutdown().await.unwrap();
    let services = start(Some(dir.path())).await;
    let created = services.create(&[stream("events", 1)], &[], &[]).await.unwrap();
    assert_eq!(created.made, ["events"]);
    assert!(read(&services, "events", "shardId-000000000000").await.is_empty());
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_still_knows_its_source_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    let queues = [queue("dead", None), queue("work", Some(("dead", 1)))];
    services.create(&[], &[], &queues).await.unwrap();
    send(&services, "work", "poison").await;
    receive(&services, "work").await;
    services.shutdown().await.unwrap();

    let services = start(Some(dir.path())).await;
    assert!(receive(&services, "work").await.is_empty());
    services.shutdown().await.unwrap();

    let services = start(Some(dir.path())).await;
    services.clients().sqs.start_message_move_task().source_arn(queue_arn("dead")).send().await.unwrap();
    assert_eq!(bodies(&services, "work").await, ["poison"]);
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_second_instance_on_the_directory_is_refused_and_told_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    let error = Services::start(options(Some(dir.path()))).await.unwrap_err();
    let pid = std::process::id().to_string();
    assert!(matches!(&error, StartError::InUse { pid: holder, .. } if *holder == pid), "{error}");
    services.shutdown().await.unwrap();
    start(Some(dir.path())).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut options = options(None);
    options.ports.sqs = port;
    let error = Services::start(options).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("SQS cannot listen on 127.0.0.1:{port}: ")), "{error}");
}

#[tokio::test]
async fn a_state_directory_that_is_a_file_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Services::start(options(Some(file.path()))).await.unwrap_err();
    assert!(matches!(error, StartError::StateDir { .. }), "{error}");
}

const FILES: [&str; 3] = ["kinesis.jsonl", "dynamodb.sqlite", "sqs.jsonl"];

/// A state directory that a run has left.
async fn left_behind() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let services = start(Some(dir.path())).await;
    fill(&services).await;
    services.shutdown().await.unwrap();
    dir
}

/// The message names the file and, as the remedy, the directory; one line says all of it.
fn names(error: &dyn std::error::Error, file: &Path, dir: &Path) {
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    let remove = format!("remove the whole directory {} to start afresh, which loses the events", dir.display());
    assert!(line.contains(&file.display().to_string()) && line.contains(&remove), "{line}");
}

#[tokio::test]
async fn damaged_state_is_named_by_its_file_and_the_remedy_is_the_directory() {
    for file in FILES {
        let dir = left_behind().await;
        let path = dir.path().join(file);
        std::fs::write(&path, "this is not what an earlier run left\n".repeat(200)).unwrap();
        let error = Services::start(options(Some(dir.path()))).await.unwrap_err();
        assert!(matches!(error, StartError::Corrupt { .. }), "{file}: {error}");
        names(&error, &path, dir.path());
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_made_anew() {
    for file in FILES {
        let dir = left_behind().await;
        std::fs::create_dir(dir.path().join("mappings")).unwrap();
        let path = dir.path().join(file);
        std::fs::remove_file(&path).unwrap();
        let error = Services::start(options(Some(dir.path()))).await.unwrap_err();
        assert!(matches!(error, StartError::Incomplete { .. }), "{file}: {error}");
        names(&error, &path, dir.path());
        assert!(!path.exists(), "nothing is reset");
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_goes_on() {
    for left in 0..FILES.len() {
        let dir = left_behind().await;
        for file in &FILES[left..] {
            std::fs::remove_file(dir.path().join(file)).unwrap();
        }
        start(Some(dir.path())).await.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_is_gone_is_not_made_anew_beside_what_was_read_of_it() {
    let dir = left_behind().await;
    std::fs::write(dir.path().join("kinesis.jsonl"), "").unwrap();
    let services = start(Some(dir.path())).await;
    let error = services.create(&[stream("events", 1)], &[table("progress", None)], &[]).await.unwrap_err();
    names(&error, Path::new("the table progress"), dir.path());
    // another stream is there, and a checkpoint of this one
    services.create(&[], &[], &[]).await.unwrap();
    services.clients().kinesis.create_stream().stream_name("other").shard_count(1).send().await.unwrap();
    services.create(&[stream("new", 1)], &[table("progress", None)], &[]).await.unwrap();
    let checkpoint = dir.path().join("mappings").join("Mapping.json");
    std::fs::create_dir(checkpoint.parent().unwrap()).unwrap();
    let text = format!(r#"{{"streamArn":"{}","startAtMs":null,"shards":{{}}}}"#, stream("events", 1).arn);
    std::fs::write(&checkpoint, text).unwrap();
    let error = services.create(&[stream("events", 1)], &[], &[]).await.unwrap_err();
    names(&error, &checkpoint, dir.path());
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_environment_points_at_the_services() {
    let services = start(None).await;
    let environment = services.environment();
    for name in ["AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_DYNAMODB"] {
        assert!(environment[name].starts_with("http://127.0.0.1:"));
    }
    assert_eq!(environment["AWS_ENDPOINT_URL_SQS"], services.sqs_url());
    assert_eq!(environment["AWS_REGION"], super::REGION);
    services.shutdown().await.unwrap();
}
