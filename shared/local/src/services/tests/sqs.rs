use std::time::{Duration, Instant};

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, QueueAttributeName, SendMessageBatchRequestEntry};

use super::{queue, queue_arn, queue_url, start};
use crate::services::Services;

pub(super) async fn send(services: &Services, queue: &str, body: &str) {
    let call = services.clients().sqs.send_message().queue_url(queue_url(services, queue));
    call.message_body(body).send().await.unwrap();
}

pub(super) async fn receive(services: &Services, queue: &str) -> Vec<Message> {
    let call = services.clients().sqs.receive_message().queue_url(queue_url(services, queue));
    let output = call.max_number_of_messages(10).send().await.unwrap();
    output.messages.unwrap_or_default()
}

pub(super) async fn bodies(services: &Services, queue: &str) -> Vec<String> {
    let messages = receive(services, queue).await.into_iter();
    messages.map(|message| message.body.unwrap()).collect()
}

async fn release(services: &Services, queue: &str, message: &Message) {
    let call = services.clients().sqs.change_message_visibility().queue_url(queue_url(services, queue));
    let call = call.set_receipt_handle(message.receipt_handle.clone()).visibility_timeout(0);
    call.send().await.unwrap();
}

async fn waiting(services: &Services, queue: &str) -> String {
    let call = services.clients().sqs.get_queue_attributes().queue_url(queue_url(services, queue));
    let mut attributes = call.send().await.unwrap().attributes.unwrap();
    attributes.remove(&QueueAttributeName::ApproximateNumberOfMessages).unwrap()
}

async fn with_dead_letter_queue() -> Services {
    let services = start(None).await;
    let queues = [queue("dead", None), queue("work", Some(("dead", 2))), queue("other", None)];
    services.create(&[], &[], &queues).await.unwrap();
    services
}

async fn exhaust(services: &Services) {
    for _ in 0..2 {
        let messages = receive(services, "work").await;
        assert_eq!(messages.len(), 1);
        release(services, "work", &messages[0]).await;
    }
    assert_eq!(receive(services, "work").await.len(), 0);
}

#[tokio::test]
async fn a_batch_of_eleven_is_refused_by_its_documented_name() {
    let services = with_dead_letter_queue().await;
    let entries: Vec<_> = (0..11)
        .map(|number| {
            let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
            entry.message_body("x").build().unwrap()
        })
        .collect();
    let call = services.clients().sqs.send_message_batch().queue_url(queue_url(&services, "work"));
    let error = call.set_entries(Some(entries)).send().await.unwrap_err();
    assert!(error.into_service_error().is_too_many_entries_in_batch_request());
    assert_eq!(waiting(&services, "work").await, "0");

    let entries: Vec<_> = (0..11)
        .map(|number| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle("x:1").build().unwrap()
        })
        .collect();
    let call = services.clients().sqs.delete_message_batch().queue_url(queue_url(&services, "work"));
    let error = call.set_entries(Some(entries)).send().await.unwrap_err();
    assert!(error.into_service_error().is_too_many_entries_in_batch_request());
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_mebibyte_is_taken_and_one_byte_more_is_refused() {
    let services = with_dead_letter_queue().await;
    send(&services, "work", &"x".repeat(1_048_576)).await;
    let call = services.clients().sqs.send_message().queue_url(queue_url(&services, "work"));
    let error = call.message_body("x".repeat(1_048_577)).send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    assert!(error.message().unwrap().contains("shorter than 1048576 bytes"));

    let entries: Vec<_> = (0..2)
        .map(|number| {
            let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
            entry.message_body("x".repeat(600_000)).build().unwrap()
        })
        .collect();
    let call = services.clients().sqs.send_message_batch().queue_url(queue_url(&services, "work"));
    let error = call.set_entries(Some(entries)).send().await.unwrap_err();
    assert!(error.into_service_error().is_batch_request_too_long());
    assert_eq!(waiting(&services, "work").await, "1");
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
    let services = with_dead_letter_queue().await;
    send(&services, "work", "poison").await;
    exhaust(&services).await;
    assert_eq!(bodies(&services, "dead").await, ["poison"]);
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_message_stays_while_its_dead_letter_queue_is_gone() {
    let services = with_dead_letter_queue().await;
    services.clients().sqs.delete_queue().queue_url(queue_url(&services, "dead")).send().await.unwrap();
    send(&services, "work", "poison").await;
    for _ in 0..4 {
        let messages = receive(&services, "work").await;
        assert_eq!(messages.len(), 1);
        release(&services, "work", &messages[0]).await;
    }
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_released_message_counts_as_visible() {
    let services = with_dead_letter_queue().await;
    send(&services, "other", "x").await;
    let messages = receive(&services, "other").await;
    assert_eq!(waiting(&services, "other").await, "0");
    release(&services, "other", &messages[0]).await;
    assert_eq!(waiting(&services, "other").await, "1");
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_move_task_brings_dead_letters_back_to_where_they_came_from() {
    let services = with_dead_letter_queue().await;
    send(&services, "work", "poison").await;
    exhaust(&services).await;
    services.clients().sqs.start_message_move_task().source_arn(queue_arn("dead")).send().await.unwrap();
    assert_eq!(waiting(&services, "dead").await, "0");
    assert_eq!(bodies(&services, "work").await, ["poison"]);

    let tasks = services.clients().sqs.list_message_move_tasks().source_arn(queue_arn("dead")).send().await.unwrap();
    let task = &tasks.results()[0];
    assert_eq!(task.status(), Some("COMPLETED"));
    assert_eq!(task.approximate_number_of_messages_moved(), 1);
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_letter_sent_straight_to_the_dead_letter_queue_needs_a_destination() {
    let services = with_dead_letter_queue().await;
    send(&services, "dead", "by hand").await;
    services.clients().sqs.start_message_move_task().source_arn(queue_arn("dead")).send().await.unwrap();
    let tasks = services.clients().sqs.list_message_move_tasks().source_arn(queue_arn("dead")).send().await.unwrap();
    assert_eq!(tasks.results()[0].status(), Some("FAILED"));
    assert_eq!(tasks.results()[0].failure_reason(), Some("CouldNotDetermineMessageSource"));
    assert_eq!(waiting(&services, "dead").await, "1");

    let call = services.clients().sqs.start_message_move_task().source_arn(queue_arn("dead"));
    call.destination_arn(queue_arn("other")).send().await.unwrap();
    assert_eq!(waiting(&services, "dead").await, "0");
    assert_eq!(bodies(&services, "other").await, ["by hand"]);
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_queue_that_is_nobodys_dead_letter_queue_cannot_be_moved_from() {
    let services = with_dead_letter_queue().await;
    let call = services.clients().sqs.start_message_move_task().source_arn(queue_arn("other"));
    let error = call.destination_arn(queue_arn("work")).send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    services.shutdown().await.unwrap();
}

#[tokio::test]
async fn shutting_down_ends_a_long_poll() {
    let services = with_dead_letter_queue().await;
    let call = services.clients().sqs.receive_message().queue_url(queue_url(&services, "work"));
    let poll = tokio::spawn(call.wait_time_seconds(20).send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = Instant::now();
    services.shutdown().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    poll.abort();
}
