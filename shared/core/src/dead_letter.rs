//! Dead letters: events that a group could not handle, with their bytes, their place and the reason.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::position::{Position, SequenceNumber, ShardId};
use crate::time::Timestamp;

/// The version of the message format.
const VERSION: u32 = 1;

/// Why an event was dead-lettered. The text form is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The bytes on the stream are no CloudEvent.
    NotAnEvent,
    /// The handler or the projection refused it.
    Refused,
    /// Its data has a version of its type's schema that the group does not understand.
    #[serde(rename = "schema.unknown_version")]
    UnknownVersion,
    /// With it, the state of its key would take more bytes than one can have.
    StateTooLarge,
    /// The handler asked for a retry until the limit.
    RetriesExhausted,
    /// Runs ended without a word while this event was being handled alone; it was not handled again.
    Crashed,
    /// The event source stopped handing its record out: it had become too old, or was retried too often.
    GivenUp,
    /// It was sent back after a later event of its key had been. Sent back once more, it is handled all the same.
    Overtaken,
    /// The event source had given up on it, as above, and its record was gone from the stream before it could be read back: there are no bytes.
    Expired,
}

impl Code {
    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnEvent => "not_an_event",
            Self::Refused => "refused",
            Self::UnknownVersion => "schema.unknown_version",
            Self::StateTooLarge => "state_too_large",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Crashed => "crashed",
            Self::GivenUp => "given_up",
            Self::Overtaken => "overtaken",
            Self::Expired => "expired",
        }
    }
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The group that could not handle it.
    pub group: String,
    /// The stream's name.
    pub stream: String,
    /// The shard.
    pub shard: ShardId,
    /// The event's place.
    pub position: Position,
    /// The partition key of the record.
    pub partition_key: String,
    /// When the record arrived on the stream.
    pub arrival: Timestamp,
    /// When it was dead-lettered.
    pub at: Timestamp,
    /// How often the event was handled.
    pub attempts: u32,
    /// Why.
    pub code: Code,
    /// Why, for people.
    pub reason: String,
    /// It came back as [`Code::Overtaken`] once: whoever sends it back again wants it handled all the same.
    pub overtaken: bool,
    /// The event as it was stored, untouched.
    pub data: Bytes,
}

/// One message of the dead-letter queue. An event of more bytes than a message holds takes several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Format version, 1.
    pub version: u32,
    /// See [`DeadLetter`], as are the next ones.
    pub group: String,
    /// The stream's name.
    pub stream: String,
    /// The shard.
    pub shard: ShardId,
    /// The record.
    pub sequence: SequenceNumber,
    /// The event's index inside the record.
    pub index: u32,
    /// The partition key of the record.
    pub partition_key: String,
    /// Milliseconds since the epoch.
    pub arrival_ms: u64,
    /// Milliseconds since the epoch.
    pub dead_lettered_ms: u64,
    /// How often the event was handled.
    pub attempts: u32,
    /// Why.
    pub code: Code,
    /// Why, for people.
    pub reason: String,
    /// It came back as [`Code::Overtaken`] once. Left out if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overtaken: bool,
    /// Which part of the event's bytes this is, from 1.
    pub part: usize,
    /// How many parts there are.
    pub parts: usize,
    /// The bytes, or a part of them.
    pub data_base64: String,
}

/// Bytes of a reason that are kept: a handler's error can quote a whole response.
const REASON_BYTES_MAX: usize = 2048;

/// What a message takes besides the data: bounded fields, JSON names, escapes.
const ENVELOPE_BYTES: usize = 16 * 1024;

