//! Redriving: handling dead letters that were sent back.
//!
//! They settle through the same gates as the live stream and beside it: a redrive takes no epoch, so that a storm of
//! them fences no run. It looks at the windows of the shards on which copies of the event can be, handles what is in none
//! of them, records the names on each, and then counts that it did on their progress; the next run sees the count and
//! knows the names, so that a duplicate on the stream is still found.
//!
//! P6: what is not handled is left in the queue, which moves it back to the dead letters after some tries.
//!
//! Once, except: two copies of one letter that are redriven at the same moment can both reach a handler, with the same
//! idempotency key. A projection's state remembers what was redriven into it and applies it once even then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tracing::warn;

use super::lane::{Outcome, Stop};
use super::outage::Gauge;
use super::tally::Tally;
use super::times::{Times, within};
use super::work::{LaneContext, Work};
use super::{Outside, Settler};
use crate::batch::{CLOCKS_DIFFER, Delivery};
use crate::dead_letter::DeadLetter;
use crate::decision::{Decision, Why, tell};
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::hash::{HashKey, HashRange};
use crate::ports::{self, ListedShard};
use crate::position::{Position, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::{Age, Names, Redriven, Window};

/// How long a redriven letter's copies are recognised: SQS keeps a message no longer.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const REDRIVEN_KEPT: std::time::Duration = std::time::Duration::from_secs(14 * 24 * 60 * 60);

/// Why a letter stays in the queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Left {
    /// Its bytes are no event. It has to be mended by hand.
    #[error("it is no event: {0}")]
    NotAnEvent(String),
    /// The handler or the projection did not take it this time either.
    #[error("it was not handled: {0}")]
    NotHandled(String),
    /// Something outside failed, or time ran out, or an event of its key before it is left.
    #[error("it comes again: {0}")]
    Later(String),
}

/// The shards on which an event and its copies can be: the one its letter came from, and those after it that hold its
/// key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Chain {
    shards: Vec<ShardId>,
    /// The first one is past the stream's retention: no run will come to it any more.
    origin_is_gone: bool,
    /// The first one does not hold the key: the event came there in another producer's aggregate.
    is_stray: bool,
}

impl Chain {
    fn of(origin: &ShardId, key: HashKey, listed: &[ListedShard]) -> Self {
        let find = |id: &ShardId| listed.iter().find(|other| other.shard == *id);
        let origin_is_gone = find(origin).is_none();
        let is_stray = find(origin).is_some_and(|origin| !origin.range.contains(key));
        let mut shards = vec![origin.clone()];
        // a shard is listed after those that it came from
        for other in listed {
            let descends = other.parents.iter().any(|parent| shards.contains(parent));
            if other.range.contains(key) && !shards.contains(&other.shard) && (descends || origin_is_gone || is_stray) {
                shards.push(other.shard.clone());
            }
        }
        Self { shards, origin_is_gone, is_stray }
    }

    fn origin(&self) -> &ShardId {
        self.shards.first().unwrap_or_else(|| unreachable!("a chain has its origin"))
    }
}

/// What is known on the shards of a chain.
#[derive(Debug)]
pub struct Returned<'a> {
    windows: &'a [Window],
    /// Up to where each was given up.
    given_up: Vec<Position>,
    redriven: Names,
    origin_is_gone: bool,
    is_stray: bool,
    fingerprints: &'a Fingerprinter,
}

impl Returned<'_> {
    /// Whether what was settled up to `position` is in a window: a run records after it has handled, so a window can
    /// lack what was handled a moment ago.
    pub fn is_recorded(&self, position: &Position) -> bool {
        let fingerprint = || self.fingerprints.position(position);
        // a shard is read when those that it came from are settled, and its numbers are higher than theirs
        self.windows.iter().any(|window| window.is_settled(position, fingerprint))
            // what was given up without being recorded never will be
            || self.given_up.iter().any(|given_up| position <= given_up)
            || self.origin_is_gone
    }

    /// Whether the event came to a shard that does not hold its key: positions of its key say nothing of it.
    pub(super) fn is_stray(&self) -> bool {
        self.is_stray
    }

    fn has(&self, name: Fingerprint) -> bool {
        self.redriven.contains(&name) || self.windows.iter().any(|window| window.has(name))
    }
}

