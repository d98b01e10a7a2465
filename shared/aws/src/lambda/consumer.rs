//! A consumer group's invocation: a batch of a shard, or dead letters that were sent back, in; `batchItemFailures` out.

use std::borrow::Cow;

use aws_lambda_events::sqs::SqsBatchResponse;
use aws_lambda_events::streams::{KinesisBatchItemFailure, KinesisEventResponse};
use lambda_runtime::{Diagnostic, LambdaEvent};
use penstock::batch::ShardBatch;
use penstock::settle::{Outside, Settled, Settler, Work};
use penstock::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::kinesis_event::{self, KinesisEvent};
use super::redrive::redrive;
use crate::metrics::{Measured, Metrics};

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

/// Settles one invocation, from the stream or from the group's redrive queue, and writes what it measured.
///
/// # Errors
/// When all of it has to be handed out again.
pub async fn serve<W: Work, O: Outside>(
    settler: &Settler<W, O>,
    metrics: &Metrics,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Answer, Error> {
    let invocation: Result<Invocation<'_>, _> = serde_json::from_str(event.payload.get());
    let first = invocation.ok().and_then(|invocation| invocation.records.into_iter().next());
    if first.is_some_and(|first| first.source == "aws:sqs") {
        return Ok(Answer::Queue(Box::pin(redrive(settler, metrics, event)).await?));
    }
    Ok(Answer::Shard(consume(settler, metrics, event).await?))
}

async fn consume<W: Work, O: Outside>(
    settler: &Settler<W, O>,
    metrics: &Metrics,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<KinesisEventResponse, Error> {
    let began = settler.now();
    let batch = KinesisEvent::parse(event.payload.get())?.into_batch()?;
    let deadline = Timestamp(event.context.deadline);
    // boxed once a batch: the run is a deep tree of futures, and users' own mains would have to lay it out
    let settled = Box::pin(settler.settle(&batch, deadline)).await;
    let mut measured = Measured::default();
    measured.property("request_id", &event.context.request_id);
    measured.property("shard", batch.shard.as_str());
    match &settled {
        Ok(settled) => measure(&mut measured, settled),
        Err(error) => measure_failure(&mut measured, error, &batch, settler.now()),
    }
    metrics.write(&measured, settler.now());
    let request_id = &event.context.request_id;
    let took_ms = settler.now().since(began).as_millis();
    let settled = settled.inspect_err(|error| {
        let outcome = if matches!(error, penstock::settle::Error::Fenced(_)) { "fenced" } else { "failed" };
        warn!(outcome, %request_id, shard = %batch.shard, records = batch.records.len(), took_ms, %error, "batch");
    })?;
    info!(
        outcome = "settled",
        %request_id,
        shard = %batch.shard,
        records = batch.records.len(),
        handled = settled.counts.handled,
        duplicates = settled.counts.duplicates,
        dead_letters = settled.counts.dead_letters,
        foreign = settled.counts.foreign,
        passed_over = settled.passed_over,
        unsettled = settled.unsettled,
        took_ms,
        lag_ms = settled.lag.map(|lag| lag.as_millis()),
        resume_at = settled.resume_at.as_ref().map(penstock::SequenceNumber::as_str),
        isolated = settled.isolated,
        outage = settled.outage,
        "batch"
    );
    Ok(answer(&settled))
}

/// docs/metrics.md
fn measure(measured: &mut Measured, settled: &Settled) {
    let Settled { counts, letters, lag, retries, window_events, isolated, outage, .. } = settled;
    if let Some(lag) = lag {
        measured.millis("consumer_lag_ms", *lag);
    }
    measured.count("events_settled", counts.total());
    measured.count("duplicates", counts.duplicates);
    measured.count_any("foreign_events", counts.foreign);
    measured.count("consumer_errors", *retries);
    measured.count("window_events", *window_events);
    measured.count_any("isolation_runs", u32::from(*isolated));
    measured.count_any("outage_stops", u32::from(*outage));
    for (code, letters) in letters {
        measured.count_by("dead_letters", ("Reason", code.as_str()), *letters);
    }
}

/// A run that came to nothing is behind by all of its batch. That it failed, Lambda counts.
fn measure_failure(measured: &mut Measured, error: &penstock::settle::Error, batch: &ShardBatch, now: Timestamp) {
    if let Some(first) = batch.records.first() {
        measured.millis("consumer_lag_ms", now.since(first.arrival));
    }
    measured.count_any("fence_lost", u32::from(matches!(error, penstock::settle::Error::Fenced(_))));
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
