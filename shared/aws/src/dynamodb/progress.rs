//! The progress table: one item a group and shard.
//!
//! | attribute | type | |
//! |---|---|---|
//! | `pk` | S | `group/stream/shard`: sequence numbers of different streams cannot be compared |
//! | `epoch` | N | fencing token of the last run that began |
//! | `attempts` | N | runs that began since the last commit |
//! | `position` | S | sortable position; all at or below is settled |
//! | `failures` | M | position to how often its event has failed |
//! | `failing_since` | M | position to when it did for the first time, ms; a release before patience wrote none |
//! | `suspect`, `suspicions` | S, N | the event being handled alone, and how often that ended in a crash |
//! | `ahead_from` | N | epoch of the earliest run whose segments speak of positions above `position` |
//! | `redriven` | N | how often redriven events were recorded on the shard |
//! | `given_up` | S | sortable position; nothing up to it is handed out again |
//! | `commit` | N | number of the last run's last commit, 0 before its first |
//! | `arrival` | N | arrival of the event at `position`, ms |
//! | `at` | N | time of the last commit, ms |
//! | `v` | N | format, 1 |

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use penstock::ports::Error;
use penstock::progress::{Begun, Commit, Committed, Failing};
use penstock::time::Timestamp;
use penstock::{Position, ShardId};

use super::item::{Item, n, s};
use crate::error::classify;

const FORMAT: u32 = 1;

/// A group's progress in DynamoDB.
#[derive(Debug, Clone)]
pub struct ProgressTable {
    client: Client,
    table: String,
    scope: String,
}

impl ProgressTable {
    /// The progress of `group` on `stream`, in `table`.
    pub fn new(client: Client, table: impl Into<String>, group: &str, stream: &str) -> Self {
        Self { client, table: table.into(), scope: format!("{group}/{stream}") }
    }

    fn update(&self, shard: &ShardId) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("pk", self.key(shard))
    }

    fn key(&self, shard: &ShardId) -> AttributeValue {
        s(format!("{}/{shard}", self.scope))
    }
}

impl ProgressTable {
    pub(crate) async fn begin(&self, shard: &ShardId) -> Result<Begun, Error> {
        let answer = self
            .update(shard)
            .update_expression("ADD #epoch :one, #attempts :one SET #commit = :zero, #v = if_not_exists(#v, :v)")
            .expression_attribute_names("#epoch", "epoch")
            .expression_attribute_names("#commit", "commit")
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_names("#attempts", "attempts")
            .expression_attribute_names("#v", "v")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":v", n(FORMAT))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| classify("UpdateItem", error))?;
        decode(answer.attributes().unwrap_or(&HashMap::new()))
    }

    pub(crate) async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, Error> {
        let mut set = vec![
            "#commit = :commit",
            "#position = :position",
            "#failures = :failures",
            "#failing_since = :failing_since",
            "#attempts = :attempts",
            "#at = :at",
        ];
        let mut remove = Vec::new();
        let mut request = self
            .update(shard)
            // its own first try may have been written already
            .condition_expression("#epoch = :epoch AND #commit <= :commit")
            .expression_attribute_names("#commit", "commit")
            .expression_attribute_values(":commit", n(commit.number))
            .expression_attribute_names("#epoch", "epoch")
            .expression_attribute_values(":epoch", n(epoch))
            .expression_attribute_names("#position", "position")
            .expression_attribute_values(":position", s(commit.position.sortable()))
            .expression_attribute_names("#failures", "failures")
            .expression_attribute_values(":failures", of_failures(&commit.failures, |failing| n(failing.attempts)))
            .expression_attribute_names("#failing_since", "failing_since")
            .expression_attribute_values(":failing_since", of_failures(&commit.failures, |failing| n(failing.since.0)))
            .expression_attribute_names("#attempts", "attempts")
            .expression_attribute_values(":attempts", n(commit.attempts))
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":at", n(commit.at.0))
            .expression_attribute_names("#suspect", "suspect")
            .expression_attribute_names("#suspicions", "suspicions");
        match &commit.suspect {
            Some((position, suspicions)) => {
                set.extend(["#suspect = :suspect", "#suspicions = :suspicions"]);
                request = request
                    .expression_attribute_values(":suspect", s(position.sortable()))
                    .expression_attribute_values(":suspicions", n(suspicions));
            }
            None => remove.extend(["#suspect", "#suspicions"]),
        }
        request = request.expression_attribute_names("#ahead_from", "ahead_from");
        match commit.ahead_from {
            Some(epoch) => {
                set.push("#ahead_from = :ahead_from");
                request = request.expression_attribute_values(":ahead_from", n(epoch));
            }
            None => remove.push("#ahead_from"),
        }
        if let Some(arrival) = commit.arrival {
            set.push("#arrival = :arrival");
            request = request
                .expression_attribute_names("#arrival", "arrival")
                .expression_attribute_values(":arrival", n(arrival.0));
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            expression = format!("{expression} REMOVE {}", remove.join(", "));
        }
        match request.update_expression(expression).send().await {
            Ok(_) => Ok(Committed::Yes),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(Committed::Fenced)
            }
            Err(error) => Err(classify("UpdateItem", error)),
        }
    }
}