impl DeadLetter {
    /// The messages that carry the letter, none longer than `message_bytes_max`.
    pub fn messages(&self, message_bytes_max: usize) -> Vec<Message> {
        let room = message_bytes_max.saturating_sub(ENVELOPE_BYTES).max(4) / 4 * 3;
        let chunks: Vec<&[u8]> = if self.data.is_empty() { vec![&[]] } else { self.data.chunks(room).collect() };
        let parts = chunks.len();
        let message = |(number, chunk): (usize, &[u8])| Message {
            version: VERSION,
            group: self.group.clone(),
            stream: self.stream.clone(),
            shard: self.shard.clone(),
            sequence: self.position.sequence.clone(),
            index: self.position.index,
            partition_key: self.partition_key.clone(),
            arrival_ms: self.arrival.0,
            dead_lettered_ms: self.at.0,
            attempts: self.attempts,
            code: self.code,
            reason: truncate(&self.reason, REASON_BYTES_MAX),
            overtaken: self.overtaken,
            part: number + 1,
            parts,
            data_base64: BASE64_STANDARD.encode(chunk),
        };
        chunks.into_iter().enumerate().map(message).collect()
    }
}

/// A letter that came back in one or more messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The letter.
    pub letter: DeadLetter,
    /// The messages that carry it, by their indices.
    pub messages: Vec<usize>,
}

/// Why a message carries no letter that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not in the format.
    #[error("not a dead letter: {0}")]
    Format(String),
    /// A later release wrote it.
    #[error("a dead letter of version {0}; this release reads version {VERSION}")]
    Version(u32),
    /// Another group gave the event up.
    #[error("a dead letter of the group {0}")]
    Group(String),
    /// The event's other parts are in other messages, which are not here.
    #[error("part {part} of {parts}, and not all of them are here")]
    Incomplete {
        /// Which part it is.
        part: usize,
        /// How many there are.
        parts: usize,
    },
}

/// Puts the letters of `group` together from the bodies of messages. Every message ends in a letter or as unreadable.
pub fn assemble(bodies: &[&str], group: &str) -> (Vec<Assembled>, Vec<(usize, Unreadable)>) {
    type Parts = BTreeMap<usize, (usize, Message, Vec<u8>)>;
    let mut letters: BTreeMap<(ShardId, SequenceNumber, u32, u64, usize), Parts> = BTreeMap::new();
    let mut unreadable = Vec::new();
    let mut copies: Vec<(usize, Message, Vec<u8>)> = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        match read(body, group) {
            Ok((message, data)) => {
                let (shard, sequence) = (message.shard.clone(), message.sequence.clone());
                let place = (shard, sequence, message.index, message.dead_lettered_ms, message.parts);
                let parts = letters.entry(place).or_default();
                match parts.entry(message.part) {
                    Entry::Vacant(free) => _ = free.insert((index, message, data)),
                    // SQS may deliver a message twice
                    Entry::Occupied(_) => copies.push((index, message, data)),
                }
            }
            Err(why) => unreadable.push((index, why)),
        }
    }
    let mut assembled = Vec::new();
    let single = copies.into_iter().map(|copy| BTreeMap::from([(copy.1.part, copy)]));
    for parts in letters.into_values().chain(single) {
        let whole = parts.values().next().is_some_and(|(_, first, _)| parts.len() == first.parts);
        if !whole {
            let missing = |(index, message, _): &(usize, Message, Vec<u8>)| {
                (*index, Unreadable::Incomplete { part: message.part, parts: message.parts })
            };
            unreadable.extend(parts.values().map(missing));
            continue;
        }
        let messages = parts.values().map(|(index, ..)| *index).collect();
        let data: Vec<u8> = parts.values().flat_map(|(.., data)| data.iter().copied()).collect();
        let Some((_, (_, first, _))) = parts.into_iter().next() else { continue };
        let letter = DeadLetter {
            group: first.group,
            stream: first.stream,
            shard: first.shard,
            position: Position::new(first.sequence, first.index),
            partition_key: first.partition_key,
            arrival: Timestamp(first.arrival_ms),
            at: Timestamp(first.dead_lettered_ms),
            attempts: first.attempts,
            code: first.code,
            reason: first.reason,
            overtaken: first.overtaken,
            data: data.into(),
        };
        assembled.push(Assembled { letter, messages });
    }
    (assembled, unreadable)
}

