//! What a group still has to do on a shard: found on the stream itself, because a position alone does not say whether
//! anything is behind it.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use penstock::batch::ShardBatch;
use penstock::fingerprint::Fingerprinter;
use penstock::ports::Error;
use penstock::time::Timestamp;
use penstock::{Position, ShardId};
use penstock_aws::error::classify;
use penstock_aws::stored_record;

/// Empty answers in the middle of a shard that are followed.
/// <https://docs.aws.amazon.com/streams/latest/dev/troubleshooting-consumers.html>
const EMPTY_PAGES_MAX: usize = 20;

/// What is behind a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// Nothing, for now.
    None,
    /// Nothing, and nothing will come: the shard was split or merged.
    Drained,
    /// Events, the oldest of which arrived then.
    Since(Timestamp),
    /// More of the shard is empty than was looked at.
    Unknown,
}

/// Looks for the oldest event of `shard` behind `position`. Two reads of the five that a shard has in a second, at least.
pub(crate) async fn behind(
    kinesis: &Client,
    stream: &str,
    shard: &ShardId,
    position: &Position,
) -> Result<Backlog, Error> {
    let mut iterator = iterator(kinesis, stream, shard, position).await?;
    for _ in 0..EMPTY_PAGES_MAX {
        let Some(here) = iterator else { return Ok(Backlog::Drained) };
        // the record at the position, some of which may be left, and the one behind it
        let page = kinesis.get_records().shard_iterator(here).limit(2).send().await;
        let page = page.map_err(|error| classify("GetRecords", error))?;
        let read = page.records.len();
        let records = page.records.into_iter().map(stored_record).collect::<Result<Vec<_>, _>>()?;
        let events = ShardBatch { shard: shard.clone(), records }.deliveries(&Fingerprinter::new(""));
        if let Some(oldest) = events.iter().find(|event| event.position > *position) {
            return Ok(Backlog::Since(oldest.arrival));
        }
        iterator = page.next_shard_iterator;
        if read == 0 && iterator.is_some() && page.millis_behind_latest == Some(0) {
            return Ok(Backlog::None);
        }
    }
    Ok(Backlog::Unknown)
}

async fn iterator(
    kinesis: &Client,
    stream: &str,
    shard: &ShardId,
    position: &Position,
) -> Result<Option<String>, Error> {
    let request = kinesis.get_shard_iterator().stream_name(stream).shard_id(shard.as_str());
    if *position != Position::start() {
        let at = request.clone().shard_iterator_type(ShardIteratorType::AtSequenceNumber);
        match at.starting_sequence_number(position.sequence.as_str()).send().await {
            Ok(answer) => return Ok(answer.shard_iterator),
            // the record has expired: all that is left is behind it; the second is how LocalStack says so
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_invalid_argument_exception() || e.is_resource_not_found_exception()) => {}
            Err(error) => return Err(classify("GetShardIterator", error)),
        }
    }
    let oldest = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    Ok(oldest.map_err(|error| classify("GetShardIterator", error))?.shard_iterator)
}
