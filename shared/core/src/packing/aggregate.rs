//! The aggregated record format of the Kinesis Producer Library.
//!
//! Four magic bytes, a protobuf message, the MD5 of that message:
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.
//! What has the magic and does not hold together is not an aggregate: it is passed on whole, as the KCL does, and no
//! byte of it is lost.

use bytes::{BufMut, Bytes, BytesMut};
use md5::{Digest, Md5};
use prost::Message;

use crate::hash::HashKey;
use crate::key::PartitionKey;

/// What every aggregated record begins with.
pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;

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

/// Packs bodies that share a partition key.
pub fn encode<'a>(key: &PartitionKey, bodies: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let message = AggregatedRecord {
        partition_key_table: vec![key.as_str().to_owned()],
        explicit_hash_key_table: vec![key.hash_key().to_string()],
        records: bodies
            .map(|body| Entry {
                partition_key_index: 0,
                explicit_hash_key_index: Some(0),
                data: Bytes::copy_from_slice(body),
            })
            .collect(),
    };
    let mut out = BytesMut::with_capacity(MAGIC.len() + message.encoded_len() + DIGEST_BYTES);
    out.put_slice(&MAGIC);
    out.put_slice(&message.encode_to_vec());
    let digest = Md5::digest(&out[MAGIC.len()..]);
    out.put_slice(&digest);
    out.freeze()
}

/// Takes an aggregate apart; `None` when `data` is not one.
pub fn decode(data: &Bytes) -> Option<Vec<UserRecord>> {
    let body = data.strip_prefix(&MAGIC)?;
    let length = body.len().checked_sub(DIGEST_BYTES)?;
    let (message, digest) = body.split_at(length);
    if Md5::digest(message)[..] != *digest {
        return None;
    }
    let message = AggregatedRecord::decode(data.slice(MAGIC.len()..MAGIC.len() + length)).ok()?;
    let AggregatedRecord { partition_key_table: keys, explicit_hash_key_table: hashes, records } = message;
    records
        .into_iter()
        .map(|entry| {
            let partition_key = keys.get(usize::try_from(entry.partition_key_index).ok()?)?.clone();
            let hash_key = match entry.explicit_hash_key_index {
                Some(index) => HashKey::parse(hashes.get(usize::try_from(index).ok()?)?)?,
                None => HashKey::of(&partition_key),
            };
            Some(UserRecord { partition_key, hash_key, data: entry.data })
        })
        .collect()
}

/// At most what an event of `body` bytes adds to an aggregate.
pub(super) fn entry_bytes_max(body: usize) -> usize {
    // tag and length of the entry, its two indices, tag and length of the data
    body + 16
}

/// At most what an aggregate takes besides its entries, the record's own partition key included.
pub(super) fn overhead_max(key: usize) -> usize {
    // magic, digest, the two tables; a hash key has up to 39 digits
    MAGIC.len() + DIGEST_BYTES + (key + 4) + (39 + 2) + key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two user records under the key "k", made with the reference format's own description by hand.
    #[test]
    fn the_bytes_are_those_of_the_published_format() {
        let key = PartitionKey::new("k").unwrap();
        let hash = key.hash_key().to_string();
        let mut message = vec![0x0a, 1, b'k', 0x12, u8::try_from(hash.len()).unwrap()];
        message.extend(hash.as_bytes());
        for body in [b"{1", b"{2"] {
            message.extend([0x1a, 8, 0x08, 0, 0x10, 0, 0x1a, 2]);
            message.extend(body);
        }
        let mut expected = MAGIC.to_vec();
        expected.extend(&message);
        expected.extend(Md5::digest(&message));
        let encoded = encode(&key, [b"{1".as_slice(), b"{2"].into_iter());
        assert_eq!(encoded, expected);
    }

    #[test]
    fn a_body_that_imitates_an_aggregate_is_only_a_payload() {
        let key = PartitionKey::new("k").unwrap();
        let inner = encode(&key, [b"evil".as_slice()].into_iter());
        let outer = encode(&key, [inner.as_ref(), b"{}"].into_iter());
        assert_eq!(decode(&outer).unwrap()[0].data, inner);
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
            let mut data = encode(&key, [b"{\"a\":1}".as_slice(), b"{}"].into_iter()).to_vec();
            let at = at % data.len();
            data[at] ^= 1 << bit;
            prop_assert_eq!(decode(&Bytes::from(data)), None);
        }
    }
}
