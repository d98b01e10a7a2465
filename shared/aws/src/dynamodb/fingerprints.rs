//! A set of fingerprints as bytes, about 7 for each: DynamoDB counts a write by the kilobyte, and a segment of 500 events
//! fits four of them so and not with 8 bytes each.
//!
//! Sorted, and the differences in Rice coding (Rice and Plaunt, 1971): a difference is its high bits in unary, a zero,
//! and its low `k` bits. Random fingerprints differ by about 2^64 / n, and `k` is chosen for that. The form is: `k` (one
//! byte), n (four bytes, big-endian), the bits, zeros up to the next byte.

use penstock::fingerprint::Fingerprint;

/// Bytes before the bits.
const HEADER: usize = 5;

/// The set as bytes; nothing for an empty one.
pub(super) fn pack(fingerprints: &[Fingerprint]) -> Vec<u8> {
    let mut sorted: Vec<u64> = fingerprints.iter().map(|fingerprint| fingerprint.0).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let Some(n) = u32::try_from(sorted.len()).ok().filter(|n| *n > 0) else { return Vec::new() };
    let k = n.leading_zeros() + 31;
    let k = u8::try_from(k.min(63)).unwrap_or(63);
    let mut bits = Bits { bytes: Vec::with_capacity(HEADER + sorted.len() * 8), free: 0 };
    bits.bytes.push(k);
    bits.bytes.extend(n.to_be_bytes());
    let mut last = 0;
    for value in sorted {
        let difference = value - last;
        last = value;
        for _ in 0..difference >> k {
            bits.push(1, 1);
        }
        bits.push(0, 1);
        bits.push(difference & ((1 << k) - 1), k);
    }
    bits.bytes
}

/// The set, sorted; `None` if the bytes are none.
pub(super) fn unpack(bytes: &[u8]) -> Option<Vec<Fingerprint>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let (header, bits) = bytes.split_at_checked(HEADER)?;
    let (k, n) = (header[0], u32::from_be_bytes(header[1..].try_into().ok()?));
    // each takes more than k bits
    if k > 63 || u64::from(n) * (u64::from(k) + 1) > bits.len() as u64 * 8 {
        return None;
    }
    let mut next = bits.iter().flat_map(|byte| (0..8).rev().map(move |place| u64::from(byte >> place & 1)));
    let mut last: u64 = 0;
    let mut found = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let mut high: u64 = 0;
        while next.next()? == 1 {
            high += 1;
        }
        let mut low = 0;
        for _ in 0..k {
            low = low << 1 | next.next()?;
        }
        let difference = high.checked_shl(k.into()).filter(|shifted| shifted >> k == high)? | low;
        last = last.checked_add(difference)?;
        found.push(Fingerprint(last));
    }
    Some(found)
}

struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are free.
    free: u8,
}

impl Bits {
    /// Appends the lowest `count` bits of `value`, the highest first.
    fn push(&mut self, value: u64, mut count: u8) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = count.min(self.free);
            let part = value >> (count - now) & ((1 << now) - 1);
            self.free -= now;
            count -= now;
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::try_from(part << self.free).unwrap_or(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(values: impl IntoIterator<Item = u64>) -> Vec<Fingerprint> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        values.into_iter().map(Fingerprint).collect()
    }

    #[test]
    fn the_ends_and_the_empty_set_read_back() {
        for values in [vec![], vec![0], vec![u64::MAX], vec![0, u64::MAX], vec![0, 1, 2, u64::MAX - 1, u64::MAX]] {
            let set = set(values);
            assert_eq!(unpack(&pack(&set)), Some(set));
        }
    }

    #[test]
    fn five_hundred_take_seven_bytes_each() {
        let set = set((1..=500_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        assert!(pack(&set).len() < 500 * 73 / 10, "{}", pack(&set).len());
    }

    proptest! {
        #[test]
        fn any_set_reads_back(values in prop::collection::vec(any::<u64>(), 0..600), near in prop::collection::vec(0_u64..50, 0..50)) {
            let set = set(values.into_iter().chain(near));
            prop_assert_eq!(unpack(&pack(&set)), Some(set));
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(unpack(&bytes));
        }
    }
}
