//! What was redriven, and whose turn it is to redrive: items of the window table.
//!
//! | attribute | type | |
//! |---|---|---|
//! | `pk` | S | `group/stream/shard` |
//! | `sk` | S | `r/` time in ms (20 digits) `/` the name of the call |
//! | `handled` | B | fingerprints of events, sorted and packed (`fingerprints.rs`) |
//! | `last` | M | fingerprint of a key, 16 hex digits, to the sortable position of the last of its events |
//! | `at` | N | when, ms |
//! | `expires_at` | N | TTL, s |
//! | `v` | N | format, 1 |
//!
//! The turn is one item a group, `pk` `group/stream/redrive` and `sk` `turn`: `holder`, and `until` in ms.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock::fingerprint::Fingerprint;
use penstock::ports::Error;
use penstock::time::Timestamp;
use penstock::window::Redriven;
use penstock::{Position, ShardId};

use super::WindowTable;
use super::item::{Item, n, pack, s};
use crate::error::classify;

const FORMAT: u32 = 1;

/// What was redriven is remembered for as long as SQS can keep another copy of its letter, and a day.
const REDRIVEN_KEPT: Duration = Duration::from_secs(15 * 24 * 60 * 60);

/// A turn that is over is kept so long.
const TURN_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose turn it is.
impl WindowTable {
    pub(crate) async fn take_turn(&self, id: &str, now: Timestamp, until: Timestamp) -> Result<bool, Error> {
        let put = self
            .put_turn(id, until)
            .condition_expression("attribute_not_exists(#pk) OR #until < :now OR #holder = :holder")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":now", n(now.0));
        written(put).await
    }

    pub(crate) async fn end_turn(&self, id: &str) -> Result<(), Error> {
        written(self.put_turn(id, Timestamp(0)).condition_expression("#holder = :holder")).await?;
        Ok(())
    }

    fn put_turn(&self, id: &str, until: Timestamp) -> PutItemFluentBuilder {
        self.client
            .put_item()
            .table_name(&self.table)
            .item("pk", s(format!("{}/redrive", self.scope)))
            .item("sk", s("turn"))
            .item("holder", s(id))
            .item("until", n(until.0))
            .item("expires_at", n(until.plus(TURN_KEPT).as_secs()))
            .item("v", n(FORMAT))
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_values(":holder", s(id))
    }
}

/// Whether the condition of a put held.
async fn written(put: PutItemFluentBuilder) -> Result<bool, Error> {
    match put.send().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(false),
        Err(error) => Err(classify("PutItem", error)),
    }
}

/// What was redriven.
impl WindowTable {
    pub(crate) async fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, Error> {
        let mut redriven = Vec::new();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :sk AND :end")
            .expression_attribute_names("#pk", "pk")
            .expression_attribute_names("#sk", "sk")
            .expression_attribute_values(":pk", self.key(shard))
            .expression_attribute_values(":sk", s(redriven_key(since, "")))
            .expression_attribute_values(":end", s("r/~"))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            redriven.push(decode_redriven(&item.map_err(|error| classify("Query", error))?)?);
        }
        Ok(redriven)
    }

    pub(crate) async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), Error> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(encode_redriven(self.key(shard), redriven)))
            .send()
            .await
            .map_err(|error| classify("PutItem", error))?;
        Ok(())
    }
}

fn redriven_key(at: Timestamp, id: &str) -> String {
    format!("r/{:020}/{id}", at.0)
}

fn encode_redriven(pk: AttributeValue, redriven: &Redriven) -> HashMap<String, AttributeValue> {
    let attributes = [
        ("pk", pk),
        ("sk", s(redriven_key(redriven.at, &redriven.id))),
        ("handled", pack(&redriven.handled)),
        ("last", AttributeValue::M(redriven.last.iter().map(last).collect())),
        ("at", n(redriven.at.0)),
        ("expires_at", n(redriven.at.plus(REDRIVEN_KEPT).as_secs())),
        ("v", n(FORMAT)),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn decode_redriven(attributes: &HashMap<String, AttributeValue>) -> Result<Redriven, Error> {
    let item = Item { attributes, what: "redriven" };
    item.version(FORMAT)?;
    let damaged = || Error::Damaged("a redriven item has no readable sort key".to_owned());
    Ok(Redriven {
        id: item.text("sk")?.splitn(3, '/').nth(2).ok_or_else(damaged)?.to_owned(),
        at: Timestamp(item.number("at")?),
        handled: item.fingerprints("handled")?,
        last: if item.has("last") {
            item.map("last")?.iter().map(read_last).collect::<Result<_, _>>()?
        } else {
            vec![]
        },
    })
}

fn last((key, position): &(Fingerprint, Position)) -> (String, AttributeValue) {
    (format!("{:016x}", key.0), s(position.sortable()))
}

fn read_last((key, position): (&String, &AttributeValue)) -> Result<(Fingerprint, Position), Error> {
    let damaged = || Error::Damaged("a redriven item has a last event that cannot be read".to_owned());
    let key = u64::from_str_radix(key, 16).map_err(|_| damaged())?;
    let position = position.as_s().ok().and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
    Ok((Fingerprint(key), position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::golden;

    #[test]
    fn version_1_is_read_and_written() {
        let item = golden::read("redriven-1.json");
        let redriven = decode_redriven(&item).unwrap();
        assert_eq!((redriven.handled.len(), redriven.last.len(), redriven.id.as_str()), (2, 1, "8c1f/0"));
        let again = encode_redriven(s("order-status/penstock-Events/shardId-000000000000"), &redriven);
        assert_eq!(golden::show(&again), golden::show(&item));
        let mut earlier = item;
        earlier.remove("last");
        assert_eq!(decode_redriven(&earlier).unwrap().last, []);
    }
}
