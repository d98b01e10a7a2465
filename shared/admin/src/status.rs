//! How the groups of a stack are doing, shard by shard.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use penstock::ports::{Error, Shards};
use penstock::progress::Failing;
use penstock::time::Timestamp;
use penstock::{Position, ShardId};
use penstock_aws::deployment::GroupParts;
use penstock_aws::{KinesisShards, ProgressTable};
use serde::Serialize;

use crate::backlog::{self, Backlog};
use crate::{Operator, queue};

/// Shards that are asked about side by side.
const CONCURRENCY: usize = 8;

/// A stack's state at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its name.
    pub stack: String,
    /// Its stream.
    pub stream: String,
    /// Its groups, by name.
    pub groups: Vec<GroupStatus>,
    /// Notices of what mappings gave up that are not made into dead letters yet, about.
    pub give_ups: u64,
    /// Those that could not be.
    pub failed_give_ups: u64,
}

/// A group's state.
#[derive(Debug, Clone, Serialize)]
pub struct GroupStatus {
    /// Its name.
    pub group: String,
    /// Its function.
    pub function: String,
    /// Its shards, in their order.
    pub shards: Vec<ShardStatus>,
    /// Messages in its dead-letter queue, about; an event that is larger than a message takes several.
    pub dead_letters: u64,
    /// Dead letters on their way back to it, about.
    pub redriven: u64,
}

/// A group's state on a shard.
#[derive(Debug, Clone, Serialize)]
pub struct ShardStatus {
    /// The shard.
    pub shard: ShardId,
    /// Up to where all is settled: sequence number and index; `null` before the first event is.
    pub position: Option<String>,
    /// Milliseconds since the oldest unsettled event arrived on the stream; `null` if there is none.
    pub iterator_age_ms: Option<u64>,
    /// The shard was split or merged, and all of it is settled.
    pub drained: bool,
    /// What is behind the position could not be told: the shard is empty for longer than was looked at.
    pub unknown: bool,
    /// The fencing token of the last run that began.
    pub epoch: u64,
    /// Runs that began since the last one that committed. One may be under way.
    pub attempts: u32,
    /// Events whose handler asked for a retry.
    pub retried: usize,
    /// Each of them, the one that has failed for longest first.
    pub failing: Vec<FailingEvent>,
    /// The event that may crash the function, which is handled alone: its position.
    pub suspect: Option<String>,
}

/// An event whose handler asked for a retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailingEvent {
    /// Its position.
    pub position: String,
    /// How often it has failed.
    pub attempts: u32,
    /// When it did for the first time, in milliseconds since 1970; of an event that failed before a release which keeps
    /// that, the shard's last commit under it.
    pub since_ms: u64,
}

impl FailingEvent {
    fn of(failures: &BTreeMap<Position, Failing>) -> Vec<Self> {
        let one = |(position, failing): (&Position, &Failing)| Self {
            position: position.to_string(),
            attempts: failing.attempts,
            since_ms: failing.since.0,
        };
        let mut failing: Vec<Self> = failures.iter().map(one).collect();
        // stable: those of one moment stay in the order of the stream
        failing.sort_by_key(|event| event.since_ms);
        failing
    }
}

impl Operator {
    /// Asks the tables, the queues and the stream. `now` is what ages are counted from.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub async fn status(&self, now: Timestamp) -> Result<Status, Error> {
        let deployment = &self.deployment;
        let shards = KinesisShards::new(self.clients.kinesis.clone(), &deployment.stream);
        let listed: Vec<_> = shards.list().await?.into_iter().map(|listed| listed.shard).collect();
        let mut groups = Vec::new();
        for parts in deployment.groups.values() {
            groups.push(self.group_status(parts, &listed, now).await?);
        }
        let count = async |url: &str| {
            let found = queue::attributes(&self.clients.sqs, url).await?;
            Ok::<_, Error>(found.visible + found.in_flight)
        };
        Ok(Status {
            stack: deployment.stack.clone(),
            stream: deployment.stream.clone(),
            groups,
            give_ups: count(&deployment.give_ups).await?,
            failed_give_ups: count(&deployment.failed_give_ups).await?,
        })
    }

    async fn group_status(&self, parts: &GroupParts, shards: &[ShardId], now: Timestamp) -> Result<GroupStatus, Error> {
        let one = |shard: &ShardId| self.shard_status(&parts.group, shard.clone(), now);
        let shards = stream::iter(shards.iter().map(one)).buffered(CONCURRENCY).try_collect().await?;
        let letters = queue::attributes(&self.clients.sqs, &parts.dead_letters).await?;
        let redrive = queue::attributes(&self.clients.sqs, &parts.redrive).await?;
        Ok(GroupStatus {
            group: parts.group.clone(),
            function: parts.function.clone(),
            shards,
            dead_letters: letters.visible + letters.in_flight,
            redriven: redrive.visible + redrive.in_flight,
        })
    }

    async fn shard_status(&self, group: &str, shard: ShardId, now: Timestamp) -> Result<ShardStatus, Error> {
        let deployment = &self.deployment;
        let (dynamodb, table) = (self.clients.dynamodb.clone(), &deployment.progress_table);
        let progress = ProgressTable::new(dynamodb, table, group, &deployment.stream).look(&shard).await?;
        let backlog = backlog::behind(&self.clients.kinesis, &deployment.stream, &shard, &progress.position).await?;
        Ok(ShardStatus {
            shard,
            position: (progress.position != Position::start()).then(|| progress.position.to_string()),
            iterator_age_ms: match backlog {
                Backlog::Since(arrival) => Some(u64::try_from(now.since(arrival).as_millis()).unwrap_or(u64::MAX)),
                Backlog::None | Backlog::Drained | Backlog::Unknown => None,
            },
            drained: backlog == Backlog::Drained,
            unknown: backlog == Backlog::Unknown,
            epoch: progress.epoch,
            attempts: progress.attempts,
            retried: progress.failures.len(),
            failing: FailingEvent::of(&progress.failures),
            suspect: progress.suspect.map(|(position, _)| position.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_that_has_failed_for_longest_comes_first() {
        let position = |index| Position::new("495".parse().unwrap(), index);
        let failing = |attempts, since| Failing { attempts, since: Timestamp(since) };
        let failures = [(0, failing(1, 9_000)), (1, failing(5, 2_000)), (2, failing(4, 2_000))];
        let found = FailingEvent::of(&failures.map(|(index, failing)| (position(index), failing)).into());
        let found: Vec<_> =
            found.iter().map(|event| (event.position.as_str(), event.attempts, event.since_ms)).collect();
        assert_eq!(found, [("495.1", 5, 2_000), ("495.2", 4, 2_000), ("495.0", 1, 9_000)]);
    }
}
