//! What a function's answer says about its batch.
//!
//! The two kinds of source read the same answer, and differ in what a reported item means: on a stream the lowest one is
//! where to go on, in a queue each one stays behind.
//!
//! Streams: <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>.
//! Queues: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.

use std::fmt;

use penstock::SequenceNumber;
use serde_json::Value;

use crate::Invocation;
use crate::record::Record;

/// Why a batch was not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The function failed.
    Function {
        /// The type of its error.
        error_type: String,
        /// The message of its error.
        message: String,
    },
    /// The function answered what fails a batch as a whole.
    Response(ResponseError),
    /// The function reported this record as the first that it did not settle.
    Reported(SequenceNumber),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { error_type, message } => write!(f, "{error_type}: {message}"),
            Self::Response(error) => error.fmt(f),
            Self::Reported(sequence) => write!(f, "the function reported {sequence}"),
        }
    }
}

/// An answer under `ReportBatchItemFailures` that fails the whole batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Neither JSON nor empty.
    #[error("the response is not JSON")]
    NotJson,
    /// Neither an object nor null.
    #[error("the response is not an object")]
    NotAnObject,
    /// `batchItemFailures` is neither a list nor null.
    #[error("batchItemFailures is not a list")]
    NotAList,
    /// An item whose `itemIdentifier` is missing, null, empty or no string.
    #[error("an item of batchItemFailures has no itemIdentifier")]
    NoIdentifier,
    /// An `itemIdentifier` that is not in the batch.
    #[error("the itemIdentifier `{0}` is not in the batch")]
    UnknownIdentifier(String),
}

/// What an invocation means for a batch of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    /// Every record is settled.
    Settled,
    /// The records before this index are settled, the others are to be retried.
    ResumeAt(usize, Failure),
    /// The function did not run.
    Throttled,
}

/// Judges an invocation for a batch of a stream: with several items reported, the lowest sequence number counts.
pub(crate) fn judge(invocation: &Invocation, records: &[Record], report_batch_item_failures: bool) -> BatchEnd {
    let body = match invocation {
        Invocation::Throttled => return BatchEnd::Throttled,
        Invocation::Failed { error_type, message } => {
            let failure = Failure::Function { error_type: error_type.clone(), message: message.clone() };
            return BatchEnd::ResumeAt(0, failure);
        }
        // without the setting, an answer that reports failures is a success like any other
        Invocation::Returned(_) if !report_batch_item_failures => return BatchEnd::Settled,
        Invocation::Returned(body) => body,
    };
    match reported(body).and_then(|identifiers| lowest(&identifiers, records)) {
        Ok(None) => BatchEnd::Settled,
        Ok(Some(index)) => BatchEnd::ResumeAt(index, Failure::Reported(records[index].sequence.clone())),
        Err(error) => BatchEnd::ResumeAt(0, Failure::Response(error)),
    }
}

/// The identifiers that an answer reports; none means success.
pub(crate) fn reported(body: &[u8]) -> Result<Vec<String>, ResponseError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let response = serde_json::from_slice(body).map_err(|_| ResponseError::NotJson)?;
    let mut fields = match response {
        Value::Null => return Ok(Vec::new()),
        Value::Object(fields) => fields,
        _ => return Err(ResponseError::NotAnObject),
    };
    match fields.remove("batchItemFailures") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(identifier).collect(),
        Some(_) => Err(ResponseError::NotAList),
    }
}

fn identifier(item: &Value) -> Result<String, ResponseError> {
    match item.get("itemIdentifier") {
        Some(Value::String(identifier)) if !identifier.is_empty() => Ok(identifier.clone()),
        _ => Err(ResponseError::NoIdentifier),
    }
}

