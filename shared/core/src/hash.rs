//! Where a key lies: the 128-bit hash key space that Kinesis shards divide between them.

use std::fmt;

use md5::{Digest, Md5};

/// A point of the hash key space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The hash key that Kinesis gives a partition key: the MD5 of its UTF-8 bytes, as a big-endian number.
    /// <https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html#partition-key>
    pub fn of(partition_key: &str) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into()))
    }

    /// Reads the decimal form of the Kinesis API (`ExplicitHashKey`, `StartingHashKey`).
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The hash keys that one shard holds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRange {
    /// The lowest.
    pub start: HashKey,
    /// The highest.
    pub end: HashKey,
}

impl HashRange {
    /// The whole key space.
    pub const ALL: Self = Self { start: HashKey(0), end: HashKey(u128::MAX) };

    /// Whether `key` lies in it.
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_key_hashes_as_rfc_1321_says() {
        // RFC 1321, A.5: MD5("a") = 0cc175b9c0f1b6a831c399e269772661
        assert_eq!(HashKey::of("a"), HashKey(0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661));
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let range = HashRange { start: HashKey(5), end: HashKey(7) };
        assert_eq!([4, 5, 7, 8].map(|n| range.contains(HashKey(n))), [false, true, true, false]);
        assert!(HashKey::parse("340282366920938463463374607431768211455").is_some_and(|k| HashRange::ALL.contains(k)));
        assert_eq!(HashKey::parse("-1"), None);
    }
}
