//! What schemas are called: `urn:penstock:schema:shop.order.placed:2` is version 2 of the type `shop.order.placed`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the URN of a schema begins with, in `dataschema` and in `$id`.
pub const URN: &str = "urn:penstock:schema:";

/// Bytes of a type's name. It is the name of a folder too.
pub const NAME_MAX: usize = 128;

/// The type of an event that has schemas: lower-case letters, digits, `-` and `_` in parts that dots divide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TypeName(String);

/// Why a text names no type or schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No name of a type.
    #[error(
        "`{}` cannot name a type: parts of a-z, 0-9, `-` and `_` with dots between them, {NAME_MAX} bytes at most, as in \
         `shop.order.placed`", .0.escape_default()
    )]
    Type(String),
    /// No version.
    #[error("`{}` is no version: a whole number from 1 to 4294967295, without leading zeros", .0.escape_default())]
    Version(String),
    /// No URN of a schema.
    #[error("`{}` names no schema: it is `{URN}<type>:<version>`", .0.escape_default())]
    Urn(String),
}

impl TypeName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        };
        if text.len() <= NAME_MAX && text.split('.').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Type(text.chars().take(NAME_MAX).collect()))
        }
    }
}

impl TryFrom<String> for TypeName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<TypeName> for String {
    fn from(name: TypeName) -> Self {
        name.0
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a type's schema, from 1.
pub type Version = u32;

/// Reads a version.
///
/// # Errors
/// When it is none, or is written in another way than [`u32`] is.
pub fn version(text: &str) -> Result<Version, Error> {
    let version = text.parse::<Version>().ok().filter(|version| *version > 0 && version.to_string() == text);
    version.ok_or_else(|| Error::Version(text.chars().take(32).collect()))
}

/// One version of one type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId {
    /// The type.
    pub kind: TypeName,
    /// The version.
    pub version: Version,
}

impl FromStr for SchemaId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let urn = || Error::Urn(text.chars().take(2 * NAME_MAX).collect());
        let (kind, number) = text.strip_prefix(URN).and_then(|rest| rest.rsplit_once(':')).ok_or_else(urn)?;
        Ok(Self { kind: kind.parse()?, version: version(number)? })
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{URN}{}:{}", self.kind, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_are_plain() {
        for good in ["shop.order.placed", "a", "io.acme.x-1.y_2"] {
            assert_eq!(good.parse::<TypeName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(NAME_MAX + 1);
        // the last but one has a Cyrillic letter
        for bad in ["", ".", "..", "a..b", "../etc", "a/b", "a\\b", "A", "a b", "a:b", "\u{430}.b", &long] {
            assert!(matches!(bad.parse::<TypeName>(), Err(Error::Type(_))), "{bad}");
        }
    }

    #[test]
    fn a_urn_names_one_version_in_one_way() {
        let id: SchemaId = "urn:penstock:schema:shop.order.placed:12".parse().unwrap();
        assert_eq!((id.kind.as_str(), id.version), ("shop.order.placed", 12));
        assert_eq!(id.to_string().parse::<SchemaId>().unwrap(), id);
        for bad in ["0", "01", "+1", "-1", "1.0", "", "4294967296", " 1"] {
            assert!(format!("{URN}a:{bad}").parse::<SchemaId>().is_err(), "{bad}");
        }
        assert!(matches!("https://example.com/a/1".parse::<SchemaId>(), Err(Error::Urn(_))));
    }
}
