//! Counting what is on a stream, independently of every consumer group.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{Shard, ShardIteratorType};
use penstock::ShardId;
use penstock::batch::{Record, ShardBatch};
use penstock::fingerprint::Fingerprinter;
use penstock::time::Timestamp;

/// What a reader finds on a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamCount {
    /// Records.
    pub records: u64,
    /// Events in them; bytes that are no event count as one.
    pub events: u64,
}

/// Reads a stream from its oldest record on and counts.
#[derive(Debug)]
pub struct StreamReader {
    client: Client,
    stream: String,
    iterators: BTreeMap<String, Option<String>>,
    count: StreamCount,
}

impl StreamReader {
    /// A reader of the stream called `stream`.
    pub(crate) fn new(client: Client, stream: String) -> Self {
        Self { client, stream, iterators: BTreeMap::new(), count: StreamCount::default() }
    }

    /// Reads what is new since the last call; the count of everything so far.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub async fn read(&mut self) -> anyhow::Result<StreamCount> {
        let (client, name) = (self.client.clone(), self.stream.clone());
        let (client, name) = (&client, name.as_str());
        for shard in list(client, name).await? {
            let id = shard.shard_id();
            let mut iterator = match self.iterators.get(id) {
                Some(known) => known.clone(),
                None => start(client, name, id).await?,
            };
            while let Some(current) = iterator {
                let page = client.get_records().shard_iterator(&current).limit(10_000).send().await;
                let page = page.with_context(|| format!("cannot read shard {id} of {name}"))?;
                self.add(id, page.records());
                let end = page.records().is_empty();
                iterator = page.next_shard_iterator().map(str::to_owned);
                if end {
                    break;
                }
                self.iterators.insert(id.to_owned(), iterator.clone());
            }
            self.iterators.insert(id.to_owned(), iterator);
        }
        Ok(self.count)
    }

    fn add(&mut self, shard: &str, records: &[aws_sdk_kinesis::types::Record]) {
        let fingerprints = Fingerprinter::new("only counted");
        for record in records {
            let Ok(sequence) = record.sequence_number().parse() else {
                continue;
            };
            let record = Record {
                sequence,
                arrival: Timestamp(0),
                partition_key: record.partition_key().unwrap_or_default().to_owned(),
                data: record.data().clone().into_inner().into(),
            };
            let batch = ShardBatch { shard: ShardId::new(shard), records: vec![record] };
            self.count.records += 1;
            self.count.events += batch.deliveries(&fingerprints).len() as u64;
        }
    }
}

pub(crate) async fn list(client: &Client, name: &str) -> anyhow::Result<Vec<Shard>> {
    let mut shards = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let request = client.list_shards();
        let request = match &token {
            Some(token) => request.next_token(token),
            None => request.stream_name(name),
        };
        let page = request.send().await.with_context(|| format!("cannot list the shards of {name}"))?;
        token = page.next_token().map(str::to_owned);
        shards.extend(page.shards.unwrap_or_default());
        if token.is_none() {
            return Ok(shards);
        }
    }
}

async fn start(client: &Client, name: &str, shard: &str) -> anyhow::Result<Option<String>> {
    let request = client.get_shard_iterator().stream_name(name).shard_id(shard);
    let answer = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    let answer = answer.with_context(|| format!("cannot read shard {shard} of {name}"))?;
    Ok(answer.shard_iterator().map(str::to_owned))
}