/// What redrives and recoveries do to the progress.
impl ProgressTable {
    /// Reads the progress without beginning a run.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item cannot be read.
    pub async fn look(&self, shard: &ShardId) -> Result<Begun, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", self.key(shard))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify("GetItem", error))?;
        answer.item().map_or_else(|| Ok(Begun::nothing()), decode)
    }

    pub(crate) async fn count_redriven(&self, shard: &ShardId) -> Result<(), Error> {
        self.update(shard)
            .update_expression("ADD #redriven :one SET #v = if_not_exists(#v, :v)")
            .expression_attribute_names("#redriven", "redriven")
            .expression_attribute_names("#v", "v")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":v", n(FORMAT))
            .send()
            .await
            .map_err(|error| classify("UpdateItem", error))?;
        Ok(())
    }

    pub(crate) async fn expire(&self, shard: &ShardId, last: &Position) -> Result<(), Error> {
        let written = self
            .update(shard)
            .update_expression("SET #given_up = :last, #v = if_not_exists(#v, :v)")
            .condition_expression("attribute_not_exists(#given_up) OR #given_up < :last")
            .expression_attribute_names("#given_up", "given_up")
            .expression_attribute_names("#v", "v")
            .expression_attribute_values(":last", s(last.sortable()))
            .expression_attribute_values(":v", n(FORMAT))
            .send()
            .await;
        match written {
            Ok(_) => Ok(()),
            // a later one was written before
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(()),
            Err(error) => Err(classify("UpdateItem", error)),
        }
    }
}

fn of_failures(failures: &BTreeMap<Position, Failing>, value: impl Fn(&Failing) -> AttributeValue) -> AttributeValue {
    AttributeValue::M(failures.iter().map(|(position, failing)| (position.to_string(), value(failing))).collect())
}

fn failures(item: &Item<'_>) -> Result<BTreeMap<Position, Failing>, Error> {
    if !item.has("failures") {
        return Ok(BTreeMap::new());
    }
    let damaged = || Error::Damaged("a progress item has a failure that cannot be read".to_owned());
    let digits = |value: &AttributeValue| value.as_n().ok().and_then(|digits| digits.parse::<u64>().ok());
    // an earlier release has not said when: it was at its last commit at the latest
    let at = if item.has("at") { item.number("at")? } else { 0 };
    let since = if item.has("failing_since") { Some(item.map("failing_since")?) } else { None };
    let mut failures = BTreeMap::new();
    for (position, count) in item.map("failures")? {
        let since = since.and_then(|since| since.get(position)).map_or(Some(at), digits).ok_or_else(damaged)?;
        let attempts = digits(count).and_then(|count| u32::try_from(count).ok()).ok_or_else(damaged)?;
        let position = position.parse().map_err(|_| damaged())?;
        failures.insert(position, Failing { attempts, since: Timestamp(since) });
    }
    Ok(failures)
}

fn decode(attributes: &HashMap<String, AttributeValue>) -> Result<Begun, Error> {
    let item = Item { attributes, what: "progress" };
    item.version(FORMAT)?;
    let suspect = match item.has("suspect") {
        true => Some((item.position("suspect")?, item.number("suspicions")?)),
        false => None,
    };
    // a shard that something was redriven on, and no run has begun on yet, has no epoch
    let number = |name| if item.has(name) { item.number(name) } else { Ok(0) };
    Ok(Begun {
        epoch: number("epoch")?,
        attempts: u32::try_from(number("attempts")?).unwrap_or(u32::MAX),
        redriven: number("redriven")?,
        expired: if item.has("given_up") { item.position("given_up")? } else { Position::start() },
        // a shard that no run has committed on yet
        position: if item.has("position") { item.position("position")? } else { Position::start() },
        failures: failures(&item)?,
        suspect,
        ahead_from: if item.has("ahead_from") { Some(item.number("ahead_from")?) } else { None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::golden;

    #[test]
    fn version_1_is_read() {
        let sequence = |last: u32| format!("4968049786277573926048389411344558954759143247293972480{last}");
        let position = |last, index| Position::new(sequence(last).parse().unwrap(), index);
        let expected = Begun {
            epoch: 7,
            attempts: 3,
            position: position(2, 4),
            // a release before patience wrote it: at the last commit at the latest
            failures: BTreeMap::from([(position(5, 0), Failing { attempts: 2, since: Timestamp(1_795_457_256_000) })]),
            suspect: Some((position(5, 1), 1)),
            ahead_from: Some(6),
            redriven: 2,
            expired: position(1, u32::MAX),
        };
        assert_eq!(decode(&golden::read("progress-1.json")).unwrap(), expected);
    }

    #[test]
    fn since_when_an_event_fails_is_kept_beside_how_often() {
        let at = Position::new("495".parse().unwrap(), 2);
        let failing = BTreeMap::from([(at, Failing { attempts: 2, since: Timestamp(1_795_457_250_000) })]);
        let mut item = golden::read("progress-1.json");
        item.insert("failures".to_owned(), of_failures(&failing, |failing| n(failing.attempts)));
        item.insert("failing_since".to_owned(), of_failures(&failing, |failing| n(failing.since.0)));
        assert_eq!(decode(&item).unwrap().failures, failing);
    }

    #[test]
    fn a_shard_that_no_run_has_committed_on_is_at_its_start() {
        let item = HashMap::from([("v", n(1)), ("epoch", n(1)), ("attempts", n(1))].map(|(k, v)| (k.to_owned(), v)));
        assert_eq!(decode(&item).unwrap().position, Position::start());
    }

    #[test]
    fn an_attribute_that_cannot_be_read_is_named() {
        let mut item = golden::read("progress-1.json");
        item.insert("position".to_owned(), s("nowhere"));
        let error = decode(&item).unwrap_err().to_string();
        assert!(error.contains("a progress item has no readable attribute `position`"), "{error}");
    }
}
