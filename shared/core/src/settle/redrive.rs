//! Redriving: handling dead letters that were sent back.
//!
//! They settle through the same gates as the live stream and beside it: a redrive takes no epoch, so that a storm of
//! them fences no run. It looks at the window of the shard that holds the key now, handles what is not in it, records
//! the names, and then counts that it did on the shard's progress; the next run sees the count and knows the names, so
//! that a duplicate on the stream is still found.
//!
//! What is not handled is left in the queue, which moves it back to the dead letters after some tries.
//!
//! Once, except: two copies of one letter that are redriven at the same moment can both reach a handler, with the same
//! idempotency key. A projection's state remembers what was redriven into it and applies it once even then.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tracing::{info, warn};

use super::lane::{LaneContext, Stop, Work};
use super::run::Outcome;
use super::{Outside, Settler, recall, remember};
use crate::batch::{CLOCKS_DIFFER, Delivery};
use crate::dead_letter::DeadLetter;
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::hash::{HashKey, HashRange};
use crate::ports;
use crate::position::{Position, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::{Redriven, Window};

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

/// What is known about the shard that letters return to.
#[derive(Debug)]
pub struct Returned<'a> {
    window: &'a Window,
    /// Up to where it was given up.
    given_up: &'a Position,
    /// How far the shards are settled or given up that it came from.
    ancestors: Vec<(HashRange, Position)>,
    fingerprints: &'a Fingerprinter,
}

impl Returned<'_> {
    /// Whether what was settled of a key up to `position` is in the window: a run records after it has handled, so the
    /// window can lack what was handled a moment ago.
    pub fn is_recorded(&self, key: HashKey, position: &Position) -> bool {
        // what was given up without being recorded never will be
        position <= self.given_up
            // a shard is read when those that it came from are settled, and its numbers are higher than theirs
            || self.window.is_settled(position, || self.fingerprints.position(position))
            || self.ancestors.iter().any(|(range, settled)| range.contains(key) && settled >= position)
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
        match self.owners(open).await {
            Ok(owners) => {
                for (shard, deliveries) in owners {
                    let ended = self.redrive_on(&shard, &deliveries, id, deadline).await;
                    for ((index, delivery), result) in deliveries.iter().zip(ended) {
                        match &result {
                            Ok(outcome) => info!(position = %delivery.position, ?outcome, "redriven"),
                            Err(left) => warn!(position = %delivery.position, %left, "not redriven"),
                        }
                        results[*index] = Some(result);
                    }
                }
            }
            Err(error) => warn!(%error, "nothing was redriven: the shards cannot be listed"),
        }
        let unseen = || Err(Left::Later("its shard is not known".to_owned()));
        results.into_iter().map(|result| result.unwrap_or_else(unseen)).collect()
    }

    /// The letters by the shard that holds their key now.
    async fn owners(
        &self,
        deliveries: Vec<(usize, Delivery)>,
    ) -> Result<BTreeMap<ShardId, Vec<(usize, Delivery)>>, ports::Error> {
        let mut owners: BTreeMap<ShardId, Vec<(usize, Delivery)>> = BTreeMap::new();
        if deliveries.is_empty() {
            return Ok(owners);
        }
        let shards = self.outside.open().await?;
        for (index, delivery) in deliveries {
            let hash_key = delivery.key.hash_key();
            if let Some((shard, _)) = shards.iter().find(|(_, range)| range.contains(hash_key)) {
                owners.entry(shard.clone()).or_default().push((index, delivery));
            }
        }
        Ok(owners)
    }

    async fn redrive_on(
        &self,
        shard: &ShardId,
        deliveries: &[(usize, Delivery)],
        id: &str,
        deadline: Timestamp,
    ) -> Vec<Result<Outcome, Left>> {
        let mut known = recall(&self.redrives, shard);
        let later = |error: ports::Error| Left::Later(error.to_string());
        let now = self.outside.now();
        let margin = self.settings.margin.min(deadline.since(now) / 4);
        let looked = async {
            let begun = self.outside.look(shard).await?;
            let since = now.minus(self.settings.horizon + CLOCKS_DIFFER);
            // as if a run began now: the last one that did is in it too
            let next = Begun { epoch: begun.epoch + 1, ..begun.clone() };
            let mut window = self.load(shard, &next, &mut known, since).await?;
            // later runs than the last that committed can still record
            window.set_epoch(begun.epoch.saturating_sub(u64::from(begun.attempts)));
            let mut ancestors = Vec::new();
            let mut redriven: HashSet<Fingerprint> = HashSet::new();
            let lineage = known.lineage.iter().flat_map(|lineage| &lineage.ancestors);
            for (ancestor, range) in lineage {
                let Begun { position, given_up, .. } = self.outside.look(ancestor).await?;
                ancestors.push((*range, position.max(given_up)));
                for earlier in self.outside.load_redriven(ancestor, now.minus(REDRIVEN_KEPT)).await? {
                    redriven.extend(earlier.handled);
                }
            }
            for earlier in self.outside.load_redriven(shard, now.minus(REDRIVEN_KEPT)).await? {
                redriven.extend(earlier.handled);
            }
            Ok((begun, window, ancestors, redriven))
        };
        let (begun, window, ancestors, redriven) = match looked.await {
            Ok(looked) => looked,
            Err(error) => return vec![Err(later(error)); deliveries.len()],
        };
        let context = LaneContext {
            outside: &self.outside,
            settings: &self.settings,
            shard,
            epoch: begun.epoch,
            failures: &BTreeMap::new(),
            position: &begun.position,
            began: now,
            stop_at: deadline.minus(margin),
            give_up_by: deadline.minus(margin),
            redrives: true,
        };
        let returned =
            Returned { window: &window, given_up: &begun.given_up, ancestors, fingerprints: &self.fingerprints };
        let mut results = self.handle_returned(deliveries, &context, &returned, &redriven).await;
        let recorded = self.record_redriven(shard, deliveries, &results, id).await;
        if let Err(error) = recorded {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(later(error.clone()));
            }
        }
        known.window = Some(window);
        remember(&self.redrives, shard.clone(), known);
        results
    }

    /// One after the other: they are few, and the live runs have the right of way.
    async fn handle_returned(
        &self,
        deliveries: &[(usize, Delivery)],
        context: &LaneContext<'_, O>,
        returned: &Returned<'_>,
        redriven: &HashSet<Fingerprint>,
    ) -> Vec<Result<Outcome, Left>> {
        let mut names = HashSet::new();
        let mut blocked: BTreeSet<&str> = BTreeSet::new();
        let mut results = Vec::with_capacity(deliveries.len());
        for (_, delivery) in deliveries {
            let Ok(content) = &delivery.content else { unreachable!("only events are redriven") };
            let name = content.fingerprint;
            let result = if returned.window.has(name) || redriven.contains(&name) || names.contains(&name) {
                Ok(Outcome::Duplicate)
            } else if blocked.contains(delivery.key.as_str()) {
                Err(Left::Later("an event of its key before it is left".to_owned()))
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
        let redriven = Redriven { id: format!("{id}/{shard}"), at: self.outside.now(), handled };
        self.outside.record_redriven(shard, &redriven).await?;
        self.outside.announce(shard).await
    }
}
