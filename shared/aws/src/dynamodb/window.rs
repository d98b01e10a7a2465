//! The window table: one item a segment.
//!
//! | attribute | type | |
//! |---|---|---|
//! | `pk` | S | `group/stream/shard` |
//! | `sk` | S | epoch (20 digits) `/` part (6 digits): later runs sort later, and no two items share a key |
//! | `through` | S | sortable position; all at or below is settled |
//! | `handled` | B | fingerprints of events, sorted and packed (`fingerprints.rs`) |
//! | `ahead` | B | fingerprints of positions settled above `through`, likewise |
//! | `top` | S | sortable position, the highest that the item speaks of |
//! | `at` | N | when it was recorded, ms |
//! | `arrival` | N | the latest arrival of what it and those before it speak of, ms |
//! | `handled_count`, `duplicate_count`, `dead_letter_count`, `foreign_count` | N | events by outcome |
//! | `expires_at` | N | TTL, s |
//! | `v` | N | format, 1 |
//!
//! What was redriven has items of its own beside them (`redriven.rs`), and so have the cursors of recoveries (`recovery.rs`).

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock::ShardId;
use penstock::ports::Error;
use penstock::time::Timestamp;
use penstock::window::{Counts, Segment, Wanted};

use super::item::{Item, n, pack, s};
use crate::error::classify;

const FORMAT: u32 = 1;

/// Items live this much longer than the horizon: a run that recorded and did not commit may be followed late.
const SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// An item that speaks of positions ahead is needed for as long as an event below them can be retried: Lambda's longest
/// record age. <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
const RECORD_AGE_MAX: Duration = Duration::from_secs(604_800);

/// A group's window segments in DynamoDB.
#[derive(Debug, Clone)]
pub struct WindowTable {
    pub(super) client: Client,
    pub(super) table: String,
    pub(super) scope: String,
    horizon: Duration,
}

impl WindowTable {
    /// The windows of `group` on `stream`, in `table`.
    pub fn new(client: Client, table: impl Into<String>, group: &str, stream: &str, horizon: Duration) -> Self {
        Self { client, table: table.into(), scope: format!("{group}/{stream}"), horizon }
    }

    pub(super) fn key(&self, shard: &ShardId) -> AttributeValue {
        s(format!("{}/{shard}", self.scope))
    }
}

impl WindowTable {
    /// The segments of a shard that are wanted, and perhaps more.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item cannot be read.
    pub async fn load(&self, shard: &ShardId, wanted: &Wanted) -> Result<Vec<Segment>, Error> {
        let (mut segments, mut names) = (Vec::new(), 0);
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                // a redelivery has to find what the run before it wrote a moment ago
                .consistent_read(true)
                .scan_index_forward(false)
                .key_condition_expression("#pk = :pk AND #sk BETWEEN :sk AND :end")
                .expression_attribute_names("#pk", "pk")
                .expression_attribute_names("#sk", "sk")
                .expression_attribute_values(":pk", self.key(shard))
                .expression_attribute_values(":sk", s(sort_key(wanted.after.saturating_add(1), 0)))
                .expression_attribute_values(":end", s(sort_key(u64::MAX, u32::MAX)))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| classify("Query", error))?;
            for item in page.items() {
                // newest first: what follows one that is not wanted is older still, and TTL deletes late
                let Some(segment) = wanted.take(decode(item)?, names) else { return Ok(segments) };
                names += segment.handled.len();
                segments.push(segment);
            }
            start = page.last_evaluated_key().cloned();
            if start.is_none() {
                return Ok(segments);
            }
        }
    }

    pub(crate) async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), Error> {
        let kept = if segment.ahead.is_empty() { SLACK } else { SLACK + RECORD_AGE_MAX };
        let expires = segment.at.plus(self.horizon + kept).as_secs();
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(encode(self.key(shard), segment, expires)))
            .send()
            .await
            .map_err(|error| classify("PutItem", error))?;
        Ok(())
    }
}

fn sort_key(epoch: u64, part: u32) -> String {
    format!("{epoch:020}/{part:06}")
}

