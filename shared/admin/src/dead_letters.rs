//! A group's dead letters: looking at them without taking any out, and sending them back.

use std::collections::HashSet;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{self, ChangeMessageVisibilityBatchRequestEntry};
use penstock::dead_letter::Message;
use penstock::ports::Error;
use penstock_aws::deployment::GroupParts;
use penstock_aws::error::classify;

use crate::{Operator, queue};

/// How long a message is out of sight while the others are being looked at, seconds.
const LOOK: i32 = 30;
/// Messages that are received in a second, at least: looking at more than fit into [`LOOK`] takes longer.
const RECEIVED_A_SECOND: u64 = 100;
/// No look takes longer: SQS lets 120,000 messages of a queue be in flight.
const LOOK_MAX: i32 = 1200;
/// Messages of one receive. <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
const RECEIVE_MAX: i32 = 10;
/// Seconds that a receive waits for a message: with none, SQS asks only some of its servers.
const WAIT: i32 = 1;
/// Receives that give nothing new before that is believed.
const EMPTY_MAX: u32 = 5;
/// Characters of somebody else's message that are shown.
const OTHER_MAX: usize = 60;
/// How services that lack an operation say so.
const UNKNOWN_OPERATION: [&str; 3] = ["InvalidAction", "NotImplemented", "UnknownOperationException"];

/// A message that is no dead letter: somebody else's.
#[derive(Debug)]
pub struct Other {
    /// What SQS calls it.
    pub message_id: String,
    /// The beginning of its body.
    pub begins: String,
    /// Why it is no dead letter.
    pub why: String,
}

/// What is in a queue of dead letters.
#[derive(Debug)]
pub struct Letters {
    /// Oldest position first.
    pub letters: Vec<Message>,
    /// What else is in the queue.
    pub others: Vec<Other>,
    /// There are more than were asked for.
    pub more: bool,
}

impl Operator {
    /// At most `limit` of a group's dead letters; they stay in the queue.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn dead_letters(&self, group: &GroupParts, limit: usize) -> Result<Letters, Error> {
        peek(&self.clients.sqs, &group.dead_letters, limit).await
    }

    /// The bodies of at most `limit` messages of any queue; they stay there.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn bodies(&self, url: &str, limit: usize) -> Result<(Vec<String>, bool), Error> {
        let (messages, more) = messages(&self.clients.sqs, url, limit).await?;
        Ok((messages.into_iter().take(limit).filter_map(|message| message.body).collect(), more))
    }

    /// Moves a group's dead letters to its redrive queue, as the button in the AWS console does. Gives about how many there
    /// are.
    ///
    /// # Errors
    /// When SQS refuses: while another move is under way, for example.
    pub async fn redrive(&self, group: &GroupParts) -> Result<u64, Error> {
        redrive(&self.clients.sqs, &group.dead_letters, &group.redrive).await
    }
}

/// At most `limit` visible messages of the queue at `url`. Each is put back.
///
/// # Errors
/// When the queue cannot be read.
pub async fn peek(sqs: &Client, url: &str, limit: usize) -> Result<Letters, Error> {
    let (messages, more) = messages(sqs, url, limit).await?;
    let (mut letters, mut others) = (Vec::<Message>::new(), Vec::new());
    for message in &messages {
        let body = message.body().unwrap_or_default();
        match serde_json::from_str(body) {
            Ok(letter) => letters.push(letter),
            Err(error) => others.push(Other {
                message_id: message.message_id().unwrap_or_default().to_owned(),
                begins: body.chars().take(OTHER_MAX).collect(),
                why: error.to_string(),
            }),
        }
    }
    letters.sort_by(|a, b| (&a.shard, &a.sequence, a.index, a.part).cmp(&(&b.shard, &b.sequence, b.index, b.part)));
    letters.truncate(limit);
    Ok(Letters { letters, others, more })
}

