//! Reading items: every attribute that is missing or of another type is named.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock::Position;
use penstock::fingerprint::Fingerprint;
use penstock::ports::Error;

use super::fingerprints;

/// An item under a table's format.
pub(super) struct Item<'a> {
    pub(super) attributes: &'a HashMap<String, AttributeValue>,
    pub(super) what: &'static str,
}

impl Item<'_> {
    pub(super) fn damaged(&self, name: &str) -> Error {
        Error::Damaged(format!("a {} item has no readable attribute `{name}`", self.what))
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, Error> {
        let value = self.attributes.get(name).and_then(|value| value.as_s().ok());
        value.map(String::as_str).ok_or_else(|| self.damaged(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, Error> {
        let value = self.attributes.get(name).and_then(|value| value.as_n().ok());
        value.and_then(|digits| digits.parse().ok()).ok_or_else(|| self.damaged(name))
    }

    pub(super) fn numbers<T: FromStr>(&self, name: &str) -> Result<Vec<T>, Error> {
        let list = self.attributes.get(name).and_then(|value| value.as_l().ok()).ok_or_else(|| self.damaged(name))?;
        let number = |value: &AttributeValue| value.as_n().ok().and_then(|digits| digits.parse().ok());
        list.iter().map(|value| number(value).ok_or_else(|| self.damaged(name))).collect()
    }

    pub(super) fn position(&self, name: &str) -> Result<Position, Error> {
        self.text(name)?.parse().map_err(|_| self.damaged(name))
    }

    pub(super) fn bytes(&self, name: &str) -> Result<&[u8], Error> {
        let value = self.attributes.get(name).and_then(|value| value.as_b().ok());
        value.map(AsRef::as_ref).ok_or_else(|| self.damaged(name))
    }

    pub(super) fn fingerprints(&self, name: &str) -> Result<Vec<Fingerprint>, Error> {
        fingerprints::unpack(self.bytes(name)?).ok_or_else(|| self.damaged(name))
    }

    pub(super) fn map(&self, name: &str) -> Result<&HashMap<String, AttributeValue>, Error> {
        let value = self.attributes.get(name).and_then(|value| value.as_m().ok());
        value.ok_or_else(|| self.damaged(name))
    }

    /// Refuses an item that a later release wrote in another format.
    pub(super) fn version(&self, known: u32) -> Result<(), Error> {
        match self.number::<u32>("v")? {
            v if v == known => Ok(()),
            v => Err(Error::Damaged(format!("a {} item has format {v}; this release reads format {known}", self.what))),
        }
    }
}

pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A set of fingerprints.
pub(super) fn pack(fingerprints: &[Fingerprint]) -> AttributeValue {
    AttributeValue::B(Blob::new(fingerprints::pack(fingerprints)))
}
