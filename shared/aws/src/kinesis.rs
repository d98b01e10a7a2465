//! Kinesis, as the core's [`Stream`] and [`Shards`].

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry, Shard};
use penstock::ShardId;
use penstock::hash::{HashKey, HashRange};
use penstock::packing::PackedRecord;
use penstock::ports::{Error, Lineage, Shards, Stream, Verdict};

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
    async fn put(&self, records: &[PackedRecord]) -> Result<Vec<Verdict>, Error> {
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

fn verdict(entry: &PutRecordsResultEntry) -> Verdict {
    match (entry.error_code(), entry.shard_id(), entry.sequence_number()) {
        (None, Some(shard), Some(sequence)) => match sequence.parse() {
            Ok(sequence) => Verdict::Stored { shard: ShardId::new(shard), sequence },
            Err(error) => Verdict::Failed(error.to_string()),
        },
        (Some("ProvisionedThroughputExceededException"), ..) => Verdict::Throttled,
        (code, ..) => {
            let code = code.unwrap_or("neither an error nor a sequence number");
            Verdict::Failed(format!("{code}: {}", entry.error_message().unwrap_or("no message")))
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

    async fn list(&self) -> Result<Vec<Shard>, Error> {
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
    async fn lineage(&self, shard: &ShardId) -> Result<Lineage, Error> {
        let all = self.list().await?;
        let Some(this) = all.iter().find(|other| other.shard_id() == shard.as_str()) else {
            return Err(Error::Refused(format!("stream {} has no shard {shard}", self.name)));
        };
        let damaged = || Error::Damaged(format!("ListShards: shard {shard} has no hash key range"));
        let range = this.hash_key_range().ok_or_else(damaged)?;
        let start = HashKey::parse(range.starting_hash_key()).ok_or_else(damaged)?;
        let end = HashKey::parse(range.ending_hash_key()).ok_or_else(damaged)?;
        let mut ancestors: Vec<ShardId> = Vec::new();
        let mut open = vec![this];
        while let Some(shard) = open.pop() {
            for parent in [shard.parent_shard_id(), shard.adjacent_parent_shard_id()].into_iter().flatten() {
                // one that is past the stream's retention has no window left either
                let found = all.iter().find(|other| other.shard_id() == parent);
                if let Some(found) = found.filter(|_| !ancestors.iter().any(|known| known.as_str() == parent)) {
                    ancestors.push(ShardId::new(parent));
                    open.push(found);
                }
            }
        }
        Ok(Lineage { ancestors, range: HashRange { start, end } })
    }
}
