//! `AWS/Kinesis`, read from requests and their answers.
//! <https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html>
//!
//! Calls in CBOR are passed over; the SDK for Rust speaks JSON. A put counts once it is answered, so that what was put
//! and not written down counts too.

use std::borrow::Cow;

use ferrokinesis::shard_iterator::decode_shard_iterator;
use serde::Deserialize;

use super::{MetricKey, MetricStore};

const NAMESPACE: &str = "AWS/Kinesis";
const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// A call that metrics are made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamCall {
    /// `PutRecord` or `PutRecords`: the bytes of each record.
    Put { stream: String, sizes: Vec<usize> },
    /// `GetRecords`.
    Get { stream: String },
}

/// Any of the three requests.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(borrow)]
    shard_iterator: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    records: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    #[serde(rename = "__type")]
    error: Option<String>,
    #[serde(rename = "Records")]
    records: Vec<Stored>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Stored {
    error_code: Option<String>,
}

impl StreamCall {
    /// Whether an operation is such a call.
    pub(crate) fn counts(operation: &str) -> bool {
        matches!(operation, "PutRecord" | "PutRecords" | "GetRecords")
    }

    /// Reads a request; none if it is not understood here, whoever it is for will refuse it.
    pub(crate) fn read(operation: &str, body: &[u8]) -> Option<Self> {
        let request: Request<'_> = serde_json::from_slice(body).ok()?;
        let named = || {
            let arn = request.stream_arn.as_deref()?;
            Some(arn.split_once(":stream/")?.1.to_owned())
        };
        let named = request.stream_name.clone().or_else(named);
        match operation {
            "PutRecord" => Some(Self::Put { stream: named?, sizes: vec![size(&request.data?)] }),
            "PutRecords" => {
                let sizes = request.records.iter().map(|entry| size(&entry.data)).collect();
                Some(Self::Put { stream: named?, sizes })
            }
            "GetRecords" => {
                let iterator = request.shard_iterator?;
                let of_iterator = || Some(decode_shard_iterator(&iterator).ok()?.1);
                Some(Self::Get { stream: named.or_else(of_iterator)? })
            }
            _ => None,
        }
    }

    /// Records what became of it.
    pub(crate) fn answered(&self, store: &MetricStore, success: bool, body: &[u8]) {
        let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
        let throttled = answer.error.is_some_and(|error| error.ends_with(THROTTLED));
        match self {
            // another refusal is none of a stream's throughput
            _ if !success && !throttled => {}
            Self::Get { stream } => {
                let exceeded = if throttled { 1 } else { 0 };
                record(store, "ReadProvisionedThroughputExceeded", stream, exceeded);
            }
            Self::Put { stream, sizes } => {
                let code = |at: usize| answer.records.get(at).and_then(|stored| stored.error_code.as_deref());
                let stored = (0..sizes.len()).filter(|at| success && code(*at).is_none());
                let (mut records, mut bytes) = (0, 0);
                for at in stored {
                    records += 1;
                    bytes += sizes[at];
                }
                let refused = (0..sizes.len()).filter(|at| throttled || code(*at) == Some(THROTTLED)).count();
                record(store, "IncomingRecords", stream, records);
                record(store, "IncomingBytes", stream, bytes);
                record(store, "WriteProvisionedThroughputExceeded", stream, refused);
            }
        }
    }
}

fn record(store: &MetricStore, name: &str, stream: &str, value: usize) {
    store.record(&MetricKey::of(NAMESPACE, name, "StreamName", stream), value as f64);
}

/// The bytes that base64 stands for.
fn size(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(store: &MetricStore) -> Vec<(String, f64)> {
        store.totals().into_iter().map(|(key, totals)| (key.name, totals.all.sum)).collect()
    }

    #[test]
    fn what_was_stored_and_what_was_throttled_are_told_apart() {
        let body =
            br#"{"StreamName":"s","Records":[{"Data":"YQ==","PartitionKey":"k"},{"Data":"YWI=","PartitionKey":"k"},
            {"Data":"YWJj","PartitionKey":"k"}]}"#;
        let call = StreamCall::read("PutRecords", body).unwrap();
        assert_eq!(call, StreamCall::Put { stream: "s".into(), sizes: vec![1, 2, 3] });
        let store = MetricStore::default();
        let answer = br#"{"FailedRecordCount":2,"Records":[{"ErrorCode":"InternalFailure","ErrorMessage":"x"},
            {"SequenceNumber":"1","ShardId":"a"},{"ErrorCode":"ProvisionedThroughputExceededException"}]}"#;
        call.answered(&store, true, answer);
        let expected = [("IncomingBytes", 2.0), ("IncomingRecords", 1.0), ("WriteProvisionedThroughputExceeded", 1.0)];
        assert_eq!(sums(&store), expected.map(|(name, sum)| (name.to_owned(), sum)));
    }

    #[test]
    fn a_put_of_one_record_is_stored_or_refused_and_any_other_error_is_neither() {
        let body =
            br#"{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","Data":"YWJj","PartitionKey":"k"}"#;
        let call = StreamCall::read("PutRecord", body).unwrap();
        let store = MetricStore::default();
        call.answered(&store, true, br#"{"SequenceNumber":"1","ShardId":"a"}"#);
        call.answered(&store, false, br#"{"__type":"com.amazonaws.kinesis#ProvisionedThroughputExceededException"}"#);
        call.answered(&store, false, br#"{"__type":"ResourceNotFoundException"}"#);
        let expected = [("IncomingBytes", 3.0), ("IncomingRecords", 1.0), ("WriteProvisionedThroughputExceeded", 1.0)];
        assert_eq!(sums(&store), expected.map(|(name, sum)| (name.to_owned(), sum)));
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        for (operation, body) in [
            ("PutRecords", &b"\xa1"[..]),
            ("PutRecords", br#"{"Records":[]}"#),
            ("PutRecord", br#"{"StreamName":"s"}"#),
            ("GetRecords", br#"{"ShardIterator":"x"}"#),
            ("ListShards", br#"{"StreamName":"s"}"#),
        ] {
            assert_eq!(StreamCall::read(operation, body), None, "{operation}");
        }
    }
}
