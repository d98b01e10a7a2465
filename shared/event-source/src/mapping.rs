//! A Kinesis mapping: the shards of a stream, each read when its parents are drained.
//!
//! Guarantees: no record of a shard is delivered before every record of its parents (two, after a merge) was settled or
//! given up; shards that appear are found; [`Mapping::checkpoint`] is where a restart goes on without passing over a
//! record. It holds no clock, no randomness and no I/O: call [`Mapping::next`] until it says when to come back, do what
//! it asks in any order, and report each outcome.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use penstock::ShardId;
use penstock::time::Timestamp;

use crate::Invocation;
use crate::checkpoint::{Checkpoint, ShardProgress};
use crate::event::EventSource;
use crate::record::{ReadFrom, Record};
use crate::settings::{Settings, StartingPosition};
use crate::shard::{Action, Next, ShardMachine};
use crate::status::{MappingStatus, ShardState, ShardStatus};

/// What a mapping wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// List all shards: [`Mapping::on_listing`] or [`Mapping::on_listing_failed`].
    List,
    /// Do this for a shard, and report it.
    Shard(ShardId, Action),
    /// Nothing is to be done before this time, unless an outcome comes in.
    WaitUntil(Timestamp),
}

/// A shard as `ListShards` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedShard {
    /// Its id.
    pub id: ShardId,
    /// The shards that it came from: one after a split, two after a merge.
    pub parents: Vec<ShardId>,
}

/// The machine of a mapping.
#[derive(Debug)]
pub struct Mapping {
    settings: Arc<Settings>,
    source: Arc<EventSource>,
    start: ReadFrom,
    /// What an earlier run left, until the first listing says which shards are still there.
    restored: BTreeMap<ShardId, ShardProgress>,
    shards: BTreeMap<ShardId, Shard>,
    listing: bool,
    next_listing: Timestamp,
    failed_listings: u32,
}

#[derive(Debug)]
enum Shard {
    Waiting {
        parents: Vec<ShardId>,
    },
    Reading(Box<ShardMachine>),
    /// With what was last to be seen of it.
    Drained(Box<ShardStatus>),
}

impl Mapping {
    /// A mapping that goes on at `checkpoint`, or begins at its starting position. As in AWS, the starting position of a
    /// mapping that has begun does not matter any more.
    pub fn new(settings: Settings, source: EventSource, checkpoint: Option<Checkpoint>, now: Timestamp) -> Self {
        let (start, restored) = match checkpoint {
            Some(Checkpoint { start_at_ms, shards, .. }) => (start_at_ms.map(Timestamp), shards),
            None => (begin(settings.starting_position, now), BTreeMap::new()),
        };
        Self {
            settings: Arc::new(settings),
            source: Arc::new(source),
            start: start.map_or(ReadFrom::TrimHorizon, ReadFrom::AtTimestamp),
            restored,
            shards: BTreeMap::new(),
            listing: false,
            next_listing: now,
            failed_listings: 0,
        }
    }

    /// What to do at `now`. Call again until it is [`Step::WaitUntil`].
    pub fn next(&mut self, now: Timestamp) -> Step {
        if let Some(step) = self.list(now) {
            return step;
        }
        let mut wake_at = if self.listing { now.plus(self.settings.pacing.list_every) } else { self.next_listing };
        let mut drained = Vec::new();
        for (id, shard) in &mut self.shards {
            let Shard::Reading(machine) = shard else { continue };
            match machine.next(now) {
                Next::Do(action) => return Step::Shard(id.clone(), action),
                Next::WaitUntil(at) => wake_at = wake_at.min(at),
                Next::Busy => {}
                Next::Drained => {
                    let status = ShardStatus { state: ShardState::Drained, ..machine.status(now) };
                    drained.push((id.clone(), status));
                }
            }
        }
        if drained.is_empty() {
            return Step::WaitUntil(wake_at);
        }
        for (id, status) in drained {
            self.shards.insert(id, Shard::Drained(Box::new(status)));
        }
        self.start_ready();
        // the children may not have been listed yet
        self.next_listing = now;
        self.next(now)
    }

    fn list(&mut self, now: Timestamp) -> Option<Step> {
        if self.listing || now < self.next_listing {
            return None;
        }
        self.listing = true;
        self.next_listing = now.plus(self.settings.pacing.list_every);
        Some(Step::List)
    }

    /// All shards of the stream, open and closed.
    pub fn on_listing(&mut self, listed: &[ListedShard]) {
        self.listing = false;
        self.failed_listings = 0;
        for ListedShard { id, parents } in listed {
            if self.shards.contains_key(id) {
                continue;
            }
            let drained = self.restored.get(id).filter(|progress| progress.drained);
            let shard = match drained {
                Some(progress) => {
                    let status = ShardStatus::at_rest(ShardState::Drained, progress.settled_to.clone());
                    Shard::Drained(Box::new(status))
                }
                None => Shard::Waiting { parents: parents.clone() },
            };
            self.shards.insert(id.clone(), shard);
        }
        self.forget_all_but(listed);
        self.start_ready();
        self.restored.clear();
    }