impl<W: Work, O: Outside> Settler<W, O> {
    /// Handles dead letters that were sent back, until `deadline`. `id` is a name that no other call has. One result a
    /// letter: what it came to, or why it has to stay in the queue.
    pub async fn redrive(&self, letters: &[DeadLetter], id: &str, deadline: Timestamp) -> Vec<Result<Outcome, Left>> {
        let mut results: Vec<Option<Result<Outcome, Left>>> = vec![None; letters.len()];
        let mut open: Vec<(usize, Delivery)> = Vec::new();
        for (index, letter) in letters.iter().enumerate() {
            let delivery = Delivery::of_letter(letter, &self.fingerprints);
            match &delivery.content {
                Ok(_) => open.push((index, delivery)),
                Err(error) => results[index] = Some(Err(Left::NotAnEvent(error.to_string()))),
            }
        }
        // a key's letters in the order of the stream, whatever order the queue gave them in
        open.sort_by(|(_, a), (_, b)| a.position.cmp(&b.position));
        let times = Times::new(self.outside.now(), deadline, self.settings.margin);
        match within(&self.outside, times.stop, self.chains(letters, open)).await {
            Ok(chains) => {
                for (number, (chain, deliveries)) in chains.into_iter().enumerate() {
                    // two chains can share a shard
                    let id = format!("{id}/{number}");
                    let ended = self.redrive_on(&chain, &deliveries, &id, times).await;
                    let origin = chain.origin();
                    for ((index, delivery), result) in deliveries.iter().zip(ended) {
                        match &result {
                            Ok(_) => tell(Decision::Redriven, origin, delivery, Why::default()),
                            Err(left) => {
                                let why = left.to_string();
                                tell(Decision::NotRedriven, origin, delivery, Why::because(&why));
                            }
                        }
                        results[*index] = Some(result);
                    }
                }
            }
            Err(error) => warn!(%error, "nothing was redriven: the shards cannot be listed"),
        }
        let unseen = || Err(Left::Later("the shards cannot be listed".to_owned()));
        results.into_iter().map(|result| result.unwrap_or_else(unseen)).collect()
    }

    /// The letters by the shards on which their copies can be.
    async fn chains(
        &self,
        letters: &[DeadLetter],
        deliveries: Vec<(usize, Delivery)>,
    ) -> Result<BTreeMap<Chain, Vec<(usize, Delivery)>>, ports::Error> {
        let mut chains: BTreeMap<Chain, Vec<(usize, Delivery)>> = BTreeMap::new();
        if deliveries.is_empty() {
            return Ok(chains);
        }
        let listed = self.listed().await?;
        for (index, delivery) in deliveries {
            let chain = Chain::of(&letters[index].shard, delivery.key.hash_key(), &listed);
            chains.entry(chain).or_default().push((index, delivery));
        }
        Ok(chains)
    }

    /// All shards; each is listed after those that it came from.
    async fn listed(&self) -> Result<Vec<ListedShard>, ports::Error> {
        let mut listed = self.outside.list().await?;
        listed.sort_by(|a, b| a.shard.cmp(&b.shard));
        Ok(listed)
    }

    /// Says on every shard of a chain what was redriven, and then on those that came of them meanwhile: their first run may
    /// have looked at its ancestors before it was said there. A shard that comes later still looks after it.
    async fn record_on_all(
        &self,
        chain: &Chain,
        deliveries: &[(usize, Delivery)],
        results: &[Result<Outcome, Left>],
        id: &str,
    ) -> Result<(), ports::Error> {
        if results.iter().all(Result::is_err) {
            return Ok(());
        }
        for shard in &chain.shards {
            self.record_redriven(shard, deliveries, results, id).await?;
        }
        let listed = self.listed().await?;
        let now = deliveries.iter().flat_map(|(_, delivery)| {
            let Chain { shards, .. } = Chain::of(&chain.shards[0], delivery.key.hash_key(), &listed);
            shards
        });
        let new: BTreeSet<ShardId> = now.filter(|shard| !chain.shards.contains(shard)).collect();
        for shard in &new {
            self.record_redriven(shard, deliveries, results, id).await?;
        }
        Ok(())
    }

