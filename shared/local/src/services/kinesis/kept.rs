//! What is kept of the stream store: streams with their shards, and records under their sequence numbers.
//!
//! Guarantees: after [`Kept::save`] returned, a store opened from the same file holds every stream and record that the
//! store held, and gives out only sequence numbers above all of theirs. Records past their retention are left out when
//! the file is read, which is also when it is made small again. Not kept: registered consumers, tags and policies.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use ferrokinesis::persistence::PersistentStream;
use ferrokinesis::sequence;
use ferrokinesis::store::Store;
use ferrokinesis::types::{StoredRecord, Stream, StreamStatus};
use serde::{Deserialize, Serialize};

use crate::services::StartError;
use crate::services::clock::now_ms;
use crate::services::journal::{self, Journal};

const SERVICE: &str = "Kinesis";
/// Records that are read or restored in one go.
const CHUNK: usize = 10_000;

#[derive(Serialize, Deserialize)]
enum Entry {
    /// The stream is there and looks like this.
    Stream(Box<PersistentStream>),
    /// The stream was deleted.
    Deleted(String),
    /// The stream has this record; the key is `shard/sequence number`, as the store has it.
    Record(String, String, StoredRecord),
}

/// The journal, and how far it has got.
pub(super) struct Kept {
    journal: Journal,
    streams: HashMap<String, Saved>,
}

/// What the journal has of a stream.
struct Saved {
    /// The stream as it was written last, counters apart.
    shape: String,
    /// The key of the last record, per shard.
    last: Vec<Option<String>>,
}

/// A stream as the journal tells it.
struct Restored {
    stream: PersistentStream,
    records: BTreeMap<String, StoredRecord>,
}

impl Kept {
    /// Restores `store` from the journal at `path` and opens it for more.
    pub(super) async fn open(path: &Path, store: &Store) -> Result<Self, StartError> {
        let mut restored = read(path)?;
        let mut streams = HashMap::new();
        for (name, one) in &mut restored {
            let saved =
                one.restore(store).await.map_err(|reason| StartError::Corrupt { path: path.to_owned(), reason })?;
            streams.insert(name.clone(), saved);
        }
        let journal = Journal::rewrite(path, restored.into_values().flat_map(Restored::entries))?;
        Ok(Self { journal, streams })
    }

    /// Writes down what changed in `store` since the last time. No put may run meanwhile: a record whose number is
    /// below one already written would be passed over. When it cannot be written, the records are taken out of the
    /// store again: they were never there. Changes of a stream stay, and are written down the next time.
    pub(super) async fn save(&mut self, store: &Store) -> io::Result<()> {
        let mut entries = Vec::new();
        let mut streams = HashMap::new();
        for name in store.list_stream_names().await {
            let Ok(mut stream) = store.get_stream(&name).await else {
                continue;
            };
            match stream.stream_status {
                // has no shards yet, or will be gone in a moment
                StreamStatus::Creating | StreamStatus::Deleting => continue,
                // until the change is done the stream is what it was before
                StreamStatus::Active | StreamStatus::Updating => stream.stream_status = StreamStatus::Active,
            }
            let saved = self.streams.get(&name);
            let now = record_stream(store, &name, &stream, saved, &mut entries).await?;
            streams.insert(name, now);
        }
        let gone = self.streams.keys().filter(|name| !streams.contains_key(*name));
        entries.extend(gone.cloned().map(Entry::Deleted));
        let written = self.journal.append(&entries);
        match written {
            Ok(()) => self.streams = streams,
            Err(_) => take_back(store, entries).await,
        }
        written
    }

    /// The journal, for tests of a disk that takes nothing.
    #[cfg(test)]
    pub(super) fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Waits until the disk has all of it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}

/// Takes the records among `entries` out of the store.
async fn take_back(store: &Store, entries: Vec<Entry>) {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries {
        if let Entry::Record(stream, key, _) = entry {
            keys.entry(stream).or_default().push(key);
        }
    }
    for (stream, keys) in keys {
        store.delete_record_keys(&stream, &keys).await;
    }
}

/// Adds what the journal lacks of one stream to `entries`; gives what it then has.
async fn record_stream(
    store: &Store,
    name: &str,
    stream: &Stream,
    saved: Option<&Saved>,
    entries: &mut Vec<Entry>,
) -> io::Result<Saved> {
    let shards = stream.shards.len();
    let shape = serde_json::to_string(&PersistentStream::from_stream(name.to_owned(), stream, Vec::new()))?;
    if saved.is_none_or(|saved| saved.shape != shape) {
        let mut counters = Vec::with_capacity(shards);
        for index in 0..shards {
            counters.push(store.current_shard_seq(name, index as i64).await);
        }
        let stream = PersistentStream::from_stream(name.to_owned(), stream, counters);
        entries.push(Entry::Stream(Box::new(stream)));
    }
    let mut last = saved.map(|saved| saved.last.clone()).unwrap_or_default();
    last.resize(shards, None);
    for (index, last) in last.iter_mut().enumerate() {
        let shard = sequence::shard_ix_to_hex(index as i64);
        loop {
            // a key sorts before itself with anything after it, and every key of the shard before `shard/:`
            let after = last.as_ref().map_or_else(|| format!("{shard}/"), |key| format!("{key}\0"));
            let more = store.get_records_range_limited(name, &after, &format!("{shard}/:"), CHUNK).await;
            let Some((newest, _)) = more.last() else { break };
            *last = Some(newest.clone());
            entries.extend(more.into_iter().map(|(key, record)| Entry::Record(name.to_owned(), key, record)));
        }
    }
    Ok(Saved { shape, last })
}

