//! Records that hold events of several keys, of which some belong to another shard: what is left where a producer packed
//! by a shard map that was true a moment ago.

use bytes::Bytes;
use md5::{Digest, Md5};
use penstock::packing::{Outgoing, PackedRecord, aggregate};
use penstock::ports::PutResult;
use penstock::{PartitionKey, Position, SequenceNumber};
use prost::Message;

use crate::work::Kind;
use crate::world::World;
use crate::world::truth::EventRef;

/// Keys from here on are of events that came in such records, and of no others: no order is promised between what two
/// producers put of one key.
const KEYS: u32 = 1_000_000;

/// Keys that are tried to find one for a shard: the narrowest one holds more than a thousandth of all.
const TRIES: u32 = 20_000;

/// Who packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packer {
    /// Penstock, which puts what belongs elsewhere on its own shard as well.
    Penstock,
    /// Another producer, which does not.
    Other,
}

impl World {
    /// Stores a record of new events of these kinds on an open shard, each of a key that belongs there or of one that does
    /// not. Nothing happens while a shard throttles, or while there is only one.
    pub(crate) fn put_aggregate(&mut self, packer: Packer, choice: u64, kinds: &[Kind]) {
        let now = self.agenda.now().0;
        let open: Vec<_> = self.stream.shards.iter().filter(|shard| shard.open).collect();
        if open.len() < 2 || open.iter().any(|shard| now < shard.busy_until) {
            return;
        }
        let range = self.stream.any_open(choice).range;
        let next = self.truth.events.last_key_value().map_or(KEYS, |(event, _)| (event.key + 1).max(KEYS));
        let key = |number| PartitionKey::new(format!("k{number}"));
        let belongs = |number: u32| key(number).is_some_and(|key| range.contains(key.hash_key()));
        let Some(home) = (next..next + TRIES).find(|number| belongs(*number)) else { return };
        let Some(away) = (next..next + TRIES).find(|number| !belongs(*number)) else { return };
        if packer == Packer::Other {
            // some of the key are where they belong already
            let first = (0..(choice >> 4) % 3).map(|_| self.new_event(away, Kind::Plain)).collect::<Vec<_>>();
            let first: Vec<_> = first.into_iter().filter_map(|event| Some((event, self.outgoing(event)?))).collect();
            if !first.is_empty() && self.put_packed(packer, key(away), &first).is_none() {
                return;
            }
        }
        let mut events = Vec::new();
        for (index, kind) in kinds.iter().enumerate() {
            let event = self.new_event(if choice >> (8 + index) & 1 == 1 { away } else { home }, *kind);
            events.extend(self.outgoing(event).map(|outgoing| (event, outgoing)));
        }
        let Some(sequence) = self.put_packed(packer, key(home), &events) else { return };
        if packer == Packer::Other {
            // its shard map is true again, and the next events of the key are where they belong
            events.retain(|(event, _)| event.key == away);
            self.truth.strays.extend(events.iter().map(|(event, _)| *event));
            let next = (0..choice % 3).map(|_| self.new_event(away, Kind::Plain)).collect::<Vec<_>>();
            let next: Vec<_> = next.into_iter().filter_map(|event| Some((event, self.outgoing(event)?))).collect();
            if !next.is_empty() {
                self.put_packed(packer, key(away), &next);
            }
            return;
        }
        if packer == Packer::Penstock {
            let foreign = (0..).zip(&events).filter(|(_, (event, _))| event.key == away);
            foreign.for_each(|(index, _)| self.truth.foreign(Position::new(sequence.clone(), index)));
            events.retain(|(event, _)| event.key == away);
            if !events.is_empty() {
                self.put_packed(packer, key(away), &events);
            }
        }
    }

    /// Puts events as one record on the shard of `key`.
    fn put_packed(
        &mut self,
        packer: Packer,
        key: Option<PartitionKey>,
        events: &[(EventRef, Outgoing)],
    ) -> Option<SequenceNumber> {
        let key = key?;
        let data = match packer {
            Packer::Penstock => penstock_packs(events),
            Packer::Other => another_packs(events),
        };
        let record = PackedRecord { hash_key: key.hash_key(), key, data, events: Vec::new() };
        let (now, names) = (self.agenda.now(), events.iter().map(|(event, _)| *event).collect());
        let verdict = self.stream.put(&record, names, now, 1);
        self.note(|| {
            let names: Vec<_> = events.iter().map(|(event, _)| event.to_string()).collect();
            format!("put packed {}: {verdict:?}", names.join(" "))
        });
        let PutResult::Stored { sequence, .. } = verdict else { return None };
        for (event, _) in events {
            self.saw_put(*event);
            self.accepted(*event);
        }
        Some(sequence)
    }
}

fn penstock_packs(events: &[(EventRef, Outgoing)]) -> Bytes {
    aggregate::encode(events.iter().map(|(_, event)| (&event.key, event.body.as_bytes())))
}

/// The published format, as a producer writes it that knows nothing of Penstock.
fn another_packs(events: &[(EventRef, Outgoing)]) -> Bytes {
    #[derive(Clone, PartialEq, Message)]
    struct Aggregated {
        #[prost(string, repeated, tag = "1")]
        partition_key_table: Vec<String>,
        #[prost(message, repeated, tag = "3")]
        records: Vec<User>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct User {
        #[prost(uint64, required, tag = "1")]
        partition_key_index: u64,
        #[prost(bytes = "vec", required, tag = "3")]
        data: Vec<u8>,
    }
    let user = |(index, (_, event)): (u64, &(EventRef, Outgoing))| User {
        partition_key_index: index,
        data: event.body.as_bytes().to_vec(),
    };
    let message = Aggregated {
        // a key may stand in the table more than once
        partition_key_table: events.iter().map(|(_, event)| event.key.as_str().to_owned()).collect(),
        records: (0..).zip(events).map(user).collect(),
    };
    let message = message.encode_to_vec();
    [&aggregate::MAGIC, &message[..], &Md5::digest(&message)].concat().into()
}