    async fn redrive_on(
        &self,
        chain: &Chain,
        deliveries: &[(usize, Delivery)],
        id: &str,
        times: Times,
    ) -> Vec<Result<Outcome, Left>> {
        let later = |error: ports::Error| Left::Later(error.to_string());
        let now = self.outside.now();
        let (mut windows, mut given_up, mut redriven, mut epoch) = (Vec::new(), Vec::new(), Names::default(), 0);
        let mut complete = Vec::new();
        for (place, shard) in chain.shards.iter().enumerate() {
            let gone = place == 0 && chain.origin_is_gone;
            match within(&self.outside, times.stop, self.look_at(shard, (gone, chain.shards.len()), now, &mut redriven))
                .await
            {
                Ok((begun, window)) => {
                    epoch = begun.epoch;
                    // before its first run, the shards that it came from still grow
                    complete.push(begun.epoch > 0);
                    given_up.push(begun.given_up);
                    windows.push(window);
                }
                Err(error) => return vec![Err(later(error)); deliveries.len()],
            }
        }
        let context = LaneContext {
            outside: &self.outside,
            settings: &self.settings,
            shard: chain.shards.last().unwrap_or_else(|| unreachable!("a chain has its origin")),
            epoch,
            position: &Position::start(),
            below: Position::start(),
            fingerprints: &self.fingerprints,
            range: HashRange::ALL,
            times,
            given_up: Mutex::default(),
            tally: Tally::default(),
            gauge: Gauge::new(&self.settings, 0),
            redrives: true,
        };
        let Chain { origin_is_gone, is_stray, .. } = *chain;
        let fingerprints = &self.fingerprints;
        let returned = Returned { windows: &windows, given_up, redriven, origin_is_gone, is_stray, fingerprints };
        let mut results = self.handle_returned(deliveries, &context, &returned).await;
        let recorded = self.record_on_all(chain, deliveries, &results, id);
        if let Err(error) = within(&self.outside, times.commit, recorded).await {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(later(error.clone()));
            }
        }
        for ((shard, window), complete) in chain.shards.iter().zip(windows).zip(complete) {
            let mut known = self.memory.recall(Age::Recording, shard);
            if complete {
                known.window = Some(window);
            }
            self.memory.remember(Age::Recording, shard.clone(), known);
        }
        results
    }

    /// The progress and the window of a shard, one of so many, and what was redriven on it.
    async fn look_at(
        &self,
        shard: &ShardId,
        (gone, windows): (bool, usize),
        now: Timestamp,
        redriven: &mut Names,
    ) -> Result<(Begun, Window), ports::Error> {
        for earlier in self.outside.load_redriven(shard, now.minus(REDRIVEN_KEPT)).await? {
            redriven.extend(earlier.handled);
        }
        let begun = self.outside.look(shard).await?;
        if gone {
            return Ok((begun, Window::new(Age::Recording)));
        }
        let mut known = self.memory.recall(Age::Recording, shard);
        let since = now.minus(self.settings.horizon + CLOCKS_DIFFER);
        // as if a run began now: the last one that did is in it too
        let next = Begun { epoch: begun.epoch + 1, ..begun.clone() };
        let mut window = self.load(shard, &next, &mut known, (Age::Recording, since), windows).await?;
        // later runs than the last that committed can still record
        window.set_epoch(begun.epoch.saturating_sub(u64::from(begun.attempts)));
        self.memory.remember(Age::Recording, shard.clone(), known);
        Ok((begun, window))
    }

    /// One after the other: they are few, and the live runs have the right of way.
    async fn handle_returned(
        &self,
        deliveries: &[(usize, Delivery)],
        context: &LaneContext<'_, O>,
        returned: &Returned<'_>,
    ) -> Vec<Result<Outcome, Left>> {
        let mut names = Names::default();
        let mut blocked: BTreeSet<&str> = BTreeSet::new();
        let mut results = Vec::with_capacity(deliveries.len());
        for (_, delivery) in deliveries {
            let Ok(content) = &delivery.content else { unreachable!("only events are redriven") };
            let name = content.fingerprint;
            let result = if returned.has(name) || names.contains(&name) {
                Ok(Outcome::Duplicate)
            } else if blocked.contains(delivery.key.as_str()) {
                Err(Left::Later("an event of its key before it is left".to_owned()))
            } else if !returned.is_recorded(&delivery.position) {
                // the run that sent the letter died, and those before it are still to come
                Err(Left::Later("what came before it is not recorded yet".to_owned()))
            } else if context.time_left().is_zero() {
                Err(Left::Later("time ran out".to_owned()))
            } else {
                match self.work.redrive(delivery, context, returned).await {
                    Ok(outcome) => {
                        names.insert(name);
                        Ok(outcome)
                    }
                    Err(Stop::Outside(ports::Error::Refused(reason)) | Stop::Retry(reason)) => {
                        Err(Left::NotHandled(reason))
                    }
                    Err(Stop::Outside(error)) => Err(Left::Later(error.to_string())),
                    Err(Stop::OutOfTime) => Err(Left::Later("time ran out".to_owned())),
                }
            };
            if matches!(result, Err(Left::Later(_))) {
                blocked.insert(delivery.key.as_str());
            }
            results.push(result);
        }
        results
    }

    async fn record_redriven(
        &self,
        shard: &ShardId,
        deliveries: &[(usize, Delivery)],
        results: &[Result<Outcome, Left>],
        id: &str,
    ) -> Result<(), ports::Error> {
        let settled = |(result, (_, delivery)): (&Result<Outcome, Left>, &(usize, Delivery))| {
            let name = delivery.content.as_ref().ok().map(|content| content.fingerprint);
            name.filter(|_| result.is_ok())
        };
        // duplicates too: the call that redrove them may have died before it was counted
        let handled: Vec<Fingerprint> = results.iter().zip(deliveries).filter_map(settled).collect();
        if handled.is_empty() {
            return Ok(());
        }
        let redriven = Redriven { id: id.to_owned(), at: self.outside.now(), handled };
        self.outside.record_redriven(shard, &redriven).await?;
        self.outside.announce(shard).await
    }
}
