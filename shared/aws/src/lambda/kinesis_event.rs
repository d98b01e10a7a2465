//! The Kinesis event, borrowed from the invocation's bytes.
//!
//! Our own type and not the one of `aws_lambda_events` 1.2: that one reads the fraction of
//! `approximateArrivalTimestamp` as an integer, fails the whole batch on more than three digits of it, and gives a
//! missing sequence number as an empty one.
//!
//! Shape: <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use penstock::ShardId;
use penstock::batch::{Record, ShardBatch};
use penstock::time::Timestamp;
use serde::Deserialize;

/// An invocation of a Kinesis event source mapping.
#[derive(Debug, Deserialize)]
pub struct KinesisEvent<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Outer<'a>>,
}

#[derive(Debug, Deserialize)]
struct Outer<'a> {
    #[serde(borrow, rename = "eventID")]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    kinesis: Inner<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    /// Seconds since the epoch, with a fraction.
    approximate_arrival_timestamp: f64,
}

/// Why an invocation is no batch of one shard. Nothing of it was handled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the shape of a Kinesis event.
    #[error("not a Kinesis event: {0}")]
    Shape(#[from] serde_json::Error),
    /// No records.
    #[error("a Kinesis event without records")]
    Empty,
    /// A record that cannot be placed.
    #[error("record {index} of the Kinesis event has {what}: {value:?}")]
    Record {
        /// Its index.
        index: usize,
        /// What is wrong with it.
        what: &'static str,
        /// What was found, cut short.
        value: String,
    },
}

impl<'a> KinesisEvent<'a> {
    /// Reads an invocation.
    ///
    /// # Errors
    /// When it is not a Kinesis event.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        Ok(serde_json::from_str(text)?)
    }

    /// The batch. Every record must name one and the same shard, and have a sequence number.
    ///
    /// # Errors
    /// The first record that cannot be placed.
    pub fn into_batch(self) -> Result<ShardBatch, Error> {
        let first = self.records.first().ok_or(Error::Empty)?;
        let shard =
            shard_of(&first.event_id).ok_or_else(|| bad(0, "an eventID without a shard", &first.event_id))?.to_owned();
        let mut records = Vec::with_capacity(self.records.len());
        for (index, Outer { event_id, kinesis }) in self.records.into_iter().enumerate() {
            if shard_of(&event_id) != Some(shard.as_str()) {
                return Err(bad(index, "another shard than the first", &event_id));
            }
            let seconds = kinesis.approximate_arrival_timestamp;
            records.push(Record {
                sequence: kinesis
                    .sequence_number
                    .parse()
                    .map_err(|_| bad(index, "no sequence number", &kinesis.sequence_number))?,
                arrival: millis(seconds).ok_or_else(|| bad(index, "no arrival time", &seconds.to_string()))?,
                data: BASE64_STANDARD
                    .decode(kinesis.data.as_bytes())
                    .map_err(|_| bad(index, "data that is not base64", &kinesis.data))?
                    .into(),
                partition_key: kinesis.partition_key.into_owned(),
            });
        }
        Ok(ShardBatch { shard: ShardId::new(&shard), records })
    }
}

/// `shardId-000000000006` of `shardId-000000000006:4954...`.
fn shard_of(event_id: &str) -> Option<&str> {
    event_id.split_once(':').map(|(shard, _)| shard).filter(|shard| !shard.is_empty())
}

fn millis(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    let sound = (0.0..9.0e15).contains(&millis);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds just checked")]
    sound.then_some(Timestamp(millis as u64))
}

fn bad(index: usize, what: &'static str, value: &str) -> Error {
    Error::Record { index, what, value: value.chars().take(80).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, sequence: &str, arrival: &str) -> String {
        format!(
            r#"{{"Records":[{{"eventID":"{id}","eventSource":"aws:kinesis","kinesis":{{"kinesisSchemaVersion":"1.0",
            "partitionKey":"k\u0031","sequenceNumber":"{sequence}","data":"e30=","approximateArrivalTimestamp":{arrival}}}}}]}}"#
        )
    }

    fn read(text: &str) -> Result<ShardBatch, Error> {
        KinesisEvent::parse(text)?.into_batch()
    }

    #[test]
    fn the_fraction_of_the_arrival_is_a_fraction() {
        for (arrival, millis) in
            [("1545084650.5", 1_545_084_650_500), ("1545084650.987654", 1_545_084_650_988), ("7", 7000)]
        {
            let batch = read(&event("shardId-000000000006:1", "1", arrival)).unwrap();
            assert_eq!(batch.records[0].arrival, Timestamp(millis));
        }
    }

    #[test]
    fn a_batch_knows_its_shard_its_keys_and_its_bytes() {
        let batch = read(&event("shardId-000000000006:495", "495", "1.0")).unwrap();
        assert_eq!(batch.shard.as_str(), "shardId-000000000006");
        assert_eq!((batch.records[0].partition_key.as_str(), &batch.records[0].data[..]), ("k1", b"{}".as_slice()));
    }

    #[test]
    fn what_cannot_be_placed_is_named() {
        for (text, part) in [
            (event("shardId-000000000006:1", "", "1.0"), "record 0 of the Kinesis event has no sequence number"),
            (event("nonsense", "1", "1.0"), "an eventID without a shard"),
            (event("s:1", "1", "-1"), "no arrival time"),
            (r#"{"Records":[]}"#.to_owned(), "without records"),
            ("{}".to_owned(), "missing field `Records`"),
            (event("s:1", "1", "1.0").replace("e30=", "?"), "not base64"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
