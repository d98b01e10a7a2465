// Written by `penstock schema codegen`. To change it, change the schemas and run that again.
//! The data of events, a type for each version of each schema.
//!
//! They read what the schema calls valid, and more: members that it does not name are passed over; bounds, patterns and
//! formats, which were enforced where the event was accepted, are not checked again; `null` in a member that may be missing
//! counts as missing. Integers are `i64`, and `2.0` is one. An optional list or map that is empty is written as if it were missing.
#![cfg_attr(rustfmt, rustfmt_skip)]
#![allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    reason = "generated: a schema need not describe every member, and a program need not use every type"
)]

/// Events of the type `odd.shapes`.
pub mod odd_shapes {
    /// What they are called.
    pub const TYPE: &str = "odd.shapes";

    /// Version 1 of `odd.shapes`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:odd.shapes:1";

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Both {
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub leaves: Vec<Node>,
            pub name: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub next: Option<Box<Node>>,
            #[serde(deserialize_with = "super::super::whole_numbers::read")]
            pub size: i64,
        }

        /// What a schema may say, and a type
        /// has to read. '''not an example'''
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            #[serde(skip_serializing_if = "Option::is_none")]
            pub anything: Option<serde_json::Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub at: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub both: Option<Both>,
            /// Not typed: typify fails on it: Failed to make unique variant names for [a-b,a_b].
            #[serde(skip_serializing_if = "Option::is_none")]
            pub colliding: Option<String>,
            #[serde(
                default,
                skip_serializing_if = "std::collections::BTreeMap::is_empty",
                deserialize_with = "super::super::whole_numbers::read"
            )]
            pub counts: std::collections::BTreeMap<String, i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub either: Option<Either>,
            #[serde(
                default,
                skip_serializing_if = "Vec::is_empty",
                deserialize_with = "super::super::whole_numbers::read"
            )]
            pub grid: Vec<Vec<i64>>,
            /// The name.
            pub id: String,
            #[serde(deserialize_with = "serde::Deserialize::deserialize")]
            pub parent: Option<Box<Node>>,
            pub payment: Payment,
            /// May be null, and may be missing.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub perhaps: Option<Box<Perhaps>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub ratio: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub state: Option<State>,
            #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
            pub type_: Option<Type>,
            /// Not typed: the items of this list differ by their place (`prefixItems`).
            #[serde(skip_serializing_if = "Option::is_none")]
            pub vector: Option<serde_json::Value>,
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        pub enum Either {
            Integer(
                #[serde(deserialize_with = "super::super::whole_numbers::read")]
                i64,
            ),
            String(String),
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Node {
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub leaves: Vec<Node>,
            pub name: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub next: Option<Box<Node>>,
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Payment {
            #[serde(rename = "card")]
            Card {
                #[serde(deserialize_with = "super::super::whole_numbers::read")]
                cents: i64,
            },
            #[serde(rename = "cash")]
            Cash {
                #[serde(skip_serializing_if = "Option::is_none")]
                currency: Option<String>,
            },
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Perhaps {
            #[serde(skip_serializing_if = "Option::is_none")]
            pub again: Option<Box<Perhaps>>,
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum State {
            #[serde(rename = "closed")]
            Closed,
            #[serde(rename = "open")]
            Open,
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Type {
            #[serde(rename = "odd")]
            Odd,
        }
    }

    pub use v1 as latest;
}

/// Events of the type `plain.1-list`.
pub mod plain_1_list {
    /// What they are called.
    pub const TYPE: &str = "plain.1-list";

    /// Version 1 of `plain.1-list`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:plain.1-list:1";

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct Data(pub Option<Vec<DataItem>>);

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct DataItem {
            #[serde(
                default,
                skip_serializing_if = "Option::is_none",
                deserialize_with = "super::super::whole_numbers::read"
            )]
            pub data: Option<i64>,
            #[serde(flatten, deserialize_with = "super::super::whole_numbers::read")]
            pub extra: std::collections::BTreeMap<String, i64>,
        }
    }

    pub use v1 as latest;
}

/// Events of the type `self`.
pub mod type_self {
    /// What they are called.
    pub const TYPE: &str = "self";

    /// Version 1 of `self`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:self:1";

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub children: Vec<Data>,
        }
    }

    pub use v1 as latest;
}

/// Integers as JSON Schema has them: `2.0` and `2e0` are integers, which serde would refuse.
mod whole_numbers {
    use std::collections::BTreeMap;
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

    pub(super) fn read<'de, T: Whole, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::read(from)
    }

    pub(super) trait Whole: Sized {
        fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;
    }

    struct Read<T>(T);

    impl<'de, T: Whole> Deserialize<'de> for Read<T> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            T::read(from).map(Read)
        }
    }

    impl<T: Whole> Whole for Option<T> {
        fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            Ok(Option::<Read<T>>::deserialize(from)?.map(|read| read.0))
        }
    }

    impl<T: Whole> Whole for Vec<T> {
        fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            Ok(Vec::<Read<T>>::deserialize(from)?.into_iter().map(|read| read.0).collect())
        }
    }

    impl<T: Whole> Whole for BTreeMap<String, T> {
        fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            Ok(BTreeMap::<String, Read<T>>::deserialize(from)?.into_iter().map(|(key, read)| (key, read.0)).collect())
        }
    }

    impl Whole for i64 {
        fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_any(WholeNumber)
        }
    }

    struct WholeNumber;

    impl Visitor<'_> for WholeNumber {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer from -2^63 to 2^63 - 1")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
            // 2^63 is a float, and the first that is too large
            let fits = number >= i64::MIN as f64 && number < i64::MAX as f64;
            if fits && number.fract() == 0.0 {
                Ok(number as i64)
            } else {
                Err(E::invalid_value(Unexpected::Float(number), &self))
            }
        }
    }
}
