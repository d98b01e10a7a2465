//! Kinesis, as the core's [`Stream`], [`Shards`] and [`Records`].

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{self, PutRecordsRequestEntry, PutRecordsResultEntry, Shard, ShardIteratorType};
use penstock::batch::Record;
use penstock::hash::{HashKey, HashRange};
use penstock::packing::PackedRecord;
use penstock::ports::{Error, Lineage, ListedShard, Next, Page, PutResult, Records, Shards, Stream};
use penstock::time::Timestamp;
use penstock::{SequenceNumber, ShardId};

use crate::error::classify;

/// A stream to put on.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: Client,
    name: String,
}

impl KinesisStream {
    /// The stream called `name`. `client` should not retry: the producer does, record by record.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }
}

impl Stream for KinesisStream {
    async fn put(&self, records: &[PackedRecord]) -> Result<Vec<PutResult>, Error> {
        let mut request = self.client.put_records().stream_name(&self.name);
        for record in records {
            let entry = PutRecordsRequestEntry::builder()
                .partition_key(record.key.as_str())
                .explicit_hash_key(record.hash_key.to_string())
                .data(Blob::new(record.data.clone()))
                .build()
                .map_err(|error| Error::Refused(format!("PutRecords: {error}")))?;
            request = request.records(entry);
        }
        let answer = request.send().await.map_err(|error| classify("PutRecords", error))?;
        let verdicts: Vec<_> = answer.records().iter().map(verdict).collect();
        if verdicts.len() != records.len() {
            let detail = format!("PutRecords: {} answers to {} records", verdicts.len(), records.len());
            return Err(Error::Unavailable(detail));
        }
        Ok(verdicts)
    }
}

fn verdict(entry: &PutRecordsResultEntry) -> PutResult {
    match (entry.error_code(), entry.shard_id(), entry.sequence_number()) {
        (None, Some(shard), Some(sequence)) => match sequence.parse() {
            Ok(sequence) => PutResult::Stored { shard: ShardId::new(shard), sequence },
            Err(error) => PutResult::Failed(error.to_string()),
        },
        (Some("ProvisionedThroughputExceededException"), ..) => PutResult::Throttled,
        (code, ..) => {
            let code = code.unwrap_or("neither an error nor a sequence number");
            PutResult::Failed(format!("{code}: {}", entry.error_message().unwrap_or("no message")))
        }
    }
}

/// The shards of a stream.
#[derive(Debug, Clone)]
pub struct KinesisShards {
    client: Client,
    name: String,
}

impl KinesisShards {
    /// The shards of the stream called `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// What follows records behind which nothing is: a closed shard says so only to a read behind its last record.
    async fn at_tip(&self, iterator: &str) -> Result<Next, Error> {
        let answer = self.client.get_records().shard_iterator(iterator).limit(1).send().await;
        let answer = answer.map_err(|error| classify("GetRecords", error))?;
        Ok(match answer.next_shard_iterator {
            _ if !answer.records.is_empty() => Next::More,
            None => Next::End,
            Some(_) => Next::Tip,
        })
    }

    async fn all(&self) -> Result<Vec<Shard>, Error> {
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            // a page is asked for by its token alone
            let request = match &token {
                Some(token) => request.next_token(token),
                None => request.stream_name(&self.name),
            };
            let page = request.send().await.map_err(|error| classify("ListShards", error))?;
            shards.extend(page.shards().iter().cloned());
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(shards);
            }
        }
    }
}

impl Shards for KinesisShards {
    async fn lineage(&self, shard: &ShardId) -> Result<Option<Lineage>, Error> {
        let all = self.all().await?;
        let Some(this) = all.iter().find(|other| other.shard_id() == shard.as_str()) else { return Ok(None) };
        let mut ancestors: Vec<(ShardId, HashRange)> = Vec::new();
        let mut open = vec![this];
        while let Some(shard) = open.pop() {
            for parent in [shard.parent_shard_id(), shard.adjacent_parent_shard_id()].into_iter().flatten() {
                // one that is past the stream's retention has no window left either
                let found = all.iter().find(|other| other.shard_id() == parent);
                if let Some(found) = found.filter(|_| !ancestors.iter().any(|(known, _)| known.as_str() == parent)) {
                    ancestors.push((ShardId::new(parent), range(found)?));
                    open.push(found);
                }
            }
        }
        Ok(Some(Lineage { ancestors, range: range(this)? }))
    }

