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

/// Events of the type `shop.order.cancelled`.
pub mod shop_order_cancelled {
    /// What they are called.
    pub const TYPE: &str = "shop.order.cancelled";

    /// Version 1 of `shop.order.cancelled`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:shop.order.cancelled:1";

        /// An order will not be carried out.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            pub order_id: String,
            pub reason: Reason,
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            #[serde(rename = "customer")]
            Customer,
            #[serde(rename = "fraud")]
            Fraud,
            #[serde(rename = "out_of_stock")]
            OutOfStock,
            #[serde(rename = "payment_failed")]
            PaymentFailed,
        }
    }

    pub use v1 as latest;
}

/// Events of the type `shop.order.delivered`.
pub mod shop_order_delivered {
    /// What they are called.
    pub const TYPE: &str = "shop.order.delivered";

    /// Version 1 of `shop.order.delivered`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:shop.order.delivered:1";

        /// The customer has the goods of an order.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            pub order_id: String,
            /// Missing when nobody had to sign.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub signed_by: Option<String>,
        }
    }

    pub use v1 as latest;
}

/// Events of the type `shop.order.paid`.
pub mod shop_order_paid {
    /// What they are called.
    pub const TYPE: &str = "shop.order.paid";

    /// Version 1 of `shop.order.paid`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:shop.order.paid:1";

        /// The money for an order has arrived.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            #[serde(
                default,
                skip_serializing_if = "Option::is_none",
                deserialize_with = "super::super::whole_numbers::read"
            )]
            pub amount_cents: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub method: Option<Method>,
            pub order_id: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub payment_id: Option<String>,
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Method {
            #[serde(rename = "bank_transfer")]
            BankTransfer,
            #[serde(rename = "card")]
            Card,
            #[serde(rename = "voucher")]
            Voucher,
            #[serde(rename = "wallet")]
            Wallet,
        }
    }

    pub use v1 as latest;
}

/// Events of the type `shop.order.placed`.
pub mod shop_order_placed {
    /// What they are called.
    pub const TYPE: &str = "shop.order.placed";

    /// Version 1 of `shop.order.placed`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:shop.order.placed:1";

        /// A customer asked for goods. The first event of an order.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            /// ISO 4217.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub currency: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub customer_id: Option<String>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub items: Vec<ItemsItem>,
            /// What the customer wrote to the shop.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub note: Option<String>,
            pub order_id: String,
            /// What the customer pays, vouchers deducted. That it is not negative is a rule of the shop, which a handler checks, and not of the shape.
            #[serde(deserialize_with = "super::super::whole_numbers::read")]
            pub total_cents: i64,
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct ItemsItem {
            #[serde(deserialize_with = "super::super::whole_numbers::read")]
            pub quantity: i64,
            pub sku: String,
            #[serde(deserialize_with = "super::super::whole_numbers::read")]
            pub unit_price_cents: i64,
        }
    }

    /// Version 2 of `shop.order.placed`.
    pub mod v2 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:shop.order.placed:2";

        /// A customer asked for goods. The first event of an order.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            /// ISO 4217.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub currency: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub customer_id: Option<String>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub items: Vec<ItemsItem>,
            /// What the customer wrote to the shop.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub note: Option<String>,
            pub order_id: String,
            /// What the customer pays, vouchers deducted. That it is not negative is a rule of the shop, which a handler checks, and not of the shape.
            #[serde(deserialize_with = "super::super::whole_numbers::read")]
            pub total_cents: i64,
            /// The code of the voucher that was deducted.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub voucher: Option<String>,
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct ItemsItem {
            #[serde(deserialize_with = "super::super::whole_numbers::read")]
            pub quantity: i64,
            pub sku: String,
            #[serde(deserialize_with = "super::super::whole_numbers::read")]
            pub unit_price_cents: i64,
        }
    }

    pub use v2 as latest;
}

/// Events of the type `shop.order.shipped`.
pub mod shop_order_shipped {
    /// What they are called.
    pub const TYPE: &str = "shop.order.shipped";

    /// Version 1 of `shop.order.shipped`.
    pub mod v1 {
        use serde::{Deserialize, Serialize};

        /// Its `dataschema`.
        pub const SCHEMA: &str = "urn:penstock:schema:shop.order.shipped:1";

        /// A carrier has taken the goods of an order.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Data {
            #[serde(skip_serializing_if = "Option::is_none")]
            pub carrier: Option<String>,
            pub order_id: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub tracking: Option<String>,
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
