//! Reading a stream as it grows, beside its groups.

use std::collections::BTreeMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use penstock::batch::{Delivery, ShardBatch};
use penstock::fingerprint::Fingerprinter;
use penstock::ports::{Error, Shards};
use penstock::{SequenceNumber, ShardId};
use penstock_aws::error::classify;
use penstock_aws::{KinesisShards, stored_record};

use crate::Operator;

/// Records of one read: a busy shard has more, and the next round goes on.
const READ_MAX: i32 = 1000;
/// Rounds between two looks for shards that came of a split or a merge.
const LIST_EVERY: u32 = 10;

/// A reader of all shards of a stream. Each round costs every shard one of its five reads a second.
#[derive(Debug)]
pub struct Tail {
    kinesis: Client,
    stream: String,
    oldest: bool,
    rounds: u32,
    shards: BTreeMap<ShardId, Place>,
}

/// Where a shard is read on.
#[derive(Debug, Clone)]
struct Place {
    /// An iterator that points there, while it is valid.
    iterator: Option<String>,
    from: From,
}

#[derive(Debug, Clone)]
enum From {
    Start,
    Tip,
    After(SequenceNumber),
    End,
}

impl Operator {
    /// A reader from the oldest record on, or of what comes from now on.
    pub fn tail(&self, oldest: bool) -> Tail {
        let (kinesis, stream) = (self.clients.kinesis.clone(), self.deployment.stream.clone());
        Tail { kinesis, stream, oldest, rounds: 0, shards: BTreeMap::new() }
    }
}

impl Tail {
    /// What is new since the last call, in the order of each shard.
    ///
    /// # Errors
    /// When the stream does not answer.
    pub async fn next(&mut self) -> Result<Vec<(ShardId, Delivery)>, Error> {
        if self.rounds.is_multiple_of(LIST_EVERY) {
            self.list().await?;
        }
        self.rounds += 1;
        let mut found = Vec::new();
        for (shard, place) in &mut self.shards {
            let Some(iterator) = place.iterator(&self.kinesis, &self.stream, shard).await? else { continue };
            let page = self.kinesis.get_records().shard_iterator(iterator).limit(READ_MAX).send().await;
            let page = match page {
                Ok(page) => page,
                // it was not used for five minutes; the next round gets another one, from the same place
                Err(error) if error.as_service_error().is_some_and(|error| error.is_expired_iterator_exception()) => {
                    continue;
                }
                Err(error) => return Err(classify("GetRecords", error)),
            };
            let records = page.records.into_iter().map(stored_record).collect::<Result<Vec<_>, _>>()?;
            if let Some(last) = records.last() {
                place.from = From::After(last.sequence.clone());
            }
            place.iterator = page.next_shard_iterator;
            if place.iterator.is_none() {
                place.from = From::End;
            }
            let batch = ShardBatch { shard: shard.clone(), records };
            found.extend(batch.deliveries(&Fingerprinter::new("")).into_iter().map(|event| (shard.clone(), event)));
        }
        Ok(found)
    }

    async fn list(&mut self) -> Result<(), Error> {
        let first = self.rounds == 0;
        for listed in KinesisShards::new(self.kinesis.clone(), &self.stream).list().await? {
            // one that appears later is read from its start: all of it is new
            let from = if first && !self.oldest { From::Tip } else { From::Start };
            self.shards.entry(listed.shard).or_insert(Place { iterator: None, from });
        }
        Ok(())
    }
}

impl Place {
    /// Takes the iterator that points here, or gets one; `None` at the end of the shard.
    async fn iterator(&mut self, kinesis: &Client, stream: &str, shard: &ShardId) -> Result<Option<String>, Error> {
        if let Some(iterator) = self.iterator.take() {
            return Ok(Some(iterator));
        }
        let request = kinesis.get_shard_iterator().stream_name(stream).shard_id(shard.as_str());
        let request = match &self.from {
            From::End => return Ok(None),
            From::Start => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            From::Tip => request.shard_iterator_type(ShardIteratorType::Latest),
            From::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
        };
        let answer = request.send().await.map_err(|error| classify("GetShardIterator", error))?;
        Ok(answer.shard_iterator)
    }
}
