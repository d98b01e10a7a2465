//! Lanes of a projection: load the keys' states, fold each lane into its own, dead-letter what is refused, store them.
//!
//! In that order: a state that says "applied up to here" must not be stored before the letters of the events it
//! refused are safe (P1). It is stored only over the state that was read, so that no event is applied twice (P3).
//!
//! Many lanes share the calls, and each comes to its own end: a state that was written meanwhile, or a write that failed,
//! is no other lane's concern.
//!
//! Whatever ends a lane early (time, a letter that cannot be sent, an item that is full), the events before it are stored
//! and settled: a run that cannot do all of a lane does some of it, and the next one goes on from there.

mod after;
mod cache;
mod fold;
mod single;

use std::sync::Arc;

use after::{DeadPlaces, full, next_state, raced};
use cache::Cache;
use fold::{Folded, Step};

use super::lane::{LaneEnd, Outcome, Stop};
use super::letters::DeadLettering;
use super::settler::Outside;
use super::work::{Context, Lane, LaneContext};
use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::fingerprint::Fingerprint;
use crate::key::PartitionKey;
use crate::ports::{self, StateWrite, States};
use crate::projection::{Projection, Stored, StoredState};
use crate::span;

/// Keys that are loaded, folded and stored together: what one `BatchGetItem` takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const KEYS_AT_ONCE: usize = 100;

/// So many of those side by side: one waits for its calls while the other folds. More would hold more states in memory.
const SIDE_BY_SIDE: usize = 2;

/// The reason of a dead letter whose event was below what its key's state has applied.
const GONE_PAST: &str = "the event source had gone on past it, and later events of its key were applied";

/// How often a lane starts over because another run has written the state meanwhile.
const RACES_MAX: usize = 3;

/// Runs a [`Projection`] over lanes.
#[derive(Debug)]
pub struct Projecting<P, S> {
    projection: P,
    states: S,
    cache: Cache,
}

/// The state of a key before a lane is folded into it.
struct Before {
    stored: Option<Arc<StoredState>>,
    /// It comes from the cache, and can be out of date.
    remembered: bool,
}

/// A lane that has been folded in memory, and is not stored.
struct Folding<'a, P: Projection> {
    lane: usize,
    events: &'a [&'a Delivery],
    before: Option<Arc<StoredState>>,
    folded: Folded<'a, P>,
}

impl<P: Projection, S: States> Projecting<P, S> {
    /// A projection that keeps its states in `states`, and remembers so many bytes of them.
    pub fn new(projection: P, states: S, cache_bytes: usize) -> Self {
        Self { projection, states, cache: Cache::new(cache_bytes) }
    }

    fn concerns(&self, delivery: &Delivery) -> bool {
        delivery.content.as_ref().is_ok_and(|content| self.projection.concerns(&content.event))
    }

    /// Works through some lanes with shared calls. Those that were not stored because another run had written the state
    /// are tried again.
    async fn together<O: Outside>(&self, lanes: &[Lane<'_>], context: &LaneContext<'_, O>) -> Vec<LaneEnd> {
        // a lane is one load, one fold and one store for all of its events
        let _spans: Vec<_> = lanes.iter().flatten().map(|event| span::process(event)).collect();
        let unconcerned = |events: &Lane<'_>| {
            let done = !events.iter().any(|delivery| self.concerns(delivery));
            done.then(|| LaneEnd { outcomes: vec![Outcome::Handled; events.len()], stop: None })
        };
        let mut ends: Vec<Option<LaneEnd>> = lanes.iter().map(unconcerned).collect();
        for round in 0..=RACES_MAX {
            let open: Vec<usize> = (0..lanes.len()).filter(|lane| ends[*lane].is_none()).collect();
            if open.is_empty() {
                break;
            }
            if context.at.time_left().is_zero() {
                for lane in open {
                    ends[lane] = Some(LaneEnd::nothing(Stop::OutOfTime));
                }
                break;
            }
            self.round(lanes, &open, round == 0, context, &mut ends).await;
        }
        ends.into_iter().map(|end| end.unwrap_or_else(|| LaneEnd::nothing(Stop::Outside(raced())))).collect()
    }

