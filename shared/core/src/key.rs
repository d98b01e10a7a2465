//! The partition key: what order is kept by.
//!
//! Chosen by the first rule that applies: the `partitionkey` extension; the JSON pointer configured for the event's
//! type, into `data`; `subject`; else a hash of `source` and `id`, for events that ask for no order. Never random: the
//! same event must always reach the same shard, or its duplicate would be looked for in another shard's window.

use std::collections::BTreeMap;
use std::fmt;

use md5::{Digest, Md5};
use serde::Deserialize;

use crate::event::{Data, Event, ExtensionValue, PARTITION_KEY};
use crate::hash::HashKey;

/// What order is kept by: 1 to 256 bytes of text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey(String);

impl PartitionKey {
    /// Takes text that is 1 to 256 bytes long and holds no control character; the bounds of Kinesis are wider:
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html>.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then_some(Self(text))
    }

    /// The key of a record that is on the stream already, whoever put it there and whatever it holds.
    pub fn as_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the key lies in the hash key space.
    pub fn hash_key(&self) -> HashKey {
        HashKey::of(&self.0)
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rules that give an event its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct KeyRules {
    /// Event type to JSON pointer (RFC 6901) into `data`.
    pointers: BTreeMap<String, String>,
}

/// A configured pointer that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}`, the key of type `{kind}`, is not a JSON pointer: it must begin with `/`")]
pub struct PointerError {
    /// The event type.
    pub kind: String,
    /// What was given.
    pub pointer: String,
}

impl TryFrom<BTreeMap<String, String>> for KeyRules {
    type Error = PointerError;

    fn try_from(pointers: BTreeMap<String, String>) -> Result<Self, PointerError> {
        match pointers.iter().find(|(_, pointer)| !pointer.starts_with('/')) {
            Some((kind, pointer)) => Err(PointerError { kind: kind.clone(), pointer: pointer.clone() }),
            None => Ok(Self { pointers }),
        }
    }
}

/// Why an event has no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configured pointer finds nothing.
    #[error("events of this type are ordered by `{0}` in `data`, and this event has nothing there")]
    NotFound(String),
    /// It finds something that is no key.
    #[error(
        "events of this type are ordered by `{0}` in `data`, which must be a string of 1 to 256 bytes or an integer"
    )]
    NotAKey(String),
}

impl Error {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        "invalid_partition_key"
    }

    /// The JSON pointer at fault, from the event's root.
    pub fn pointer(&self) -> String {
        match self {
            Self::NotFound(pointer) | Self::NotAKey(pointer) => format!("/data{pointer}"),
        }
    }
}

impl KeyRules {
    /// The key of `event`.
    ///
    /// # Errors
    /// When a pointer is configured for the event's type and does not lead to a key.
    pub fn key_of(&self, event: &Event) -> Result<PartitionKey, Error> {
        self.key_of_or(event, || None)
    }

    /// The key of `event`; `otherwise` gives the pointer of a type that has none here.
    ///
    /// # Errors
    /// When a pointer is configured for the event's type and does not lead to a key.
    pub fn key_of_or(&self, event: &Event, otherwise: impl FnOnce() -> Option<String>) -> Result<PartitionKey, Error> {
        if let Some(ExtensionValue::String(key)) = event.extension(PARTITION_KEY) {
            // The event's own rules have bounded it.
            return Ok(PartitionKey(key.clone()));
        }
        if let Some(pointer) = self.pointers.get(event.kind()).cloned().or_else(otherwise) {
            return by_pointer(event, &pointer);
        }
        Ok(match event.subject() {
            Some(subject) => PartitionKey(subject.to_owned()),
            None => PartitionKey(unordered(event)),
        })
    }
}

fn by_pointer(event: &Event, pointer: &str) -> Result<PartitionKey, Error> {
    let Some(Data::Json(raw)) = event.data() else {
        return Err(Error::NotFound(pointer.to_owned()));
    };
    let value: serde_json::Value = serde_json::from_str(raw.get()).map_err(|_| Error::NotFound(pointer.to_owned()))?;
    let key = match value.pointer(pointer) {
        None => return Err(Error::NotFound(pointer.to_owned())),
        Some(serde_json::Value::String(text)) => PartitionKey::new(text.as_str()),
        Some(serde_json::Value::Number(number)) if number.is_i64() || number.is_u64() => {
            PartitionKey::new(number.to_string())
        }
        Some(_) => None,
    };
    key.ok_or_else(|| Error::NotAKey(pointer.to_owned()))
}

/// A key for an event that asks for no order: 128 bits of MD5 over source and id, in hex.
fn unordered(event: &Event) -> String {
    let mut hash = Md5::new();
    hash.update((event.source().len() as u64).to_be_bytes());
    hash.update(event.source());
    hash.update(event.id());
    format!("{:032x}", u128::from_be_bytes(hash.finalize().into()))
}

/// The first half of a partition key's Kinesis hash, 16 hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub struct KeyHash<'a>(pub &'a PartitionKey);

impl fmt::Display for KeyHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.hash_key().0 >> 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn event(rest: &str) -> Event {
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{rest}}}"#);
        Event::from_json(&text, &Limits::DEFAULT).unwrap()
    }

    fn rules() -> KeyRules {
        serde_json::from_str(r#"{"t":"/order/id"}"#).unwrap()
    }

    #[test]
    fn the_first_rule_that_applies_gives_the_key() {
        let all = event(r#","partitionkey":"p","subject":"sub","data":{"order":{"id":"o"}}"#);
        assert_eq!(rules().key_of(&all).unwrap().as_str(), "p");
        let pointed = event(r#","subject":"sub","data":{"order":{"id":"o"}}"#);
        assert_eq!(rules().key_of(&pointed).unwrap().as_str(), "o");
        assert_eq!(KeyRules::default().key_of(&pointed).unwrap().as_str(), "sub");
        let bare = event("");
        let key = KeyRules::default().key_of(&bare).unwrap();
        assert_eq!(key, KeyRules::default().key_of(&bare).unwrap());
        assert_eq!(key.as_str().len(), 32);
    }

    #[test]
    fn a_configured_pointer_that_leads_nowhere_is_refused_and_not_passed_over() {
        // falling back to `subject` would put one order's events on two shards
        let error = rules().key_of(&event(r#","subject":"sub","data":{}"#)).unwrap_err();
        assert_eq!((error.code(), error.pointer().as_str()), ("invalid_partition_key", "/data/order/id"));
        assert!(rules().key_of(&event(r#","data":{"order":{"id":{}}}"#)).is_err());
        assert_eq!(rules().key_of(&event(r#","data":{"order":{"id":7}}"#)).unwrap().as_str(), "7");
    }

    #[test]
    fn source_and_id_are_kept_apart_in_the_unordered_key() {
        let of = |source: &str, id: &str| {
            let text = format!(r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"t"}}"#);
            KeyRules::default().key_of(&Event::from_json(&text, &Limits::DEFAULT).unwrap()).unwrap()
        };
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }

    #[test]
    fn a_pointer_without_its_slash_is_a_configuration_error() {
        let error = serde_json::from_str::<KeyRules>(r#"{"t":"order"}"#).unwrap_err().to_string();
        assert!(error.contains("`order`, the key of type `t`, is not a JSON pointer"), "{error}");
    }
}
