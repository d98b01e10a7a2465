//! Dead letters that were sent back to their group, from its redrive queue.

use std::collections::HashMap;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use penstock::dead_letter::{Assembled, DeadLetter, assemble};
use penstock::settle::{LetterEnd, Outside, Settler, Work};
use penstock::time::Timestamp;
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::consumer::Error;
use crate::metrics::{Measured, Metrics};

/// Redrives the letters of one invocation. What is refused again is in the dead letters at once. A message that stays is
/// received again; after the queue's `maxReceiveCount` SQS moves it back to the dead letters.
pub(super) async fn redrive<W: Work, O: Outside>(
    settler: &Settler<W, O>,
    metrics: &Metrics,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<SqsBatchResponse, Error> {
    let began = settler.now();
    let messages: SqsEvent = serde_json::from_str(event.payload.get()).map_err(Error::Messages)?;
    let bodies: Vec<&str> = messages.records.iter().map(|record| record.body.as_deref().unwrap_or_default()).collect();
    let (assembled, unreadable) = assemble(&bodies, settler.group());
    let mut left = Vec::new();
    for (index, why) in unreadable {
        warn!(message_id = messages.records[index].message_id, %why, "not redriven");
        left.push(index);
    }
    let letters: Vec<DeadLetter> = assembled.iter().map(|Assembled { letter, .. }| letter.clone()).collect();
    let deadline = Timestamp(event.context.deadline);
    let ends = settler.redrive(&letters, received(&messages), &event.context.request_id, deadline).await;
    for (Assembled { messages, .. }, end) in assembled.iter().zip(&ends) {
        if matches!(end, LetterEnd::Left(_)) {
            left.extend(messages);
        }
    }
    let count = |is: fn(&LetterEnd) -> bool| ends.iter().filter(|end| is(end)).count();
    let redriven = count(|end| matches!(end, LetterEnd::Settled(_)));
    let sent_back = count(|end| matches!(end, LetterEnd::SentBack(_)));
    let mut measured = Measured::default();
    measured.property("request_id", &event.context.request_id);
    measured.count("letters_redriven", redriven);
    measured.count("letters_sent_back", sent_back);
    measured.count("letters_left", ends.len() - redriven - sent_back);
    metrics.write(&measured, settler.now());
    info!(
        request_id = %event.context.request_id,
        letters = letters.len(),
        messages = bodies.len(),
        sent_back,
        left = left.len(),
        took_ms = settler.now().since(began).as_millis(),
        "redriven"
    );
    let failure = |index: usize| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = messages.records[index].message_id.clone().unwrap_or_default();
        failure
    };
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = left.into_iter().map(failure).collect();
    Ok(response)
}

/// How often SQS has handed out the message that it handed out most often.
fn received(messages: &SqsEvent) -> u32 {
    let count = |attributes: &HashMap<String, String>| attributes.get("ApproximateReceiveCount")?.parse().ok();
    messages.records.iter().filter_map(|record| count(&record.attributes)).max().unwrap_or(1)
}
