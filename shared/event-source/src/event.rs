//! The event that Lambda hands to a function for a batch of Kinesis records, and how large it gets.
//!
//! The size of a batch is known record by record and before it is written, because the cut at [`PAYLOAD_MAX`] depends on
//! it. <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use penstock::ShardId;
use penstock::time::Timestamp;
use serde::{Serialize, Serializer};

use crate::record::Record;

/// Bytes in the payload of a synchronous invocation at most: 6 MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const PAYLOAD_MAX: usize = 6_291_456;

const OPEN: &[u8] = br#"{"Records":["#;
const CLOSE: &[u8] = b"]}";

/// What the event says about where its records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    /// The stream's ARN.
    pub stream_arn: String,
    /// The stream's region.
    pub region: String,
    /// `invokeIdentityArn`: the function's role.
    pub role_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventRecord<'a> {
    kinesis: KinesisPart<'a>,
    event_source: &'static str,
    event_version: &'static str,
    #[serde(rename = "eventID")]
    event_id: EventId<'a>,
    event_name: &'static str,
    invoke_identity_arn: &'a str,
    aws_region: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KinesisPart<'a> {
    kinesis_schema_version: &'static str,
    partition_key: &'a str,
    sequence_number: &'a str,
    data: &'a str,
    #[serde(serialize_with = "seconds")]
    approximate_arrival_timestamp: Timestamp,
}

struct EventId<'a>(&'a ShardId, &'a str);

impl Serialize for EventId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.0, self.1))
    }
}

/// Seconds with their milliseconds, as a number: `1545084650.987`.
fn seconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    // a double holds milliseconds since the epoch exactly, and is written with the fewest digits that say which
    #[allow(clippy::cast_precision_loss)]
    serializer.serialize_f64(time.0 as f64 / 1000.0)
}

impl EventSource {
    /// The payload for `records` of `shard`.
    pub fn payload(&self, shard: &ShardId, records: &[Record]) -> Bytes {
        let size = payload_len(records.iter().map(|record| self.encoded_len(shard, record)));
        let mut payload = Vec::with_capacity(size);
        let mut data = String::new();
        payload.extend_from_slice(OPEN);
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                payload.push(b',');
            }
            data.clear();
            STANDARD.encode_string(&record.data, &mut data);
            self.write(&mut payload, shard, record, &data);
        }
        payload.extend_from_slice(CLOSE);
        debug_assert_eq!(payload.len(), size, "the size is known beforehand");
        payload.into()
    }

    /// Bytes that `record` takes in the payload, without the comma to its neighbour.
    pub(crate) fn encoded_len(&self, shard: &ShardId, record: &Record) -> usize {
        let mut frame = Counter(0);
        self.write(&mut frame, shard, record, "");
        frame.0 + record.data.len().div_ceil(3) * 4
    }

    fn write(&self, out: impl io::Write, shard: &ShardId, record: &Record, data: &str) {
        let sequence = record.sequence.as_str();
        let record = EventRecord {
            kinesis: KinesisPart {
                kinesis_schema_version: "1.0",
                partition_key: &record.partition_key,
                sequence_number: sequence,
                data,
                approximate_arrival_timestamp: record.arrival,
            },
            event_source: "aws:kinesis",
            event_version: "1.0",
            event_id: EventId(shard, sequence),
            event_name: "aws:kinesis:record",
            invoke_identity_arn: &self.role_arn,
            aws_region: &self.region,
            event_source_arn: &self.stream_arn,
        };
        serde_json::to_writer(out, &record).expect("strings and one finite number are written to memory");
    }
}

/// The size of the payload that holds records of these sizes.
pub(crate) fn payload_len(records: impl Iterator<Item = usize>) -> usize {
    // every record but the first brings a comma
    let (count, bytes) = records.fold((0_usize, 0), |(count, bytes), len| (count + 1, bytes + len));
    OPEN.len() + CLOSE.len() + bytes + count.saturating_sub(1)
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn source() -> EventSource {
        EventSource {
            stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/orders".into(),
            region: "us-east-2".into(),
            role_arn: "arn:aws:iam::123456789012:role/lambda".into(),
        }
    }

    fn record(sequence: &str, key: &str, data: Vec<u8>, arrival: u64) -> Record {
        Record {
            sequence: sequence.parse().unwrap(),
            partition_key: key.into(),
            data: data.into(),
            arrival: Timestamp(arrival),
        }
    }

    #[test]
    fn the_event_has_the_documented_shape() {
        let sequence = "49590338271490256608559692538361571095921575989136588898";
        let records = [record(sequence, "1", b"Hello, this is a test.".to_vec(), 1_545_084_650_987)];
        let payload = source().payload(&ShardId::new("shardId-000000000006"), &records);
        assert_eq!(
            serde_json::from_slice::<Value>(&payload).unwrap(),
            json!({"Records": [{
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": sequence,
                    "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                    "approximateArrivalTimestamp": 1_545_084_650.987
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": format!("shardId-000000000006:{sequence}"),
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda",
                "awsRegion": "us-east-2",
                "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/orders"
            }]})
        );
        let text = String::from_utf8(payload.to_vec()).unwrap();
        assert!(text.contains(r#""approximateArrivalTimestamp":1545084650.987}"#), "{text}");
    }

    proptest! {
        #[test]
        fn the_size_is_known_before_the_payload_is_written(
            records in proptest::collection::vec(("[0-9]{1,56}", "\\PC{0,20}|[\"\\\\\n\u{1}]{1,5}", proptest::collection::vec(any::<u8>(), 0..50), 0_u64..4_000_000_000_000), 0..5),
        ) {
            let shard = ShardId::new("shardId-000000000000");
            let records: Vec<_> = records.into_iter().map(|(s, k, d, a)| record(&s, &k, d, a)).collect();
            let sizes = records.iter().map(|record| source().encoded_len(&shard, record));
            let payload = source().payload(&shard, &records);
            prop_assert_eq!(payload_len(sizes), payload.len());
            prop_assert!(serde_json::from_slice::<Value>(&payload).is_ok());
        }
    }
}
