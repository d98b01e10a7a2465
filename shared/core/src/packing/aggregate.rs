//! The aggregated record format of the Kinesis Producer Library.
//!
//! Four magic bytes, a protobuf message, the MD5 of that message:
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.
//! What has the magic and does not hold together is not an aggregate: it is passed on whole, as the KCL does, and no
//! byte of it is lost.
//!
//! An aggregate that was packed here carries a tag, in the field that the format has for tags. It matters where the shards
//! have changed since: an aggregate can land on a shard that not all of its user records belong to. Who writes the tag puts
//! those on their own shard too, so a reader drops them here; other producers do not. (As long as [`pack`](super::pack) puts
//! one key in a record, none of ours is ever on another shard. The tag is there so that it will mean the same then.)

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use md5::{Digest, Md5};
use prost::Message;

use crate::hash::HashKey;
use crate::key::PartitionKey;

/// What every aggregated record begins with.
pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;

/// The key of the tag, which has no value. It is on the first user record: a producer that packs user records again, from
/// here and from elsewhere, would have to put one of ours first to be taken for us.
const TAG: &[u8] = b"penstock";

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    // a string in the format; as bytes, because a tag of others that is not UTF-8 must not spoil the aggregate
    #[prost(bytes = "bytes", required, tag = "1")]
    key: Bytes,
    // `optional string value = 2` is neither written nor read
}

/// An aggregate, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// Whether it carries the tag of what is packed here.
    pub is_ours: bool,
    /// What is in it.
    pub records: Vec<UserRecord>,
}

/// One user record out of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Its partition key.
    pub partition_key: String,
    /// Where it belongs: its explicit hash key, else the hash of its partition key.
    pub hash_key: HashKey,
    /// Its bytes, a view into the record.
    pub data: Bytes,
}

/// Packs bodies, each with its partition key.
pub fn encode<'a>(bodies: impl Iterator<Item = (&'a PartitionKey, &'a [u8])>) -> Bytes {
    let mut message = AggregatedRecord::default();
    let mut places: HashMap<&PartitionKey, u64> = HashMap::new();
    for (key, body) in bodies {
        let next = places.len() as u64;
        let place = *places.entry(key).or_insert_with(|| {
            message.partition_key_table.push(key.as_str().to_owned());
            message.explicit_hash_key_table.push(key.hash_key().to_string());
            next
        });
        let tags = if message.records.is_empty() { vec![Tag { key: Bytes::from_static(TAG) }] } else { Vec::new() };
        message.records.push(Entry {
            partition_key_index: place,
            explicit_hash_key_index: Some(place),
            data: Bytes::copy_from_slice(body),
            tags,
        });
    }
    frame(&message.encode_to_vec())
}

/// The record that holds a message.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(MAGIC.len() + message.len() + DIGEST_BYTES);
    out.put_slice(&MAGIC);
    out.put_slice(message);
    out.put_slice(&Md5::digest(message));
    out.freeze()
}

/// Takes an aggregate apart; `None` when `data` is not one.
pub fn decode(data: &Bytes) -> Option<Aggregate> {
    let body = data.strip_prefix(&MAGIC)?;
    let length = body.len().checked_sub(DIGEST_BYTES)?;
    let (message, digest) = body.split_at(length);
    if Md5::digest(message)[..] != *digest {
        return None;
    }
    let message = AggregatedRecord::decode(data.slice(MAGIC.len()..MAGIC.len() + length)).ok()?;
    let AggregatedRecord { partition_key_table: keys, explicit_hash_key_table: hashes, records } = message;
    // a key has its hash key once in the table, however many records are its
    let hashes: Vec<Option<HashKey>> = hashes.iter().map(|hash| HashKey::parse(hash)).collect();
    let is_ours = records.first().is_some_and(|entry| entry.tags.iter().any(|tag| tag.key == TAG));
    let records = records
        .into_iter()
        .map(|entry| {
            let partition_key = keys.get(usize::try_from(entry.partition_key_index).ok()?)?.clone();
            let hash_key = match entry.explicit_hash_key_index {
                Some(index) => (*hashes.get(usize::try_from(index).ok()?)?)?,
                None => HashKey::of(&partition_key),
            };
            Some(UserRecord { partition_key, hash_key, data: entry.data })
        })
        .collect::<Option<_>>()?;
    Some(Aggregate { is_ours, records })
}

/// At most what an event of `body` bytes adds to an aggregate.
pub(super) fn entry_bytes_max(body: usize) -> usize {
    // tag and length of the entry, its two indices, tag and length of the data
    body + 16
}

