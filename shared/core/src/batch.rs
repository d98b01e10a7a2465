//! A shard's batch: records as Lambda hands them over, and the events in them.

use std::time::Duration;

use bytes::Bytes;
use tracing::Span;

use crate::dead_letter::DeadLetter;
use crate::event::{self, Event};
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::hash::{HashKey, HashRange};
use crate::key::PartitionKey;
use crate::limits::Limits;
use crate::packing::aggregate::{self, Aggregate};
use crate::position::{Position, SequenceNumber, ShardId};
use crate::time::Timestamp;
use crate::{schema, trace};

/// One record of a shard.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its number.
    pub sequence: SequenceNumber,
    /// When it arrived on the stream.
    pub arrival: Timestamp,
    /// Its partition key.
    pub partition_key: String,
    /// Its bytes.
    pub data: Bytes,
}

/// Records of one shard, in its order.
#[derive(Debug, Clone)]
pub struct ShardBatch {
    /// The shard.
    pub shard: ShardId,
    /// The records.
    pub records: Vec<Record>,
}

/// One event of a batch, or what stands in its place.
#[derive(Debug)]
pub struct Delivery {
    /// Its place.
    pub position: Position,
    /// When its record arrived on the stream.
    pub arrival: Timestamp,
    /// What its order is kept by.
    pub key: PartitionKey,
    /// Where it belongs, if it came in an aggregate: one can land on a shard that not all of it belongs to.
    pub hash_key: Option<HashKey>,
    /// Penstock packed the aggregate, and puts what does not belong here on its own shard as well. Other producers do not:
    /// what they put here is nowhere else.
    pub is_ours: bool,
    /// Its bytes as stored.
    pub data: Bytes,
    /// The event, or why it is none.
    pub content: Result<Content, NotAnEvent>,
    /// How often its handler has asked for a retry, as far as it is known.
    pub failures: u32,
    /// The span of its way through a group; none unless its trace is collected.
    pub span: Span,
}

/// An event and its fingerprint.
#[derive(Debug)]
pub struct Content {
    /// The event.
    pub event: Event,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// Why bytes on the stream are no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// Not even text.
    #[error("the record is not UTF-8 text: byte {0} is invalid")]
    NotText(usize),
    /// Its partition key is none that Kinesis would take.
    #[error("the partition key inside the aggregate has {0} characters; Kinesis takes 1 to 256")]
    Key(usize),
    /// Text, but no CloudEvent.
    #[error(transparent)]
    Event(#[from] event::Error),
}

impl ShardBatch {
    /// Takes the records apart into events, in the order of the shard.
    pub fn deliveries(&self, fingerprints: &Fingerprinter) -> Vec<Delivery> {
        let mut deliveries = Vec::with_capacity(self.records.len());
        for record in &self.records {
            match aggregate::decode(&record.data) {
                None => {
                    let key = PartitionKey::as_stored(&record.partition_key);
                    deliveries.push(delivery(record, 0, key, (None, false), record.data.clone(), fingerprints));
                }
                Some(Aggregate { is_ours, records: users }) => {
                    for (index, user) in (0..).zip(users) {
                        let characters = user.partition_key.chars().count();
                        let sound = (1..=256).contains(&characters);
                        let key = if sound { &user.partition_key } else { &record.partition_key };
                        let (key, belongs) = (PartitionKey::as_stored(key), (Some(user.hash_key), is_ours));
                        let mut delivery = delivery(record, index, key, belongs, user.data, fingerprints);
                        if !sound {
                            delivery.content = Err(NotAnEvent::Key(characters));
                        }
                        deliveries.push(delivery);
                    }
                }
            }
        }
        deliveries
    }
}

/// How long ago what was settled can be, seen from a record: clocks differ, and records carry Kinesis's time.
pub(crate) const CLOCKS_DIFFER: Duration = Duration::from_secs(10);

impl Delivery {
    /// Whether it is to be dropped on a shard that holds `range`: it belongs elsewhere, and is there too.
    pub(crate) fn is_foreign(&self, range: HashRange) -> bool {
        self.is_ours && self.is_outside(range)
    }

    /// Whether it belongs elsewhere on a shard that holds `range`, and is only here: its position says nothing of its place
    /// among the events of its key.
    pub(crate) fn is_stray(&self, range: HashRange) -> bool {
        !self.is_ours && self.is_outside(range)
    }

    fn is_outside(&self, range: HashRange) -> bool {
        self.hash_key.is_some_and(|hash_key| !range.contains(hash_key))
    }

