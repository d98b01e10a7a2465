//! Reading a Kinesis stream: listings, iterators, records.
//!
//! An iterator is kept between reads as long as the machine goes on where it points. One that has expired is got anew
//! from the machine's place, so that nothing is lost or read twice by it.

use std::collections::HashMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{DisplayErrorContext, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType};
use bytes::Bytes;
use penstock::ShardId;
use penstock::time::Timestamp;

use penstock_event_source::ListedShard;
use penstock_event_source::{ReadFrom, Record};

/// What a read gave.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// The iterator to go on with; none at the end of the shard.
    pub(crate) next: Option<String>,
}

/// A read that failed. Each is worth another try later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Too many reads, or too many bytes.
    #[error("the stream throttles reads")]
    Throttled,
    /// Anything else that the service or the way to it said.
    #[error("{0}")]
    Service(String),
    /// A record that makes no sense.
    #[error("a record has no readable {0}")]
    BadRecord(&'static str),
}

fn service<E: std::error::Error + 'static>(error: &E) -> ReadError {
    ReadError::Service(DisplayErrorContext(error).to_string())
}

/// All shards of the stream, open and closed. By name: not every local service takes the ARN.
pub(crate) async fn list(client: &Client, stream: &str) -> Result<Vec<ListedShard>, ReadError> {
    let mut shards = Vec::new();
    let mut request = client.list_shards().stream_name(stream);
    loop {
        let listing = request.send().await.map_err(|error| service(&error))?;
        shards.extend(listing.shards().iter().map(|shard| {
            ListedShard {
                id: ShardId::new(shard.shard_id()),
                parents: [shard.parent_shard_id(), shard.adjacent_parent_shard_id()]
                    .into_iter()
                    .flatten()
                    .map(ShardId::new)
                    .collect(),
            }
        }));
        match listing.next_token {
            // a token stands for the stream, and AWS refuses both together
            Some(token) => request = client.list_shards().next_token(token),
            None => return Ok(shards),
        }
    }
}

/// The iterators that reads ended with.
#[derive(Debug, Default)]
pub(crate) struct Iterators(HashMap<ShardId, (ReadFrom, String)>);

impl Iterators {
    /// The iterator that points at `from`, if there is one.
    pub(crate) fn take(&mut self, shard: &ShardId, from: &ReadFrom) -> Option<String> {
        let (at, iterator) = self.0.remove(shard)?;
        (at == *from).then_some(iterator)
    }

    /// Keeps the iterator behind what a read from `from` gave.
    pub(crate) fn keep(&mut self, shard: &ShardId, from: ReadFrom, page: &Page) {
        if let Some(next) = &page.next {
            let at = page.records.last().map_or(from, |last| ReadFrom::After(last.sequence.clone()));
            self.0.insert(shard.clone(), (at, next.clone()));
        }
    }
}

/// Reads `shard` at `from`, with the iterator that points there if one is kept.
pub(crate) async fn read(
    client: &Client,
    stream: &str,
    shard: &ShardId,
    from: &ReadFrom,
    limit: usize,
    mut kept: Option<String>,
) -> Result<Page, ReadError> {
    loop {
        let fresh = kept.is_none();
        let iterator = match kept.take() {
            Some(iterator) => iterator,
            None => match iterator(client, stream, shard, from).await? {
                Some(iterator) => iterator,
                None => {
                    return Ok(Page { records: Vec::new(), next: None });
                }
            },
        };
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        match client.get_records().shard_iterator(iterator).limit(limit).send().await {
            Ok(output) => {
                let records = output.records.into_iter().map(record).collect::<Result<_, _>>()?;
                return Ok(Page { records, next: output.next_shard_iterator });
            }
            // the loop gets a new one, once: a fresh one that has expired is the service's fault
            Err(error) if !fresh && has_expired(&error) => {}
            Err(error) if is_throttled(&error) => return Err(ReadError::Throttled),
            Err(error) => return Err(service(&error)),
        }
    }
}

async fn iterator(
    client: &Client,
    stream: &str,
    shard: &ShardId,
    from: &ReadFrom,
) -> Result<Option<String>, ReadError> {
    let request = client.get_shard_iterator().stream_name(stream).shard_id(shard.as_str());
    let request = match from {
        ReadFrom::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        ReadFrom::AtTimestamp(at) => request
            .shard_iterator_type(ShardIteratorType::AtTimestamp)
            .timestamp(DateTime::from_millis(i64::try_from(at.0).unwrap_or(i64::MAX))),
        ReadFrom::After(sequence) => request
            .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
            .starting_sequence_number(sequence.as_str()),
    };
    let throttled = GetShardIteratorError::is_provisioned_throughput_exceeded_exception;
    match request.send().await {
        Ok(output) => Ok(output.shard_iterator),
        Err(error) if error.as_service_error().is_some_and(throttled) => Err(ReadError::Throttled),
        Err(error) => Err(service(&error)),
    }
}

fn has_expired(error: &SdkError<GetRecordsError>) -> bool {
    error.as_service_error().is_some_and(GetRecordsError::is_expired_iterator_exception)
}

fn is_throttled(error: &SdkError<GetRecordsError>) -> bool {
    error.as_service_error().is_some_and(GetRecordsError::is_provisioned_throughput_exceeded_exception)
}

fn record(record: types::Record) -> Result<Record, ReadError> {
    let arrival = record.approximate_arrival_timestamp.as_ref().and_then(|time| time.to_millis().ok());
    let arrival = arrival.and_then(|millis| u64::try_from(millis).ok());
    Ok(Record {
        sequence: record.sequence_number.parse().map_err(|_| ReadError::BadRecord("SequenceNumber"))?,
        partition_key: record.partition_key.ok_or(ReadError::BadRecord("PartitionKey"))?.into(),
        data: Bytes::from(record.data.into_inner()),
        arrival: Timestamp(arrival.ok_or(ReadError::BadRecord("ApproximateArrivalTimestamp"))?),
    })
}
