//! Looking at a dead-letter queue without taking anything out of it.

use std::collections::HashSet;

use anyhow::Context;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, QueueAttributeName};
use penstock::dead_letter::Message;

/// How long a message is out of sight while the others are being looked at, seconds.
const LOOK: i32 = 30;

/// Every visible dead letter of the queue at `url`, oldest position first. Each is put back.
///
/// # Errors
/// When the queue cannot be read, or holds a message that is no dead letter.
pub async fn peek(sqs: &Client, url: &str) -> anyhow::Result<Vec<Message>> {
    let (mut messages, mut seen) = (Vec::new(), HashSet::new());
    loop {
        let page = sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .visibility_timeout(LOOK)
            .wait_time_seconds(0)
            .send()
            .await
            .with_context(|| format!("cannot read the queue {url}"))?;
        // a message that comes again was out of sight for too long: everything has been seen
        let new =
            page.messages.unwrap_or_default().into_iter().filter(|message| seen.insert(message.message_id.clone()));
        let before = messages.len();
        messages.extend(new);
        if messages.len() == before {
            break;
        }
    }
    for chunk in messages.chunks(10) {
        let entries = chunk.iter().enumerate().filter_map(|(number, message)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(message.receipt_handle()?).visibility_timeout(0).build().ok()
        });
        sqs.change_message_visibility_batch()
            .queue_url(url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .with_context(|| format!("cannot put messages back into {url}; they are there again in {LOOK} s"))?;
    }
    let mut letters = messages
        .iter()
        .map(|message| serde_json::from_str(message.body().unwrap_or_default()))
        .collect::<Result<Vec<Message>, _>>()
        .with_context(|| format!("a message in {url} is no dead letter"))?;
    letters.sort_by(|a, b| (&a.shard, &a.sequence, a.index, a.part).cmp(&(&b.shard, &b.sequence, b.index, b.part)));
    Ok(letters)
}

/// Moves the messages of the dead-letter queue at `url` to the one queue that has it as its redrive target. Gives how
/// many there were.
///
/// # Errors
/// When there is no such queue, or several; when SQS refuses.
pub async fn redrive(sqs: &Client, url: &str) -> anyhow::Result<i64> {
    let sources = sqs.list_dead_letter_source_queues().queue_url(url).send().await;
    let sources = sources.context("cannot list the queues behind the dead letters")?.queue_urls;
    let [source] = &sources[..] else {
        anyhow::bail!(
            "{} queues have {url} as the target of their RedrivePolicy; one is needed, as order-status has it in \
             template.yaml",
            sources.len()
        );
    };
    let (from, to) = (arn(sqs, url).await?, arn(sqs, source).await?);
    let count = QueueAttributeName::ApproximateNumberOfMessages;
    let found = sqs.get_queue_attributes().queue_url(url).attribute_names(count.clone()).send().await;
    let found = found.context("cannot count the dead letters")?.attributes.unwrap_or_default();
    let started = sqs.start_message_move_task().source_arn(from).destination_arn(to).send().await;
    started.context("cannot start the move")?;
    Ok(found.get(&count).and_then(|digits| digits.parse().ok()).unwrap_or(0))
}

async fn arn(sqs: &Client, url: &str) -> anyhow::Result<String> {
    let answer = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::QueueArn).send().await;
    let attributes = answer.with_context(|| format!("cannot ask about {url}"))?.attributes.unwrap_or_default();
    attributes.get(&QueueAttributeName::QueueArn).cloned().with_context(|| format!("{url} has no ARN"))
}