    /// A dead letter's event, as it was delivered.
    pub(crate) fn of_letter(letter: &DeadLetter, fingerprints: &Fingerprinter) -> Self {
        let content = read(&letter.data).map(|event| Content { fingerprint: fingerprints.event(&event), event });
        Self {
            position: letter.position.clone(),
            arrival: letter.arrival,
            key: PartitionKey::as_stored(&letter.partition_key),
            hash_key: None,
            is_ours: false,
            data: letter.data.clone(),
            content,
            failures: letter.attempts,
            span: Span::none(),
        }
    }
}

fn delivery(
    record: &Record,
    index: u32,
    key: PartitionKey,
    (hash_key, is_ours): (Option<HashKey>, bool),
    data: Bytes,
    fingerprints: &Fingerprinter,
) -> Delivery {
    let position = Position::new(record.sequence.clone(), index);
    let content = read(&data).map(|event| Content { fingerprint: fingerprints.event(&event), event });
    Delivery {
        position,
        arrival: record.arrival,
        key,
        hash_key,
        is_ours,
        data,
        content,
        failures: 0,
        span: Span::none(),
    }
}

/// The bounds of what is on the stream. Other producers put events there too, whose size Kinesis bounds; the edge adds
/// extensions of its own. The rest is as at the edge.
const STORED: Limits = Limits {
    event_bytes: 10 * 1024 * 1024,
    extensions: Limits::DEFAULT.extensions + trace::EXTENSIONS + schema::EXTENSIONS,
    ..Limits::DEFAULT
};

fn read(data: &[u8]) -> Result<Event, NotAnEvent> {
    let text = std::str::from_utf8(data).map_err(|error| NotAnEvent::NotText(error.valid_up_to()))?;
    Ok(Event::from_json(text, &STORED)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: &str, data: impl Into<Bytes>) -> Record {
        Record {
            sequence: sequence.parse().unwrap(),
            arrival: Timestamp(1),
            partition_key: "k".into(),
            data: data.into(),
        }
    }

    #[test]
    fn garbage_and_events_come_out_in_the_order_of_the_shard() {
        let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
        let key = PartitionKey::new("p").unwrap();
        let packed = aggregate::encode([(&key, event.as_bytes()), (&key, b"junk")].into_iter());
        let batch = ShardBatch {
            shard: ShardId::new("shardId-000000000000"),
            records: vec![record("1", vec![0xff, 0xfe]), record("2", packed), record("3", event)],
        };
        let deliveries = batch.deliveries(&Fingerprinter::new("x"));
        let shown: Vec<_> = deliveries
            .iter()
            .map(|d| (d.position.to_string(), d.key.as_str().to_owned(), d.content.is_ok(), d.hash_key.is_some()))
            .collect();
        let expected = [
            ("1.0", "k", false, false),
            ("2.0", "p", true, true),
            ("2.1", "p", false, true),
            ("3.0", "k", true, false),
        ];
        assert_eq!(shown, expected.map(|(p, k, ok, packed)| (p.to_owned(), k.to_owned(), ok, packed)));
        assert_eq!(&deliveries[0].data[..], [0xff, 0xfe]);
    }

    #[test]
    fn an_event_with_all_that_the_edge_adds_is_read() {
        let sent = (0..Limits::DEFAULT.extensions).map(|n| format!(r#","e{n}":1"#)).collect::<String>();
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{sent}}}"#);
        let mut event = Event::from_json(&text, &Limits::DEFAULT).unwrap();
        let trace = trace::TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        event.set_trace(&trace, Some("a=1"));
        event.set_judged(Some(schema::Judged { version: 2, readable_from: 1 }));
        read(event.to_json().as_bytes()).unwrap();
    }

    #[test]
    fn only_what_penstock_packed_is_ever_foreign() {
        let [here, elsewhere] = ["a", "b"].map(|key| PartitionKey::new(key).unwrap());
        let range = HashRange { start: here.hash_key(), end: here.hash_key() };
        let ours = aggregate::encode([(&here, b"1".as_slice()), (&elsewhere, b"2")].into_iter());
        // the same two, as the KPL would pack them
        let tables = [0x0a, 1, b'a', 0x0a, 1, b'b'];
        let users = [[0x1a, 5, 0x08, 0, 0x1a, 1, b'1'], [0x1a, 5, 0x08, 1, 0x1a, 1, b'2']];
        let theirs = aggregate::frame(&[&tables, users.as_flattened()].concat());
        let records = vec![record("1", ours), record("2", theirs), record("3", "not packed")];
        let batch = ShardBatch { shard: ShardId::new("shardId-000000000000"), records };
        let deliveries = batch.deliveries(&Fingerprinter::new("x"));
        let foreign: Vec<_> = deliveries.iter().map(|d| (d.key.as_str(), d.is_foreign(range))).collect();
        assert_eq!(foreign, [("a", false), ("b", true), ("a", false), ("b", false), ("k", false)]);
        assert!(deliveries.iter().all(|d| !d.is_foreign(HashRange::ALL)));
    }
}
