//! The cursors of recoveries: items of the window table, beside the segments of their shard.
//!
//! | attribute | type | |
//! |---|---|---|
//! | `pk` | S | `group/stream/shard` |
//! | `sk` | S | `g/` first `/` last number of the range that was given up |
//! | `done` | S | sortable position; all of the range at or below is dealt with |
//! | `expires_at` | N | TTL, s |
//! | `v` | N | format, 1 |

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use penstock::ports::Error;
use penstock::progress::Cursor;
use penstock::{Position, SequenceNumber, ShardId};

use super::WindowTable;
use super::item::{Item, n, s};
use crate::error::classify;

const FORMAT: u32 = 1;

/// SQS keeps a notice for 14 days at most.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

impl WindowTable {
    pub(crate) async fn recovered(
        &self,
        shard: &ShardId,
        first: &SequenceNumber,
        last: &SequenceNumber,
    ) -> Result<Option<Position>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", self.key(shard))
            .key("sk", sort_key(first, last))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify("GetItem", error))?;
        answer.item().map(decode).transpose()
    }

    pub(crate) async fn record_recovered(&self, shard: &ShardId, cursor: &Cursor) -> Result<(), Error> {
        let written = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(encode(self.key(shard), cursor)))
            .condition_expression("attribute_not_exists(#done) OR #done < :done")
            .expression_attribute_names("#done", "done")
            .expression_attribute_values(":done", s(cursor.done.sortable()))
            .send()
            .await;
        match written {
            Ok(_) => Ok(()),
            // another recovery of the range has come as far
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(()),
            Err(error) => Err(classify("PutItem", error)),
        }
    }
}

fn sort_key(first: &SequenceNumber, last: &SequenceNumber) -> AttributeValue {
    s(format!("g/{first}/{last}"))
}

fn encode(pk: AttributeValue, cursor: &Cursor) -> HashMap<String, AttributeValue> {
    let attributes = [
        ("pk", pk),
        ("sk", sort_key(&cursor.first, &cursor.last)),
        ("done", s(cursor.done.sortable())),
        ("expires_at", n(cursor.at.plus(KEPT).as_secs())),
        ("v", n(FORMAT)),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn decode(attributes: &HashMap<String, AttributeValue>) -> Result<Position, Error> {
    let item = Item { attributes, what: "recovery" };
    item.version(FORMAT)?;
    item.position("done")
}

#[cfg(test)]
mod tests {
    use penstock::time::Timestamp;

    use super::*;
    use crate::dynamodb::golden;

    #[test]
    fn version_1_is_read_and_written() {
        let item = golden::read("recovery-1.json");
        let done = decode(&item).unwrap();
        let number =
            |last: u32| format!("4968049786277573926048389411344558954759143247293972480{last}").parse().unwrap();
        assert_eq!(done, Position::new(number(4), 2));
        let cursor = Cursor { first: number(1), last: number(7), done, at: Timestamp(1_795_000_000_123) };
        let again = encode(s("order-status/penstock-Events/shardId-000000000000"), &cursor);
        assert_eq!(golden::show(&again), golden::show(&item));
    }
}
