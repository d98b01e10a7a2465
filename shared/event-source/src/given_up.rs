//! Records that the mapping stops trying to deliver, and the notice about them.
//!
//! The notice names a range of sequence numbers and holds no bytes of the records: whoever reads it reads the stream.
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use std::sync::Arc;

use penstock::ShardId;
use penstock::time::Timestamp;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::event::EventSource;
use crate::record::Record;

/// Why records were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// `MaximumRetryAttempts` retries have failed.
    RetryAttemptsExhausted,
    /// The records are older than `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
}

/// A range of records that are given up together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Why.
    pub condition: Condition,
    /// The records, at least one.
    pub records: Arc<[Record]>,
    /// How often the function ran with them (`approximateInvokeCount`).
    pub invocations: u32,
    /// What the last run ended with: `Some(true)` a function error, `Some(false)` an answer that reported failures,
    /// `None` no run at all.
    pub function_error: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notice<'a> {
    request_context: RequestContext<'a>,
    /// Null when the function never ran.
    response_context: Option<ResponseContext>,
    version: &'static str,
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo")]
    batch: BatchInfo<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: &'a str,
    condition: Condition,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: &'static str,
    /// Null when the function answered, and reported failures.
    function_error: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo<'a> {
    shard_id: &'a ShardId,
    start_sequence_number: &'a str,
    end_sequence_number: &'a str,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    batch_size: usize,
    stream_arn: &'a str,
}

impl GivenUp {
    /// The notice for the on-failure destination, as JSON.
    pub fn notice(
        &self,
        source: &EventSource,
        shard: &ShardId,
        function_arn: &str,
        request_id: &str,
        now: Timestamp,
    ) -> String {
        let (first, last) = self.ends();
        let notice = Notice {
            request_context: RequestContext {
                request_id,
                function_arn,
                condition: self.condition,
                approximate_invoke_count: self.invocations,
            },
            response_context: self.function_error.map(|failed| ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: failed.then_some("Unhandled"),
            }),
            version: "1.0",
            timestamp: rfc3339(now),
            batch: BatchInfo {
                shard_id: shard,
                start_sequence_number: first.sequence.as_str(),
                end_sequence_number: last.sequence.as_str(),
                approximate_arrival_of_first_record: rfc3339(first.arrival),
                approximate_arrival_of_last_record: rfc3339(last.arrival),
                batch_size: self.records.len(),
                stream_arn: &source.stream_arn,
            },
        };
        serde_json::to_string(&notice).expect("strings and integers are written to memory")
    }

    /// The first and the last record.
    pub fn ends(&self) -> (&Record, &Record) {
        let ends = self.records.first().zip(self.records.last());
        ends.expect("what is given up is at least one record")
    }
}

const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The latest time that the format can say.
const YEAR_9999_END_MS: u64 = 253_402_300_799_999;

fn rfc3339(at: Timestamp) -> String {
    let nanos = i128::from(at.0.min(YEAR_9999_END_MS)) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("the year is 1970 to 9999");
    time.format(MILLISECONDS).expect("a date has all parts of the format")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    const FIRST: &str = "49601189658422359378836298521827638475320189012309704722";
    const LAST: &str = "49601189658422359378836298522902373528957594348623495186";

    fn notice(condition: Condition, invocations: u32, function_error: Option<bool>) -> Value {
        let record = |sequence: &str, arrival| Record {
            sequence: sequence.parse().unwrap(),
            partition_key: "key".into(),
            data: Bytes::from_static(b"secret"),
            arrival: Timestamp(arrival),
        };
        let records = [record(FIRST, 1_573_691_884_835), record(LAST, 1_573_691_885_580)];
        let given_up = GivenUp { condition, records: records.into(), invocations, function_error };
        let source = EventSource {
            stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/mystream".into(),
            region: "us-east-2".into(),
            role_arn: String::new(),
        };
        let function = "arn:aws:lambda:us-east-2:123456789012:function:myfunction";
        let shard = ShardId::new("shardId-000000000001");
        let text = given_up.notice(&source, &shard, function, "c9b8fa9f", Timestamp(1_573_691_886_021));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_notice_has_the_documented_shape() {
        assert_eq!(
            notice(Condition::RetryAttemptsExhausted, 3, Some(true)),
            json!({
                "requestContext": {
                    "requestId": "c9b8fa9f",
                    "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
                    "condition": "RetryAttemptsExhausted",
                    "approximateInvokeCount": 3
                },
                "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
                "version": "1.0",
                "timestamp": "2019-11-14T00:38:06.021Z",
                "KinesisBatchInfo": {
                    "shardId": "shardId-000000000001",
                    "startSequenceNumber": FIRST,
                    "endSequenceNumber": LAST,
                    "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
                    "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
                    "batchSize": 2,
                    "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream"
                }
            })
        );
    }

    #[test]
    fn the_notice_says_whether_the_function_failed_answered_or_never_ran() {
        let answered = notice(Condition::RetryAttemptsExhausted, 1, Some(false));
        assert_eq!(answered["responseContext"]["functionError"], Value::Null);
        let never_ran = notice(Condition::RecordAgeExceeded, 0, None);
        assert_eq!(never_ran["responseContext"], Value::Null);
        assert_eq!(never_ran["requestContext"]["condition"], "RecordAgeExceeded");
    }

    #[test]
    fn a_time_past_the_format_is_its_latest() {
        assert_eq!(rfc3339(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
