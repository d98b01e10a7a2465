//! Places on the stream: shards, sequence numbers and positions.
//!
//! A sequence number has up to 56 digits here and fits neither a `u128` nor a DynamoDB number, so it is kept as its
//! digits and ordered by length first. Anything that is not 1 to 64 digits is refused at the door: an empty
//! identifier in an answer to Lambda would fail the whole batch.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Digits that a sequence number is padded to where text has to sort as numbers do. Kinesis documents the pattern
/// `0|([1-9]\d{0,128})`; numbers seen have 56 digits.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsResultEntry.html>
const SORTABLE_DIGITS: usize = 64;

/// The sequence number of a record in its shard. It keeps the digits that the stream gave, to ask it with, and is compared as
/// a number: AWS's have no leading zeros, those of some emulators have. Clones share the digits: every position has one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SequenceNumber(Arc<str>);

/// Text that is no sequence number, or no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a {1}")]
pub struct ParseError(String, &'static str);

fn not(text: &str, what: &'static str) -> ParseError {
    ParseError(text.chars().take(140).collect(), what)
}

impl SequenceNumber {
    /// Below every sequence number.
    pub fn zero() -> Self {
        Self("0".into())
    }

    /// The number before it; zero has none and stays zero.
    fn previous(&self) -> Self {
        let mut digits = self.0.as_bytes().to_vec();
        let Some(last) = digits.iter().rposition(|digit| *digit != b'0') else { return Self::zero() };
        digits[last] -= 1;
        digits[last + 1..].fill(b'9');
        let text: String = digits.iter().map(|digit| char::from(*digit)).collect();
        let text = text.trim_start_matches('0');
        if text.is_empty() { Self::zero() } else { Self(text.into()) }
    }

    /// The digits, as the stream gave them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits of the number.
    pub(crate) fn digits(&self) -> &str {
        let zeros = self.0.bytes().take_while(|digit| *digit == b'0').count();
        if zeros == self.0.len() { "0" } else { &self.0[zeros..] }
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.digits() == other.digits()
    }
}

impl Eq for SequenceNumber {}

impl Hash for SequenceNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digits().hash(state);
    }
}

impl FromStr for SequenceNumber {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let sound = (1..=SORTABLE_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if sound { Ok(Self(text.into())) } else { Err(not(text, "sequence number")) }
    }
}

impl TryFrom<String> for SequenceNumber {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<SequenceNumber> for String {
    fn from(number: SequenceNumber) -> Self {
        number.as_str().to_owned()
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (these, those) = (self.digits(), other.digits());
        these.len().cmp(&those.len()).then_with(|| these.cmp(those))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One event's place in its shard: the record, and the event's index inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The record.
    pub sequence: SequenceNumber,
    /// The event's index inside the record, from 0.
    pub index: u32,
}

impl Position {
    /// The place of an event.
    pub fn new(sequence: SequenceNumber, index: u32) -> Self {
        Self { sequence, index }
    }

    /// Below every event.
    pub fn start() -> Self {
        Self { sequence: SequenceNumber::zero(), index: 0 }
    }

    /// The highest position below it: no event is between the two.
    pub fn previous(&self) -> Self {
        match self.index.checked_sub(1) {
            Some(index) => Self { sequence: self.sequence.clone(), index },
            None if self.sequence == SequenceNumber::zero() => Self::start(),
            None => Self { sequence: self.sequence.previous(), index: u32::MAX },
        }
    }

    /// A form that sorts as text the way positions do: what a DynamoDB condition compares.
    pub fn sortable(&self) -> String {
        format!("{:0>SORTABLE_DIGITS$}.{:010}", self.sequence.as_str(), self.index)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.sequence, self.index)
    }
}

impl FromStr for Position {
    type Err = ParseError;

    /// Reads both forms, the plain and the sortable one.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (sequence, index) = text.split_once('.').ok_or_else(|| not(text, "position"))?;
        let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
        let index = if digits { index.parse().ok() } else { None };
        let sequence: SequenceNumber = sequence.parse().map_err(|_| not(text, "position"))?;
        // the sortable form is padded
        let sequence = SequenceNumber(sequence.digits().into());
        index.map(|index| Self { sequence, index }).ok_or_else(|| not(text, "position"))
    }
}

/// The id of a shard, such as `shardId-000000000007`. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// Takes Kinesis's id as it is.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ShardId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<ShardId> for String {
    fn from(id: ShardId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_number_is_refused_at_the_door() {
        for text in ["", " ", "-1", "12a", "١", &"9".repeat(65)] {
            assert!(text.parse::<SequenceNumber>().is_err(), "{text:?}");
        }
        assert_eq!("000".parse::<SequenceNumber>().unwrap(), SequenceNumber::zero());
    }

    #[test]
    fn leading_zeros_are_kept_for_the_stream_and_make_no_other_number() {
        let (padded, plain) = ("0042".parse::<SequenceNumber>().unwrap(), "42".parse::<SequenceNumber>().unwrap());
        assert_eq!((padded.as_str(), &padded, padded.cmp(&plain)), ("0042", &plain, Ordering::Equal));
        assert_eq!(std::collections::HashSet::from([padded.clone(), plain.clone()]).len(), 1);
        let (padded, plain) = (Position::new(padded, 1), Position::new(plain, 1));
        let fingerprints = crate::fingerprint::Fingerprinter::new("k");
        assert_eq!(
            (fingerprints.position(&padded), padded.sortable()),
            (fingerprints.position(&plain), plain.sortable())
        );
    }

    #[test]
    fn longer_is_greater_whatever_the_digits() {
        let small: SequenceNumber = "9999".parse().unwrap();
        let large: SequenceNumber = "10000".parse().unwrap();
        assert!(small < large);
    }

    #[test]
    fn nothing_is_between_a_position_and_the_one_before() {
        let before = |text: &str| text.parse::<Position>().unwrap().previous().to_string();
        assert_eq!(before("12.3"), "12.2");
        for (of, expected) in [("13", "12"), ("1000", "999"), ("1", "0"), ("4960", "4959"), ("2000", "1999")] {
            assert_eq!(before(&format!("{of}.0")), format!("{expected}.{}", u32::MAX));
        }
        assert_eq!(before("0.0"), "0.0");
    }

    proptest! {
        #[test]
        fn sortable_text_sorts_as_positions_do(a in "[0-9]{1,56}", i in any::<u32>(), b in "[0-9]{1,56}", j in any::<u32>()) {
            let a = Position::new(a.parse().unwrap(), i);
            let b = Position::new(b.parse().unwrap(), j);
            prop_assert_eq!(a.cmp(&b), a.sortable().cmp(&b.sortable()));
            prop_assert_eq!(&a.sortable().parse::<Position>().unwrap(), &a);
            prop_assert_eq!(&a.to_string().parse::<Position>().unwrap(), &a);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (text.parse::<Position>(), text.parse::<SequenceNumber>());
        }
    }
}