fn read(body: &str, group: &str) -> Result<(Message, Vec<u8>), Unreadable> {
    let format = |error: &dyn std::fmt::Display| Unreadable::Format(error.to_string());
    let message: Message = serde_json::from_str(body).map_err(|error| format(&error))?;
    if message.version != VERSION {
        return Err(Unreadable::Version(message.version));
    }
    if message.group != group {
        return Err(Unreadable::Group(message.group));
    }
    let data = BASE64_STANDARD.decode(&message.data_base64).map_err(|error| format(&error))?;
    Ok((message, data))
}

fn truncate(text: &str, max: usize) -> String {
    let end = (0..=max.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(bytes: usize) -> DeadLetter {
        DeadLetter {
            group: "g".into(),
            stream: "s".into(),
            shard: ShardId::new("shardId-000000000000"),
            position: "495.3".parse().unwrap(),
            partition_key: "é".repeat(256),
            arrival: Timestamp(1),
            at: Timestamp(2),
            attempts: 3,
            code: Code::Refused,
            reason: "\u{1}é".repeat(5000),
            overtaken: bytes == 1,
            data: Bytes::from((0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect::<Vec<_>>()),
        }
    }

    #[test]
    fn no_message_outgrows_the_queue_and_no_byte_is_lost() {
        let max = 64 * 1024;
        for bytes in [0, 1, 36_864, 36_865, 1024 * 1024] {
            let letter = letter(bytes);
            let messages = letter.messages(max);
            let mut data = Vec::new();
            for (i, message) in messages.iter().enumerate() {
                let text = serde_json::to_string(message).unwrap();
                assert!(text.len() <= max, "{}", text.len());
                assert_eq!((message.part, message.parts), (i + 1, messages.len()));
                assert_eq!(&serde_json::from_str::<Message>(&text).unwrap(), message);
                data.extend(BASE64_STANDARD.decode(&message.data_base64).unwrap());
            }
            assert_eq!(data, letter.data);
            let mut bodies: Vec<_> = messages.iter().map(|message| serde_json::to_string(message).unwrap()).collect();
            bodies.reverse();
            let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
            let (assembled, unreadable) = assemble(&bodies, "g");
            assert_eq!(unreadable, []);
            let [Assembled { letter: again, messages }] = &assembled[..] else { panic!("{assembled:?}") };
            assert_eq!((&again.data, &again.position, messages.len()), (&letter.data, &letter.position, bodies.len()));
            assert_eq!(again.overtaken, letter.overtaken);
        }
    }

    #[test]
    fn a_message_that_is_no_letter_of_the_group_is_named() {
        let bodies: Vec<_> = letter(2 * 1024 * 1024).messages(64 * 1024);
        let part = serde_json::to_string(&bodies[1]).unwrap();
        let later = part.replacen("\"version\":1", "\"version\":2", 1);
        let bodies = [part.as_str(), "{}", later.as_str()];
        let shown = |group| -> Vec<_> {
            assemble(&bodies, group).1.iter().map(|(index, why)| format!("{index}: {why}")).collect()
        };
        let incomplete = "0: part 2 of 57, and not all of them are here";
        let expected = [
            "1: not a dead letter: missing field `version` at line 1 column 2",
            "2: a dead letter of version 2; this release reads version 1",
        ];
        assert_eq!(shown("g"), [expected[0], expected[1], incomplete]);
        assert_eq!(shown("h")[0], "0: a dead letter of the group g");
    }

    #[test]
    fn version_1_is_read_and_written() {
        let golden = include_str!("../../../events/golden/dead-letter-1.json");
        let message: Message = serde_json::from_str(golden).unwrap();
        assert_eq!((message.version, message.code, message.index), (VERSION, Code::Refused, 1));
        let again = serde_json::to_string_pretty(&message).unwrap() + "\n";
        assert_eq!(again, golden);
    }

    #[test]
    fn codes_are_stable_text() {
        let codes = [
            Code::NotAnEvent,
            Code::Refused,
            Code::StateTooLarge,
            Code::RetriesExhausted,
            Code::Crashed,
            Code::GivenUp,
            Code::Overtaken,
            Code::Expired,
        ];
        for code in codes {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
