//! An SQS mapping over the real protocol: receive, invoke, delete what the answer settles.
//!
//! Each poller takes one batch at a time, of at most ten messages: what one receive gives. Guarantees: a message is
//! deleted only after an invocation settled it. Not imitated: batches above ten, and Lambda's scaling of pollers.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{self, DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Invoke, MappingError};
use penstock_event_source::Backoff;
use penstock_event_source::Invocation;
use penstock_event_source::sqs_batch::{Message, MessageAttribute, SqsBatch, SqsEnd, cut, settle};

/// Messages that a receive gives at most.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
const RECEIVE_MAX: usize = 10;
/// Tries to delete what was settled. A message that outlives them is delivered again.
const DELETE_ATTEMPTS: u32 = 3;

/// One mapping of a queue to a function.
#[derive(Debug, Clone)]
pub struct SqsMapping {
    /// The queue.
    pub queue_url: String,
    /// The queue's ARN, for events.
    pub queue_arn: String,
    /// The queue's region, for events.
    pub region: String,
    /// `BatchSize`. Above ten it counts as ten.
    pub batch_size: usize,
    /// `FunctionResponseTypes: [ReportBatchItemFailures]`.
    pub report_batch_item_failures: bool,
    /// Batches under way at once: `ScalingConfig.MaximumConcurrency`.
    pub concurrency: usize,
    /// How long a receive waits for messages, 0 to 20 s.
    pub long_poll: Duration,
    /// The wait after refusals of the queue, and after throttled invocations.
    pub backoff: Backoff,
    /// How long an invocation that is under way when the mapping is cancelled may take to end.
    pub grace: Duration,
}

/// Runs a mapping until `cancel`. Then it lets the invocations under way end within the grace and returns.
pub async fn run_sqs(
    config: SqsMapping,
    sqs: Client,
    invoker: impl Invoke,
    cancel: CancellationToken,
) -> Result<(), MappingError> {
    let grace = config.grace;
    let concurrency = config.concurrency.max(1);
    let poller = Poller { config: Arc::new(config), sqs, invoker, cancel: cancel.clone() };
    let mut pollers = JoinSet::new();
    for _ in 0..concurrency {
        pollers.spawn(poller.clone().run());
    }
    let out_of_grace = async {
        cancel.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::pin!(out_of_grace);
    loop {
        tokio::select! {
            ended = pollers.join_next() => match ended {
                Some(ended) => ended.map_err(MappingError::Panicked)?,
                None => return Ok(()),
            },
            () = &mut out_of_grace => {
                pollers.shutdown().await;
                return Ok(());
            }
        }
    }
}

#[derive(Clone)]
struct Poller<I> {
    config: Arc<SqsMapping>,
    sqs: Client,
    invoker: I,
    cancel: CancellationToken,
}

impl<I: Invoke> Poller<I> {
    async fn run(self) {
        let mut failures = 0;
        // a receive that is dropped may have taken messages: they become visible again
        while let Some(received) = self.cancel.run_until_cancelled(self.receive()).await {
            let throttled = match received {
                Ok(messages) => self.deliver(messages).await,
                Err(error) => {
                    if failures == 0 {
                        warn!(queue = self.config.queue_url, error, "the queue cannot be read; trying on");
                    }
                    true
                }
            };
            failures = if throttled { failures + 1 } else { 0 };
            if failures > 0 {
                let wait = tokio::time::sleep(self.config.backoff.wait(failures, fastrand::u64(..)));
                self.cancel.run_until_cancelled(wait).await;
            }
        }
    }

    async fn receive(&self) -> Result<Vec<Message>, String> {
        let count = self.config.batch_size.clamp(1, RECEIVE_MAX);
        let request = self
            .sqs
            .receive_message()
            .queue_url(&self.config.queue_url)
            .max_number_of_messages(i32::try_from(count).unwrap_or(i32::MAX))
            .wait_time_seconds(i32::try_from(self.config.long_poll.as_secs()).unwrap_or(i32::MAX))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        let output = request.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
        Ok(output.messages.unwrap_or_default().into_iter().map(|message| self.message(message)).collect())
    }

    fn message(&self, message: types::Message) -> Message {
        let attributes = message.attributes.unwrap_or_default().into_iter();
        let message_attributes = message.message_attributes.unwrap_or_default().into_iter();
        Message {
            message_id: message.message_id.unwrap_or_default(),
            receipt_handle: message.receipt_handle.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            attributes: attributes.map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
            message_attributes: message_attributes.map(|(name, value)| (name, attribute(value))).collect(),
            md5_of_body: message.md5_of_body.unwrap_or_default(),
            event_source: "aws:sqs",
            event_source_arn: self.config.queue_arn.clone(),
            aws_region: self.config.region.clone(),
        }
    }

    /// Delivers what a receive gave. Gives whether the function was throttled.
    async fn deliver(&self, messages: Vec<Message>) -> bool {
        let mut throttled = false;
        for SqsBatch { messages, payload } in cut(messages, self.config.batch_size) {
            let invocation = self.invoker.invoke(payload).await;
            throttled |= invocation == Invocation::Throttled;
            let outcome = settle(&messages, &invocation, self.config.report_batch_item_failures);
            if let SqsEnd { failure: Some(failure), kept, .. } = &outcome {
                warn!(queue = self.config.queue_url, %failure, kept, "messages stay in the queue");
            }
            self.delete(outcome.delete).await;
        }
        throttled
    }

    async fn delete(&self, receipt_handles: Vec<String>) {
        let mut left = receipt_handles;
        for attempt in 1..=DELETE_ATTEMPTS {
            if left.is_empty() {
                return;
            }
            if attempt > 1 {
                tokio::time::sleep(self.config.backoff.wait(attempt, fastrand::u64(..))).await;
            }
            left = self.delete_once(left).await;
        }
        if !left.is_empty() {
            let messages = left.len();
            warn!(queue = self.config.queue_url, messages, "settled messages cannot be deleted and will come again");
        }
    }

    /// Gives the receipt handles of what is not deleted. A batch that is answered with 200 may still have refused some.
    async fn delete_once(&self, receipt_handles: Vec<String>) -> Vec<String> {
        let entries = receipt_handles.iter().enumerate().map(|(index, handle)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(handle);
            entry.build().expect("an entry with an id and a receipt handle is complete")
        });
        let request = self.sqs.delete_message_batch().queue_url(&self.config.queue_url);
        match request.set_entries(Some(entries.collect())).send().await {
            Err(_) => receipt_handles,
            Ok(output) => {
                let refused = output.failed.iter().filter_map(|entry| entry.id.parse::<usize>().ok());
                refused.filter_map(|index| receipt_handles.get(index).cloned()).collect()
            }
        }
    }
}

fn attribute(value: types::MessageAttributeValue) -> MessageAttribute {
    MessageAttribute {
        string_value: value.string_value,
        binary_value: value.binary_value.map(|bytes| STANDARD.encode(bytes)),
        string_list_values: [],
        binary_list_values: [],
        data_type: value.data_type,
    }
}