    /// Loads, folds and stores the `open` lanes once. Those whose state was out of date still have no end after it.
    async fn round<O: Outside>(
        &self,
        lanes: &[Lane<'_>],
        open: &[usize],
        remembered: bool,
        context: &LaneContext<'_, O>,
        ends: &mut [Option<LaneEnd>],
    ) {
        let keys: Vec<PartitionKey> = open.iter().map(|lane| lanes[*lane][0].key.clone()).collect();
        let mut foldings = Vec::with_capacity(open.len());
        for (lane, before) in open.iter().copied().zip(self.load(&keys, remembered, context).await) {
            let events = &lanes[lane];
            let before = match before {
                Ok(before) => before,
                Err(error) => {
                    ends[lane] = Some(LaneEnd::nothing(Stop::Outside(error)));
                    continue;
                }
            };
            match self.fold(events, before.stored.as_deref(), context).await {
                // read it again first: a cached state can be out of date, and a letter cannot be taken back
                Ok(folded) if before.remembered && folded.refused().next().is_some() => {
                    self.cache.forget(&events[0].key);
                }
                Ok(folded) => foldings.push(Folding { lane, events, before: before.stored, folded }),
                Err(stop) => ends[lane] = Some(LaneEnd::nothing(stop)),
            }
        }
        self.dead_letter_refused(&mut foldings, context).await;
        self.store(foldings, context, ends).await;
    }

    /// The states of keys: one result a key.
    async fn load<O: Outside>(
        &self,
        keys: &[PartitionKey],
        remembered: bool,
        context: &LaneContext<'_, O>,
    ) -> Vec<Result<Before, ports::Error>> {
        let known = |key: &PartitionKey| remembered.then(|| self.cache.get(key)).flatten();
        let known: Vec<Option<Arc<StoredState>>> = keys.iter().map(known).collect();
        let unknown = keys.iter().zip(&known).filter(|(_, known)| known.is_none());
        let unknown: Vec<PartitionKey> = unknown.map(|(key, _)| key.clone()).collect();
        let mut read = self.read(&unknown, &context.at).await.into_iter();
        let before = |known: Option<Arc<StoredState>>| match known {
            Some(stored) => Ok(Before { stored: Some(stored), remembered: true }),
            None => read.next().unwrap_or_else(|| unreachable!("there is a result for each key")),
        };
        known.into_iter().map(before).collect()
    }

    /// The states of keys as they are now.
    async fn read<O: Outside>(
        &self,
        keys: &[PartitionKey],
        context: &Context<'_, O>,
    ) -> Vec<Result<Before, ports::Error>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let loaded = context.bounded(async { Ok(self.states.load(keys).await) }).await;
        let loaded = loaded.unwrap_or_else(|error| vec![Err(error); keys.len()]);
        assert_eq!(loaded.len(), keys.len(), "there is a result for each key");
        let before = |(key, stored): (&PartitionKey, Result<Option<StoredState>, ports::Error>)| {
            let stored = stored?.map(Arc::new);
            if let Some(stored) = &stored {
                self.cache.put(key, Arc::clone(stored));
            }
            Ok(Before { stored, remembered: false })
        };
        keys.iter().zip(loaded).map(before).collect()
    }