/// At most what an aggregate takes besides its entries, the record's own partition key included.
pub(super) fn overhead_max(key: usize) -> usize {
    // magic, digest, the two tables; a hash key has up to 39 digits; the tag, within its field of the first entry
    MAGIC.len() + DIGEST_BYTES + (key + 4) + (39 + 2) + (TAG.len() + 4) + key
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// Two user records under the key "k", made with the reference format's own description by hand.
    #[test]
    fn the_bytes_are_those_of_the_published_format() {
        let key = PartitionKey::new("k").unwrap();
        let hash = key.hash_key().to_string();
        let mut message = vec![0x0a, 1, b'k', 0x12, u8::try_from(hash.len()).unwrap()];
        message.extend(hash.as_bytes());
        message.extend([0x1a, 20, 0x08, 0, 0x10, 0, 0x1a, 2]);
        message.extend(b"{1");
        message.extend([0x22, 10, 0x0a, 8]);
        message.extend(b"penstock");
        message.extend([0x1a, 8, 0x08, 0, 0x10, 0, 0x1a, 2]);
        message.extend(b"{2");
        let mut expected = MAGIC.to_vec();
        expected.extend(&message);
        expected.extend(Md5::digest(&message));
        assert_eq!(encoded(&key, &[b"{1", b"{2"]), expected);
    }

    fn encoded(key: &PartitionKey, bodies: &[&[u8]]) -> Bytes {
        encode(bodies.iter().map(|body| (key, *body)))
    }

    #[test]
    fn keys_are_named_once_and_each_body_keeps_its_own() {
        let [a, b] = ["a", "b"].map(|key| PartitionKey::new(key).unwrap());
        let aggregate = decode(&encode([(&b, b"1".as_slice()), (&a, b"2"), (&b, b"3")].into_iter())).unwrap();
        let user = |key: &PartitionKey, data: &'static str| UserRecord {
            partition_key: key.as_str().to_owned(),
            hash_key: key.hash_key(),
            data: Bytes::from(data),
        };
        assert_eq!(aggregate, Aggregate { is_ours: true, records: vec![user(&b, "1"), user(&a, "2"), user(&b, "3")] });
    }

    #[test]
    fn tags_and_fields_of_others_are_passed_over_and_do_not_pass_for_ours() {
        // the user record "{}" under "k", and behind it what is to be passed over
        let with = |extra: &[u8]| {
            let mut message = vec![0x0a, 1, b'k', 0x1a, u8::try_from(6 + extra.len()).unwrap(), 0x08, 0, 0x1a, 2];
            message.extend(b"{}");
            message.extend(extra);
            let aggregate = decode(&frame(&message)).unwrap();
            assert_eq!((aggregate.records.len(), &aggregate.records[0].data[..]), (1, b"{}".as_slice()));
            aggregate.is_ours
        };
        assert!(with(b"\x22\x0a\x0a\x08penstock"));
        assert!(with(b"\x22\x06\x0a\x01a\x12\x01b\x22\x0a\x0a\x08penstock"), "behind another tag");
        assert!(with(b"\x22\x0d\x0a\x08penstock\x12\x01b"), "a later version may give it a value");
        assert!(!with(b""));
        assert!(!with(b"\x22\x06\x0a\x01a\x12\x01b"), "a tag of others");
        assert!(!with(b"\x22\x03\x0a\x01\xff"), "one that is not text");
        assert!(!with(b"\x22\x0d\x0a\x01a\x12\x08penstock"), "the value of one");
        assert!(!with(b"\x2a\x0a\x0a\x08penstock\x30\x07"), "fields that the format does not have");
    }

    #[test]
    fn the_tag_counts_on_the_first_user_record_alone() {
        let first = [0x1a, 6, 0x08, 0, 0x1a, 2, b'{', b'}'];
        let second = [&[0x1a, 18], &first[2..], &[0x22, 10, 0x0a, 8], TAG].concat();
        let message = [&[0x0a, 1, b'k'], &first[..], &second].concat();
        let aggregate = decode(&frame(&message)).unwrap();
        assert_eq!((aggregate.is_ours, aggregate.records.len()), (false, 2));
    }

    #[test]
    fn what_a_release_has_packed_stays_readable() {
        let golden = BASE64_STANDARD.decode(include_str!("../../../../events/golden/aggregate-1.b64").trim()).unwrap();
        let key = PartitionKey::new("o-1001").unwrap();
        let bodies = ["1", "2"].map(|id| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"t"}}"#));
        let bodies = bodies.each_ref().map(|body| body.as_bytes());
        assert_eq!(encoded(&key, &bodies), golden);
        let Aggregate { is_ours, records } = decode(&golden.into()).unwrap();
        assert!(is_ours);
        assert_eq!(records.iter().map(|user| &user.data[..]).collect::<Vec<_>>(), bodies);
    }

    #[test]
    fn a_body_that_imitates_an_aggregate_is_only_a_payload() {
        let key = PartitionKey::new("k").unwrap();
        let inner = encoded(&key, &[b"evil"]);
        let outer = encoded(&key, &[&inner, b"{}"]);
        assert_eq!(decode(&outer).unwrap().records[0].data, inner);
    }

    proptest! {
        #[test]
        fn bytes_that_do_not_hold_together_are_no_aggregate(data in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
            let data = if magic { [&MAGIC[..], &data].concat() } else { data };
            prop_assert_eq!(decode(&Bytes::from(data)), None);
        }

        #[test]
        fn a_flipped_bit_is_noticed(at in 0usize..1000, bit in 0u8..8) {
            let key = PartitionKey::new("k").unwrap();
            let mut data = encoded(&key, &[b"{\"a\":1}", b"{}"]).to_vec();
            let at = at % data.len();
            data[at] ^= 1 << bit;
            prop_assert_eq!(decode(&Bytes::from(data)), None);
        }
    }
}
