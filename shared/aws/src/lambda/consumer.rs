//! A consumer group's invocation: a batch of a shard, or dead letters that were sent back, in; `batchItemFailures` out.

use std::borrow::Cow;

use aws_lambda_events::sqs::SqsBatchResponse;
use aws_lambda_events::streams::{KinesisBatchItemFailure, KinesisEventResponse};
use lambda_runtime::{Diagnostic, LambdaEvent};
use penstock::settle::{Outside, Settled, Settler, Work};
use penstock::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::info;

use super::kinesis_event::{self, KinesisEvent};
use super::redrive::redrive;

/// Why an invocation failed as a whole; Lambda hands its batch out again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was no batch of a shard.
    #[error(transparent)]
    Event(#[from] kinesis_event::Error),
    /// It was no batch of messages.
    #[error("not an SQS event: {0}")]
    Messages(#[source] serde_json::Error),
    /// The run came to nothing.
    #[error(transparent)]
    Settle(#[from] penstock::settle::Error),
}

impl std::convert::From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let error_type = match &error {
            Error::Event(_) | Error::Messages(_) => "Penstock.NotABatch",
            Error::Settle(penstock::settle::Error::Fenced(_)) => "Penstock.Fenced",
            Error::Settle(_) => "Penstock.Unavailable",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// What an invocation brings.
#[derive(Deserialize)]
struct Invocation<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<From<'a>>,
}

#[derive(Deserialize)]
struct From<'a> {
    #[serde(borrow, rename = "eventSource", default)]
    source: Cow<'a, str>,
}

/// What Lambda is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// For a batch of a shard.
    Shard(KinesisEventResponse),
    /// For messages of the redrive queue.
    Queue(SqsBatchResponse),
}

/// Settles one invocation, from the stream or from the group's redrive queue.
///
/// # Errors
/// When all of it has to be handed out again.
pub async fn serve<W: Work, O: Outside>(
    settler: &Settler<W, O>,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Answer, Error> {
    let invocation: Result<Invocation<'_>, _> = serde_json::from_str(event.payload.get());
    let first = invocation.ok().and_then(|invocation| invocation.records.into_iter().next());
    if first.is_some_and(|first| first.source == "aws:sqs") {
        return Ok(Answer::Queue(Box::pin(redrive(settler, event)).await?));
    }
    Ok(Answer::Shard(consume(settler, event).await?))
}

async fn consume<W: Work, O: Outside>(
    settler: &Settler<W, O>,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<KinesisEventResponse, Error> {
    let batch = KinesisEvent::parse(event.payload.get())?.into_batch()?;
    let deadline = Timestamp(event.context.deadline);
    // boxed once a batch: the run is a deep tree of futures, and users' own mains would have to lay it out
    let settled = Box::pin(settler.settle(&batch, deadline)).await?;
    info!(
        shard = %batch.shard,
        records = batch.records.len(),
        handled = settled.counts.handled,
        duplicates = settled.counts.duplicates,
        dead_letters = settled.counts.dead_letters,
        foreign = settled.counts.foreign,
        passed_over = settled.passed_over,
        unsettled = settled.unsettled,
        iterator_age_ms = settled.iterator_age.map(|age| age.as_millis()),
        isolated = settled.isolated,
        outage = settled.outage,
        "settled"
    );
    Ok(answer(&settled))
}

/// Lambda hands out again from the lowest sequence number in the list; one is enough.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>
fn answer(settled: &Settled) -> KinesisEventResponse {
    let failure = |sequence: &penstock::SequenceNumber| {
        let mut failure = KinesisBatchItemFailure::default();
        failure.item_identifier = Some(sequence.to_string());
        failure
    };
    let mut response = KinesisEventResponse::default();
    response.batch_item_failures = settled.resume_at.iter().map(failure).collect();
    response
}