    async fn list(&self) -> Result<Vec<ListedShard>, Error> {
        let listed = |shard: &Shard| {
            let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
            Ok(ListedShard {
                shard: ShardId::new(shard.shard_id()),
                range: range(shard)?,
                parents: parents.into_iter().flatten().map(ShardId::new).collect(),
            })
        };
        self.all().await?.iter().map(listed).collect()
    }
}

/// An iterator that points at the oldest record of the shard of `request`.
async fn oldest(request: GetShardIteratorFluentBuilder) -> Result<Option<String>, Error> {
    let oldest = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    Ok(oldest.map_err(|error| classify("GetShardIterator", error))?.shard_iterator)
}

fn range(shard: &Shard) -> Result<HashRange, Error> {
    let damaged = || Error::Damaged(format!("ListShards: shard {} has no hash key range", shard.shard_id()));
    let range = shard.hash_key_range().ok_or_else(damaged)?;
    Ok(HashRange {
        start: HashKey::parse(range.starting_hash_key()).ok_or_else(damaged)?,
        end: HashKey::parse(range.ending_hash_key()).ok_or_else(damaged)?,
    })
}

impl Records for KinesisShards {
    async fn read_back(&self, shard: &ShardId, from: &SequenceNumber, after: bool) -> Result<Option<Page>, Error> {
        let kind = if after { ShardIteratorType::AfterSequenceNumber } else { ShardIteratorType::AtSequenceNumber };
        let request = self.client.get_shard_iterator().stream_name(&self.name).shard_id(shard.as_str());
        let at = request.clone().shard_iterator_type(kind).starting_sequence_number(from.as_str()).send().await;
        let mut iterator = match at {
            Ok(answer) => answer.shard_iterator,
            // a number that the stream does not have any more
            Err(error) if error.as_service_error().is_some_and(|e| e.is_invalid_argument_exception()) => {
                oldest(request).await?
            }
            // the same code says that the stream is missing; then it cannot be listed either
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                if !self.all().await?.iter().any(|other| other.shard_id() == shard.as_str()) {
                    return Ok(None);
                }
                // LocalStack says it of such a number too
                oldest(request).await?
            }
            Err(error) => return Err(classify("GetShardIterator", error)),
        };
        // a read may give nothing although there is more to come
        while let Some(here) = iterator {
            let answer = self.client.get_records().shard_iterator(here).send().await;
            let answer = answer.map_err(|error| classify("GetRecords", error))?;
            let next = match &answer.next_shard_iterator {
                None => Next::End,
                Some(next) if answer.millis_behind_latest == Some(0) => self.at_tip(next).await?,
                Some(_) => Next::More,
            };
            let mut records = answer.records.into_iter().map(stored_record).collect::<Result<Vec<_>, _>>()?;
            // the oldest can be below a number that the stream refused for another reason than its age
            records.retain(|record| record.sequence > *from || (record.sequence == *from && !after));
            if !records.is_empty() || next != Next::More {
                return Ok(Some(Page { records, next }));
            }
            iterator = answer.next_shard_iterator;
        }
        Ok(Some(Page { records: Vec::new(), next: Next::End }))
    }
}

/// A record as Kinesis gives it.
///
/// # Errors
/// [`Error::Damaged`] when it lacks what every record has.
pub fn stored_record(record: types::Record) -> Result<Record, Error> {
    let damaged = |what| Error::Damaged(format!("GetRecords: a record without {what}"));
    let arrival = record.approximate_arrival_timestamp.and_then(|time| time.to_millis().ok());
    Ok(Record {
        sequence: record.sequence_number.parse().map_err(|_| damaged("a sequence number"))?,
        arrival: Timestamp(arrival.and_then(|ms| u64::try_from(ms).ok()).ok_or_else(|| damaged("an arrival time"))?),
        partition_key: record.partition_key.ok_or_else(|| damaged("a partition key"))?,
        data: record.data.into_inner().into(),
    })
}
