//! Packing: which events of a request share a Kinesis record, and how a record is taken apart again.
//!
//! All events of one partition key in a request go into one record, in order, so that a `PutRecords` call that fails
//! in part can never put a key's events out of order. A key with more bytes than a record holds gets several, to be
//! stored one after the other. Records of several events are in the format of the Kinesis Producer Library
//! ([`aggregate`]), which any KCL consumer reads; a single event is its own CloudEvents JSON text.

pub mod aggregate;

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::hash::HashKey;
use crate::key::PartitionKey;

/// The most bytes that a packed record may have, its partition key included. Kinesis's default is 1 MiB:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html>.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// An event on its way to the stream.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What its order is kept by.
    pub key: PartitionKey,
    /// The event as CloudEvents JSON.
    pub body: String,
}

/// A record on its way to the stream.
#[derive(Debug, Clone)]
pub struct PackedRecord {
    /// The key of every event in it.
    pub key: PartitionKey,
    /// The explicit hash key, that of `key`.
    pub hash_key: HashKey,
    /// The record's bytes.
    pub data: Bytes,
    /// The events in it, as indices into what was packed.
    pub events: Vec<usize>,
}

/// The records of one key, to be stored strictly one after the other.
pub type Lane = VecDeque<PackedRecord>;

/// Packs events into records: a lane for each key, in the order of the keys' first events.
pub fn pack(events: &[Outgoing], record_bytes_max: usize) -> Vec<Lane> {
    let mut order: Vec<Vec<usize>> = Vec::new();
    let mut places: HashMap<&PartitionKey, usize> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let place = *places.entry(&event.key).or_insert_with(|| {
            order.push(Vec::new());
            order.len() - 1
        });
        order[place].push(index);
    }
    order.into_iter().map(|indices| pack_key(events, indices, record_bytes_max)).collect()
}

fn pack_key(events: &[Outgoing], indices: Vec<usize>, max: usize) -> Lane {
    let mut lane = Lane::new();
    let mut open: Vec<usize> = Vec::new();
    let mut bytes = 0;
    for index in indices {
        let key_bytes = events[index].key.as_str().len();
        let size = aggregate::entry_bytes_max(events[index].body.len());
        let overhead = aggregate::overhead_max(key_bytes);
        if !open.is_empty() && bytes + size + overhead > max {
            lane.push_back(record(events, std::mem::take(&mut open)));
            bytes = 0;
        }
        bytes += size;
        open.push(index);
    }
    if !open.is_empty() {
        lane.push_back(record(events, open));
    }
    lane
}

fn record(events: &[Outgoing], indices: Vec<usize>) -> PackedRecord {
    let key = events[indices[0]].key.clone();
    let hash_key = key.hash_key();
    let data = match indices.as_slice() {
        [only] => Bytes::from(events[*only].body.clone().into_bytes()),
        several => aggregate::encode(several.iter().map(|i| (&key, events[*i].body.as_bytes()))),
    };
    PackedRecord { key, hash_key, data, events: indices }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::aggregate::decode;
    use super::*;

    fn outgoing(key: &str, body: &str) -> Outgoing {
        Outgoing { key: PartitionKey::new(key).unwrap(), body: body.to_owned() }
    }

    fn bodies(record: &PackedRecord) -> Vec<Vec<u8>> {
        match decode(&record.data) {
            Some(aggregate) => aggregate.records.into_iter().map(|user| user.data.to_vec()).collect(),
            None => vec![record.data.to_vec()],
        }
    }

    #[test]
    fn one_event_travels_as_its_own_text() {
        let lanes = pack(&[outgoing("k", "{}")], RECORD_BYTES_MAX);
        assert_eq!(&lanes[0][0].data[..], b"{}");
    }

    proptest! {
        #[test]
        fn every_event_is_packed_once_in_the_order_of_its_key(
            events in prop::collection::vec(("[abc]", "\\{[a-z]{0,60}"), 0..60), max in 200usize..2000,
        ) {
            let events: Vec<_> = events.iter().map(|(k, b)| outgoing(k, b)).collect();
            let lanes = pack(&events, max);
            let mut seen = vec![0; events.len()];
            for lane in &lanes {
                let mut last = None;
                for record in lane {
                    prop_assert!(record.events.len() == 1 || record.data.len() + record.key.as_str().len() <= max);
                    let expected: Vec<_> = record.events.iter().map(|i| events[*i].body.clone().into_bytes()).collect();
                    prop_assert_eq!(bodies(record), expected);
                    for &index in &record.events {
                        prop_assert!(last < Some(index), "a key's events in order");
                        prop_assert_eq!(&events[index].key, &record.key);
                        last = Some(index);
                        seen[index] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().all(|n| *n == 1));
        }
    }
}