/// Some more than `limit` visible messages of the queue at `url`, unless there are no more. Each is put back.
async fn messages(sqs: &Client, url: &str, limit: usize) -> Result<(Vec<types::Message>, bool), Error> {
    let (mut messages, mut seen, mut empty) = (Vec::new(), HashSet::new(), 0);
    let expected = queue::attributes(sqs, url).await?.visible.min(limit as u64);
    let look = LOOK.saturating_add(i32::try_from(expected / RECEIVED_A_SECOND).unwrap_or(i32::MAX)).min(LOOK_MAX);
    let more = loop {
        if messages.len() > limit {
            break true;
        }
        let receive = sqs.receive_message().queue_url(url).max_number_of_messages(RECEIVE_MAX);
        let wait = if messages.is_empty() { WAIT } else { 0 };
        let page = receive.visibility_timeout(look).wait_time_seconds(wait).send().await;
        let page = page.map_err(|error| classify("ReceiveMessage", error))?;
        // a message that comes again was out of sight for too long: everything has been seen
        let new =
            page.messages.unwrap_or_default().into_iter().filter(|message| seen.insert(message.message_id.clone()));
        let before = messages.len();
        messages.extend(new);
        if messages.len() == before {
            empty += 1;
            // what SQS counts is behind what it has
            if empty == EMPTY_MAX || queue::attributes(sqs, url).await?.visible == 0 {
                break false;
            }
        }
    };
    put_back(sqs, url, &messages).await?;
    Ok((messages, more))
}

async fn put_back(sqs: &Client, url: &str, messages: &[types::Message]) -> Result<(), Error> {
    for chunk in messages.chunks(10) {
        let entries = chunk.iter().enumerate().filter_map(|(number, message)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(message.receipt_handle()?).visibility_timeout(0).build().ok()
        });
        let put = sqs.change_message_visibility_batch().queue_url(url).set_entries(Some(entries.collect()));
        put.send().await.map_err(|error| classify("ChangeMessageVisibilityBatch", error))?;
    }
    Ok(())
}

/// Moves the messages of the queue at `from` to the queue at `to`. Gives about how many there were.
///
/// # Errors
/// When SQS refuses.
pub async fn redrive(sqs: &Client, from: &str, to: &str) -> Result<u64, Error> {
    let (source, target) = (queue::attributes(sqs, from).await?, queue::attributes(sqs, to).await?);
    let moved = sqs.start_message_move_task().source_arn(source.arn).destination_arn(target.arn).send().await;
    match moved {
        Ok(_) => Ok(source.visible),
        // an emulator that does not know the operation; AWS does
        Err(error) if lacks_operation(&error) => one_by_one(sqs, from, to, source.visible).await,
        Err(error) => Err(classify("StartMessageMoveTask", error)),
    }
}

/// Whether a service has answered that it does not know what was asked for.
pub(crate) fn lacks_operation<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code().is_none_or(|code| UNKNOWN_OPERATION.contains(&code)) && error.raw_response().is_some()
}

/// Moves at most `count` messages. One that is sent and then not deleted is there twice; the group settles it once.
async fn one_by_one(sqs: &Client, from: &str, to: &str, count: u64) -> Result<u64, Error> {
    let mut moved = 0;
    while moved < count {
        let receive =
            sqs.receive_message().queue_url(from).max_number_of_messages(RECEIVE_MAX).visibility_timeout(LOOK);
        let page = receive.send().await.map_err(|error| classify("ReceiveMessage", error))?;
        let messages = page.messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            let sent = sqs.send_message().queue_url(to).message_body(message.body.unwrap_or_default()).send().await;
            sent.map_err(|error| classify("SendMessage", error))?;
            let deleted = sqs.delete_message().queue_url(from).set_receipt_handle(message.receipt_handle).send().await;
            deleted.map_err(|error| classify("DeleteMessage", error))?;
            moved += 1;
        }
    }
    Ok(moved)
}