    /// Folds as much of a lane as can be, in memory.
    async fn fold<'a, O: Outside>(
        &'a self,
        events: &'a [&'a Delivery],
        before: Option<&StoredState>,
        context: &LaneContext<'_, O>,
    ) -> Result<Folded<'a, P>, Stop> {
        let first = events[0];
        let state = self.state_of(before, first)?;
        let known = self.known(events, before, context).await.map_err(Stop::Outside)?;
        let dead = DeadPlaces::before(before, context);
        let room = context.at.settings.item.refused.saturating_sub(dead.places.len());
        let go_on = |refused| match () {
            () if context.at.time_left().is_zero() => Err(Stop::OutOfTime),
            () if refused >= room => Err(Stop::Outside(full(context.at.settings.item.refused))),
            () => Ok(()),
        };
        let most = context.at.settings.item.state_bytes;
        let folded = Folded::new(&self.projection, events, state, most, known, go_on);
        folded.map_err(|error| damaged(first, &error))
    }

    /// Sends the letters of all lanes. A lane ends before an event whose letter was not sent.
    async fn dead_letter_refused<O: Outside>(&self, foldings: &mut [Folding<'_, P>], context: &LaneContext<'_, O>) {
        let refused = foldings.iter().enumerate().flat_map(|(number, folding)| {
            folding.folded.refused().map(move |(index, code, reason)| {
                let delivery = folding.events[index];
                let letter = DeadLettering { delivery, code, reason: reason.to_owned(), attempts: 1 };
                ((number, index), letter)
            })
        });
        let (places, letters): (Vec<(usize, usize)>, Vec<_>) = refused.unzip();
        let sent = context.dead_letter(letters).await;
        // from the last to the first: each cut leaves a shorter lane
        for ((number, index), sent) in places.into_iter().zip(sent).rev() {
            if let Err(error) = sent {
                foldings[number].folded.cut(index, Stop::Outside(error));
            }
        }
    }

    /// Stores what was folded. A lane whose state was written meanwhile gets no end.
    async fn store<O: Outside>(
        &self,
        foldings: Vec<Folding<'_, P>>,
        context: &LaneContext<'_, O>,
        ends: &mut [Option<LaneEnd>],
    ) {
        let (mut writes, mut written) = (Vec::new(), Vec::new());
        for folding in foldings {
            let lane = folding.lane;
            match self.write_of(&folding, context) {
                Ok(Some(write)) => {
                    writes.push(write);
                    written.push(folding);
                }
                Ok(None) => ends[lane] = Some(folding.end()),
                Err(stop) => ends[lane] = Some(LaneEnd::nothing(stop)),
            }
        }
        let stored = self.write(&writes, &context.at).await;
        for (folding, stored) in written.into_iter().zip(stored) {
            let lane = folding.lane;
            match stored {
                Ok(Stored::Yes) => ends[lane] = Some(folding.end()),
                // our own write whose reply was lost, or one of a fenced run: load and fold again
                Ok(Stored::Superseded) => {}
                Err(error) => ends[lane] = Some(LaneEnd::nothing(Stop::Outside(error))),
            }
        }
    }

    /// What is to be stored of a lane, if anything is.
    fn write_of<O: Outside>(
        &self,
        Folding { events, before, folded, .. }: &Folding<'_, P>,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<StateWrite>, Stop> {
        let first = events[0];
        let is_stray = |(delivery, _): &(&Delivery, bool)| delivery.is_stray(context.range);
        let last = folded.judged().rev().find(|judged| !is_stray(judged)).map(|(delivery, _)| delivery);
        let strays = folded.judged().filter(|judged| is_stray(judged) && judged.1);
        let strays: Vec<_> = strays.filter_map(|(delivery, _)| name(delivery)).collect();
        if last.is_none() && strays.is_empty() {
            return Ok(None);
        }
        let json = folded.json().map_err(|error| damaged(first, &error))?;
        let applied = last.map(|last| &last.position);
        let mut state = StoredState { state: json, ..next_state(before.as_deref(), context, applied, &first.key) };
        state.remember(strays);
        Ok(Some(StateWrite { key: first.key.clone(), state, over: before.as_ref().map(|stored| stored.revision) }))
    }

    /// Writes states: one result a write. The process remembers what was written, and nothing of what was not.
    async fn write<O: Outside>(
        &self,
        writes: &[StateWrite],
        context: &Context<'_, O>,
    ) -> Vec<Result<Stored, ports::Error>> {
        if writes.is_empty() {
            return Vec::new();
        }
        let stored = context.stored(async { Ok(self.states.store(writes).await) }).await;
        let stored = stored.unwrap_or_else(|error| vec![Err(error); writes.len()]);
        assert_eq!(stored.len(), writes.len(), "there is a result for each write");
        for (write, stored) in writes.iter().zip(&stored) {
            match stored {
                Ok(Stored::Yes) => self.cache.put(&write.key, Arc::new(write.state.clone())),
                Ok(Stored::Superseded) | Err(_) => self.cache.forget(&write.key),
            }
        }
        stored
    }

    fn state_of(&self, stored: Option<&StoredState>, of: &Delivery) -> Result<Option<P::State>, Stop> {
        let json = stored.and_then(|stored| stored.state.as_deref());
        json.map(|json| serde_json::from_str(json).map_err(|error| damaged(of, &error))).transpose()
    }

    /// What becomes of the events that are not folded.
    async fn known<O: Outside>(
        &self,
        events: &[&Delivery],
        stored: Option<&StoredState>,
        context: &LaneContext<'_, O>,
    ) -> Result<Vec<Option<Step>>, ports::Error> {
        let mut known = Vec::with_capacity(events.len());
        for delivery in events {
            let redriven = |stored: &StoredState| name(delivery).is_some_and(|name| stored.redriven.contains(&name));
            known.push(match stored {
                _ if !self.concerns(delivery) => Some(Step::Past(Outcome::Handled)),
                // positions of another shard say nothing here: the state knows strays by their names
                Some(stored) if delivery.is_stray(context.range) => {
                    redriven(stored).then_some(Step::Past(Outcome::Handled))
                }
                Some(stored) if delivery.position <= stored.applied => {
                    Some(match stored.outcome_of(&delivery.position, context).await? {
                        Some(outcome) => Step::Past(outcome),
                        None => Step::Refuse(Code::GivenUp, GONE_PAST.to_owned()),
                    })
                }
                Some(stored) if redriven(stored) => Some(Step::Past(Outcome::Duplicate)),
                _ => None,
            });
        }
        Ok(known)
    }
}

impl<P: Projection> Folding<'_, P> {
    fn end(self) -> LaneEnd {
        LaneEnd { outcomes: self.folded.outcomes(), stop: self.folded.stop }
    }
}

fn name(delivery: &Delivery) -> Option<Fingerprint> {
    delivery.content.as_ref().ok().map(|content| content.fingerprint)
}

fn damaged(first: &Delivery, error: &serde_json::Error) -> Stop {
    Stop::Outside(ports::Error::Damaged(format!("the state of key {}: {error}", first.key)))
}