    /// A shard that is no longer listed has outlived the stream's retention. What was read of it is still delivered.
    fn forget_all_but(&mut self, listed: &[ListedShard]) {
        let listed: BTreeSet<&ShardId> = listed.iter().map(|shard| &shard.id).collect();
        self.shards.retain(|id, shard| {
            let is_listed = listed.contains(id);
            match shard {
                Shard::Reading(machine) if !is_listed => {
                    machine.end();
                    true
                }
                _ => is_listed,
            }
        });
    }

    /// P5: starts the shards whose parents are all drained. A parent that is not there any more counts as drained.
    fn start_ready(&mut self) {
        let unfinished = |id: &ShardId| self.shards.get(id).is_some_and(|shard| !matches!(shard, Shard::Drained(_)));
        let ready: Vec<ShardId> = self
            .shards
            .iter()
            .filter(|(_, shard)| matches!(shard, Shard::Waiting { parents } if !parents.iter().any(unfinished)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ready {
            let settled_to = self.restored.get(&id).and_then(|progress| progress.settled_to.clone());
            let from = settled_to.map_or_else(|| self.start.clone(), ReadFrom::After);
            let machine = ShardMachine::new(id.clone(), from, Arc::clone(&self.settings), Arc::clone(&self.source));
            self.shards.insert(id, Shard::Reading(Box::new(machine)));
        }
    }

    /// Listing failed; the next one waits. Gives how many have failed in a row.
    pub fn on_listing_failed(&mut self, now: Timestamp, jitter: u64) -> u32 {
        self.listing = false;
        self.failed_listings = self.failed_listings.saturating_add(1);
        self.next_listing = now.plus(self.settings.pacing.backoff.wait(self.failed_listings, jitter));
        self.failed_listings
    }

    /// A read of `shard` gave these records; `at_end` says that the shard has ended behind them.
    pub fn on_records(&mut self, shard: &ShardId, records: Vec<Record>, at_end: bool, now: Timestamp) {
        self.machine(shard).on_records(records, at_end, now);
    }

    /// Records may have come. Where somebody tells so, [`Pacing::idle_poll_max`](crate::Pacing) can be long.
    pub fn wake(&mut self) {
        for shard in self.shards.values_mut() {
            if let Shard::Reading(machine) = shard {
                machine.wake();
            }
        }
    }

    /// A read of `shard` failed. Gives how many have failed in a row.
    pub fn on_read_failed(&mut self, shard: &ShardId, now: Timestamp, jitter: u64) -> u32 {
        self.machine(shard).on_read_failed(now, jitter)
    }

    /// An invocation with records of `shard` ended.
    pub fn on_invocation(&mut self, shard: &ShardId, invocation: &Invocation, now: Timestamp, jitter: u64) {
        self.machine(shard).on_invocation(invocation, now, jitter);
    }

    /// Records of `shard` were given up.
    pub fn on_given_up(&mut self, shard: &ShardId) {
        self.machine(shard).on_given_up();
    }

    fn machine(&mut self, shard: &ShardId) -> &mut ShardMachine {
        match self.shards.get_mut(shard) {
            Some(Shard::Reading(machine)) => machine,
            _ => panic!("an outcome is of a shard that is read, and {shard} is not"),
        }
    }

    /// What events say about the stream.
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// Whether an invocation or a notice is under way.
    pub fn delivers(&self) -> bool {
        self.shards.values().any(|shard| matches!(shard, Shard::Reading(machine) if machine.delivers()))
    }

    /// Where a restart goes on.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut shards = self.restored.clone();
        shards.extend(self.shards.iter().filter_map(|(id, shard)| {
            let progress = match shard {
                Shard::Waiting { .. } => return None,
                Shard::Reading(machine) => ShardProgress { settled_to: machine.settled_to().cloned(), drained: false },
                Shard::Drained(last) => ShardProgress { settled_to: last.checkpoint.clone(), drained: true },
            };
            Some((id.clone(), progress))
        }));
        let start_at_ms = match self.start {
            ReadFrom::AtTimestamp(at) => Some(at.0),
            ReadFrom::TrimHorizon | ReadFrom::After(_) => None,
        };
        Checkpoint { stream_arn: self.source.stream_arn.clone(), start_at_ms, shards }
    }

    /// What observers see.
    pub fn status(&self, now: Timestamp) -> MappingStatus {
        let status = |shard: &Shard| match shard {
            Shard::Waiting { .. } => ShardStatus::at_rest(ShardState::Waiting, None),
            Shard::Reading(machine) => machine.status(now),
            Shard::Drained(last) => last.as_ref().clone(),
        };
        MappingStatus { shards: self.shards.iter().map(|(id, shard)| (id.clone(), status(shard))).collect() }
    }
}

/// `LATEST` becomes the time at which the mapping begins, for every shard: shards that appear later hold only records
/// that arrived after it, and a restart before the first record misses nothing. Times are whole seconds, as AWS takes
/// them, because not every local service keeps arrivals finer: rounding down delivers a record too many, never too few.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
fn begin(position: StartingPosition, now: Timestamp) -> Option<Timestamp> {
    let at = match position {
        StartingPosition::TrimHorizon => return None,
        StartingPosition::Latest => now,
        StartingPosition::AtTimestamp(at) => at,
    };
    Some(Timestamp(at.as_secs() * 1000))
}

#[cfg(test)]
mod tests;