fn read(path: &Path) -> Result<BTreeMap<String, Restored>, StartError> {
    let mut restored: BTreeMap<String, Restored> = BTreeMap::new();
    let mut orphans = 0_usize;
    journal::replay(path, |entry| match entry {
        Entry::Stream(stream) => match restored.get_mut(&stream.name) {
            Some(one) => one.stream = *stream,
            None => {
                let records = BTreeMap::new();
                restored.insert(stream.name.clone(), Restored { stream: *stream, records });
            }
        },
        Entry::Deleted(name) => {
            restored.remove(&name);
        }
        Entry::Record(name, key, record) => match restored.get_mut(&name) {
            Some(one) => {
                one.records.insert(key, record);
            }
            None => orphans += 1,
        },
    })?;
    if orphans > 0 {
        return Err(StartError::Corrupt {
            path: path.to_owned(),
            reason: format!("{orphans} records belong to no stream"),
        });
    }
    Ok(restored)
}

impl Restored {
    /// Puts the stream and its records into `store`, and moves its counters past every number given out.
    async fn restore(&mut self, store: &Store) -> Result<Saved, String> {
        let last = self.last_records()?;
        self.count(&last)?;
        self.drop_expired();
        let (name, stream, counters) = self.stream.clone().into_parts();
        let refused = |error: ferrokinesis::error::KinesisErrorResponse| {
            format!("{SERVICE} refuses the stream {name}: {error:?}")
        };
        store.put_stream(&name, stream.clone()).await.map_err(refused)?;
        let records: Vec<_> = self.records.iter().map(|(key, record)| (key.clone(), record)).collect();
        for chunk in records.chunks(CHUNK) {
            store.put_records_batch(&name, chunk).await.map_err(refused)?;
        }
        for (shard, target) in stream.shards.iter().zip(counters) {
            if shard.sequence_number_range.ending_sequence_number.is_some() {
                continue;
            }
            let index = sequence::resolve_shard_id(&shard.shard_id).map_err(|error| error.to_string())?.1;
            // the store offers no way to set a counter, only to take numbers from it
            loop {
                let missing = target.saturating_sub(store.current_shard_seq(&name, index).await);
                if missing == 0 {
                    break;
                }
                let hashes = vec![shard.hash_key_range.start_u128(); CHUNK.min(missing as usize)];
                store.allocate_sequences_batch(&name, &hashes).await.map_err(refused)?;
            }
        }
        // an empty shape makes the next save write the stream once more: cheap, and right
        let shape = String::new();
        Ok(Saved { shape, last })
    }

    /// The key of the newest record of each shard.
    fn last_records(&self) -> Result<Vec<Option<String>>, String> {
        let mut last = vec![None; self.stream.shards.len()];
        for key in self.records.keys() {
            let shard = key.split('/').next().and_then(|hex| usize::from_str_radix(hex, 16).ok());
            let last = shard.and_then(|index| last.get_mut(index));
            *last.ok_or_else(|| format!("the record {key} belongs to no shard"))? = Some(key);
        }
        Ok(last.into_iter().map(|key| key.cloned()).collect())
    }

    /// Raises the counters above the newest records: a stream is written when its shape changes, not on every put.
    fn count(&mut self, last: &[Option<String>]) -> Result<(), String> {
        let counters = &mut self.stream.shard_counters;
        counters.resize(last.len(), 1);
        for (counter, key) in counters.iter_mut().zip(last) {
            let Some(key) = key else { continue };
            let number = key.split('/').nth(1).unwrap_or("");
            let number = sequence::parse_sequence(number).map_err(|error| format!("the record {key}: {error}"))?;
            *counter = (*counter).max(number.seq_ix.unwrap_or(0) + 1);
        }
        Ok(())
    }

    fn drop_expired(&mut self) {
        let oldest = now_ms() as f64 / 1000.0 - f64::from(self.stream.retention_period_hours) * 3600.0;
        self.records.retain(|_, record| record.approximate_arrival_timestamp >= oldest);
    }

    fn entries(self) -> impl Iterator<Item = Entry> {
        let name = self.stream.name.clone();
        let records = self.records.into_iter();
        std::iter::once(Entry::Stream(Box::new(self.stream)))
            .chain(records.map(move |(key, record)| Entry::Record(name.clone(), key, record)))
    }
}