fn lowest(identifiers: &[String], records: &[Record]) -> Result<Option<usize>, ResponseError> {
    let mut lowest = None;
    for identifier in identifiers {
        let unknown = || ResponseError::UnknownIdentifier(identifier.clone());
        let sequence: SequenceNumber = identifier.parse().map_err(|_| unknown())?;
        // ordered by length, then by digits: the numbers exceed a u128
        let index = records.binary_search_by(|record| record.sequence.cmp(&sequence)).map_err(|_| unknown())?;
        lowest = Some(lowest.map_or(index, |lowest: usize| lowest.min(index)));
    }
    Ok(lowest)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use penstock::time::Timestamp;

    use super::*;

    /// Their order as text is not their order.
    const SEQUENCES: [&str; 4] = [
        "9999999999999999999999999999999999999999999999999999999",
        "10000000000000000000000000000000000000000000000000000000",
        "49590338271490256608559692538361571095921575989136588898",
        "49590338271490256608559692538361571095921575989136588899",
    ];

    fn judged(body: &str, report: bool) -> BatchEnd {
        let record = |sequence: &&str| Record {
            sequence: sequence.parse().unwrap(),
            partition_key: "key".into(),
            data: Bytes::new(),
            arrival: Timestamp(0),
        };
        let records: Vec<_> = SEQUENCES.iter().map(record).collect();
        judge(&Invocation::Returned(Bytes::copy_from_slice(body.as_bytes())), &records, report)
    }

    fn reporting(sequences: &[&str]) -> String {
        let items: Vec<_> = sequences.iter().map(|s| serde_json::json!({"itemIdentifier": s})).collect();
        serde_json::json!({"batchItemFailures": items}).to_string()
    }

    #[test]
    fn an_empty_or_null_response_or_list_is_a_success() {
        for body in
            ["", "null", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#, r#"{"statusCode":200}"#]
        {
            assert_eq!(judged(body, true), BatchEnd::Settled, "{body}");
        }
    }

    #[test]
    fn the_lowest_reported_sequence_number_counts_by_length_then_digits() {
        let resume = |index: usize| BatchEnd::ResumeAt(index, Failure::Reported(SEQUENCES[index].parse().unwrap()));
        assert_eq!(judged(&reporting(&[SEQUENCES[3], SEQUENCES[2]]), true), resume(2));
        assert_eq!(judged(&reporting(&[SEQUENCES[1], SEQUENCES[0]]), true), resume(0));
        assert_eq!(judged(&reporting(&[SEQUENCES[1]]), true), resume(1));
    }

    #[test]
    fn an_identifier_that_names_no_record_fails_the_whole_batch() {
        for body in [
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":7}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifer":"1"}]}"#,
            r#"{"batchItemFailures":["1"]}"#,
        ] {
            assert_eq!(
                judged(body, true),
                BatchEnd::ResumeAt(0, Failure::Response(ResponseError::NoIdentifier)),
                "{body}"
            );
        }
        for unknown in ["12345", "shardId-000000000000:1"] {
            let error = ResponseError::UnknownIdentifier(unknown.into());
            let body = reporting(&[SEQUENCES[2], unknown]);
            assert_eq!(judged(&body, true), BatchEnd::ResumeAt(0, Failure::Response(error)));
        }
    }

    #[test]
    fn an_unreadable_response_fails_the_whole_batch() {
        for (body, error) in [
            ("ok", ResponseError::NotJson),
            ("\"ok\"", ResponseError::NotAnObject),
            ("[]", ResponseError::NotAnObject),
            (r#"{"batchItemFailures":{}}"#, ResponseError::NotAList),
        ] {
            assert_eq!(judged(body, true), BatchEnd::ResumeAt(0, Failure::Response(error)), "{body}");
        }
    }

    #[test]
    fn without_report_batch_item_failures_any_answer_is_a_success() {
        for body in ["ok", &reporting(&[SEQUENCES[0]])] {
            assert_eq!(judged(body, false), BatchEnd::Settled);
        }
    }

    #[test]
    fn a_function_error_fails_the_whole_batch_whatever_the_settings() {
        let failed = Invocation::Failed { error_type: "Runtime.ExitError".into(), message: "exit status 1".into() };
        for report in [false, true] {
            assert!(matches!(judge(&failed, &[], report), BatchEnd::ResumeAt(0, Failure::Function { .. })));
        }
    }
}
