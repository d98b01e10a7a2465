//! Notices of what an event source mapping gave up, in; dead letters out.
//!
//! Shape of a notice: <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use penstock::dead_letter::Code;
use penstock::ports::Clock;
use penstock::recover::{ExpiredRange, Recovered};
use penstock::time::Timestamp;
use penstock::{SequenceNumber, ShardId};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{error, info};

use crate::metrics::Measured;
use crate::recovery::{Recoveries, Recovery, Unknown};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notice {
    request_context: RequestContext,
    #[serde(rename = "KinesisBatchInfo")]
    batch: BatchInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    function_arn: String,
    condition: String,
    approximate_invoke_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo {
    shard_id: ShardId,
    start_sequence_number: SequenceNumber,
    end_sequence_number: SequenceNumber,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    stream_arn: String,
}

/// Why a notice was not worked off.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("not a notice of a Kinesis mapping: {0}")]
    Notice(String),
    #[error(transparent)]
    Function(#[from] Unknown),
    #[error("the notice is about the stream {0}")]
    Stream(String),
    #[error(transparent)]
    Outside(#[from] penstock::ports::Error),
}

/// Works off the notices of one invocation. What fails, or is not done in time, stays in the queue: the next receive goes
/// on there.
pub async fn recover(recoveries: &Recoveries, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let deadline = Timestamp(event.context.deadline);
    for message in event.payload.records {
        let body = message.body.as_deref().unwrap_or_default();
        let complete = match one(recoveries, body, &event.context.request_id, deadline).await {
            Ok(recovered) => recovered.complete,
            Err(error) => {
                let request_id = &event.context.request_id;
                error!(%request_id, message_id = message.message_id, %error, "not recovered; the notice stays in its queue");
                false
            }
        };
        if !complete {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.unwrap_or_default();
            response.batch_item_failures.push(failure);
        }
    }
    response
}

async fn one(recoveries: &Recoveries, body: &str, request_id: &str, deadline: Timestamp) -> Result<Recovered, Error> {
    let notice: Notice = serde_json::from_str(body).map_err(|error| Error::Notice(error.to_string()))?;
    let RequestContext { function_arn, condition, approximate_invoke_count } = notice.request_context;
    let name = function_name(&function_arn);
    let recovery = recoveries.of(name).await?;
    let Recovery { recoverer, metrics } = &*recovery;
    if stream_name(&notice.batch.stream_arn) != recoverer.stream {
        return Err(Error::Stream(notice.batch.stream_arn));
    }
    let given_up = ExpiredRange {
        shard: notice.batch.shard_id,
        first: notice.batch.start_sequence_number,
        last: notice.batch.end_sequence_number,
        arrival: arrival("approximateArrivalOfFirstRecord", &notice.batch.approximate_arrival_of_first_record)?,
        last_arrival: arrival("approximateArrivalOfLastRecord", &notice.batch.approximate_arrival_of_last_record)?,
        attempts: approximate_invoke_count,
        reason: format!("the event source mapping gave up: {condition}"),
    };
    let began = recoverer.outside.now();
    // boxed once a notice: a deep tree of futures
    let recovered = Box::pin(recoverer.recover(&given_up, deadline)).await?;
    let mut measured = Measured::default();
    measured.property("request_id", request_id);
    measured.property("shard", given_up.shard.as_str());
    let expired = u32::from(recovered.expired);
    let given_up_letters = recovered.letters.saturating_sub(expired as usize);
    measured.count_by("dead_letters", ("Reason", Code::GivenUp.as_str()), given_up_letters);
    measured.count_by("dead_letters", ("Reason", Code::Expired.as_str()), expired);
    metrics.write(&measured, recoverer.outside.now());
    info!(
        request_id,
        group = recoverer.group,
        shard = %given_up.shard,
        first = %given_up.first,
        last = %given_up.last,
        letters = recovered.letters,
        settled = recovered.settled,
        expired = recovered.expired,
        complete = recovered.complete,
        took_ms = recoverer.outside.now().since(began).as_millis(),
        "recovered"
    );
    Ok(recovered)
}

fn arrival(name: &str, text: &str) -> Result<Timestamp, Error> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| Error::Notice(format!("{name}: {error}")))?;
    Ok(Timestamp(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)))
}

/// `order-status` of `arn:aws:lambda:eu-west-1:123456789012:function:order-status:$LATEST`.
fn function_name(arn: &str) -> &str {
    arn.split(':').nth(6).unwrap_or(arn)
}

/// `events` of `arn:aws:kinesis:eu-west-1:123456789012:stream/events`, and of what reads it with a fan-out of its own:
/// `...:stream/events/consumer/orders:1795457255`.
fn stream_name(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_as_lambda_writes_it() {
        // the shape of the page that is named above
        let body = r#"{"requestContext":{"requestId":"c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn":"arn:aws:lambda:us-east-2:123456789012:function:myfunction:$LATEST",
            "condition":"RetryAttemptsExhausted","approximateInvokeCount":1},
            "responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},
            "version":"1.0","timestamp":"2019-11-14T00:38:06.021Z",
            "KinesisBatchInfo":{"shardId":"shardId-000000000001",
            "startSequenceNumber":"49601189658422359378836298521827638475320189012309704722",
            "endSequenceNumber":"49601189658422359378836298522902373528957594348623495186",
            "approximateArrivalOfFirstRecord":"2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord":"2019-11-14T00:38:05.580Z","batchSize":500,
            "streamArn":"arn:aws:kinesis:us-east-2:123456789012:stream/mystream"}}"#;
        let notice: Notice = serde_json::from_str(body).unwrap();
        assert_eq!(function_name(&notice.request_context.function_arn), "myfunction");
        assert_eq!(notice.batch.shard_id.as_str(), "shardId-000000000001");
        assert_eq!(stream_name(&notice.batch.stream_arn), "mystream");
        assert_eq!(stream_name("arn:aws:kinesis:us-east-2:123456789012:stream/mystream/consumer/c:1"), "mystream");
    }
}