fn encode(pk: AttributeValue, segment: &Segment, expires_at: u64) -> HashMap<String, AttributeValue> {
    let counts = &segment.counts;
    let attributes = [
        ("pk", pk),
        ("sk", s(sort_key(segment.epoch, segment.part))),
        ("through", s(segment.through.sortable())),
        ("handled", pack(&segment.handled)),
        ("ahead", pack(&segment.ahead)),
        ("top", s(segment.top.sortable())),
        ("at", n(segment.at.0)),
        ("arrival", n(segment.arrival.0)),
        ("handled_count", n(counts.handled)),
        ("duplicate_count", n(counts.duplicates)),
        ("dead_letter_count", n(counts.dead_letters)),
        ("foreign_count", n(counts.foreign)),
        ("expires_at", n(expires_at)),
        ("v", n(FORMAT)),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn decode(attributes: &HashMap<String, AttributeValue>) -> Result<Segment, Error> {
    let item = Item { attributes, what: "window" };
    item.version(FORMAT)?;
    let damaged = || Error::Damaged("a window item has no readable sort key".to_owned());
    let (epoch, part) = item.text("sk")?.split_once('/').ok_or_else(damaged)?;
    Ok(Segment {
        epoch: epoch.parse().map_err(|_| damaged())?,
        part: part.parse().map_err(|_| damaged())?,
        at: Timestamp(item.number("at")?),
        arrival: Timestamp(item.number("arrival")?),
        through: item.position("through")?,
        handled: item.fingerprints("handled")?,
        ahead: item.fingerprints("ahead")?,
        top: item.position("top")?,
        counts: Counts {
            handled: item.number("handled_count")?,
            duplicates: item.number("duplicate_count")?,
            dead_letters: item.number("dead_letter_count")?,
            foreign: item.number("foreign_count")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use penstock::fingerprint::Fingerprint;

    use super::*;
    use crate::dynamodb::golden;

    #[test]
    fn a_segment_reads_back_as_itself() {
        let segment = Segment {
            epoch: 7,
            part: 3,
            at: Timestamp(1_700_000_000_123),
            arrival: Timestamp(1_699_999_000_123),
            through: "49500000000000000000000000000000000000000000000000000007.4".parse().unwrap(),
            handled: vec![Fingerprint(1), Fingerprint(u64::MAX)],
            ahead: vec![],
            top: "49500000000000000000000000000000000000000000000000000007.4".parse().unwrap(),
            counts: Counts { handled: 2, duplicates: 1, dead_letters: 5, foreign: 9 },
        };
        assert_eq!(decode(&encode(s("g/shard"), &segment, 1)).unwrap(), segment);
    }

    #[test]
    fn version_1_is_read_and_written() {
        let item = golden::read("window-1.json");
        let segment = decode(&item).unwrap();
        assert_eq!((segment.epoch, segment.handled.len(), segment.ahead.len(), segment.counts.total()), (7, 2, 1, 4));
        let again = encode(s("order-status/penstock-Events/shardId-000000000000"), &segment, 1_796_066_556);
        assert_eq!(golden::show(&again), golden::show(&item));
    }

    #[test]
    fn later_runs_sort_later() {
        assert!(sort_key(9, 1) < sort_key(10, 0));
        assert!(sort_key(10, 0) < sort_key(10, 1));
        assert!(sort_key(u64::MAX - 1, 0) < sort_key(u64::MAX, 0));
    }

    #[test]
    fn a_format_of_the_future_is_refused_by_name() {
        let mut item = encode(
            s("g/shard"),
            &Segment {
                epoch: 1,
                part: 0,
                at: Timestamp(0),
                arrival: Timestamp(0),
                through: penstock::Position::start(),
                handled: vec![],
                ahead: vec![],
                top: penstock::Position::start(),
                counts: Counts::default(),
            },
            1,
        );
        item.insert("v".to_owned(), n(2));
        let error = decode(&item).unwrap_err().to_string();
        assert!(error.contains("a window item has format 2; this release reads format 1"), "{error}");
    }
}
