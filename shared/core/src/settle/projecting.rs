//! Lanes of a projection: load the key's state, fold the lane into it, dead-letter what is refused, store it.
//!
//! In that order: a state that says "applied up to here" must not be stored before the letters of the events it
//! refused are safe (P1). It is stored only over the state that was read, so that no event is applied twice (P3).
//!
//! Whatever ends a lane early (time, a letter that cannot be sent, an item that is full), the events before it are stored
//! and settled: a run that cannot do all of a lane does some of it, and the next one goes on from there.

mod fold;

use fold::{Folded, Step};

use super::Outside;
use super::Returned;
use super::lane::{LaneContext, LaneEnd, Stop, Work};
use super::letters::GivingUp;
use super::run::Outcome;
use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::fingerprint::Fingerprint;
use crate::key::PartitionKey;
use crate::ports::{self, States};
use crate::position::Position;
use crate::projection::{Projection, Refusal, Stored, StoredState};
use crate::trace;

/// Events that a state remembers by name: those that were redriven, and strays.
const REDRIVEN_MAX: usize = 1000;

/// Places of dead letters that an item has room for beyond its limit: events that are given up unrun, one a run.
const FORGONE_MAX: usize = 100;

/// Why an event is a dead letter whose later ones have gone into its state.
const GONE_PAST: &str = "the event source had gone on past it, and later events of its key were applied";

/// How often a lane starts over because another run has written the state meanwhile.
const RACES_MAX: usize = 3;

/// Runs a [`Projection`] over each lane.
#[derive(Debug)]
pub struct Projecting<P, S> {
    projection: P,
    states: S,
}

impl<P: Projection, S: States> Projecting<P, S> {
    /// A projection that keeps its states in `states`.
    pub fn new(projection: P, states: S) -> Self {
        Self { projection, states }
    }

    fn concerns(&self, delivery: &Delivery) -> bool {
        delivery.content.as_ref().is_ok_and(|content| self.projection.concerns(&content.event))
    }

    /// Does what it can of a lane; `None` if the state was written meanwhile.
    async fn fold<O: Outside>(
        &self,
        events: &[&Delivery],
        context: &LaneContext<'_, O>,
    ) -> Result<Option<LaneEnd>, Stop> {
        let Some(first) = events.iter().find(|delivery| self.concerns(delivery)) else {
            return Ok(Some(LaneEnd { outcomes: vec![Outcome::Handled; events.len()], stop: None }));
        };
        let before = context.bounded(self.states.load(&first.key)).await.map_err(Stop::Outside)?;
        let state = self.state_of(before.as_ref(), first)?;
        let known = self.known(events, before.as_ref(), context).await.map_err(Stop::Outside)?;
        let dead = DeadPlaces::before(before.as_ref(), context);
        let room = context.settings.item.refused.saturating_sub(dead.places.len());
        let go_on = |refused| match () {
            () if context.time_left().is_zero() => Err(Stop::OutOfTime),
            () if refused >= room => Err(Stop::Outside(full(context.settings.item.refused))),
            () => Ok(()),
        };
        let most = context.settings.item.state_bytes;
        let folded = Folded::new(&self.projection, events, state, most, known, go_on);
        let mut folded = folded.map_err(|error| damaged(first, &error))?;

        let letter = |(index, code, reason): (usize, Code, &str)| GivingUp {
            delivery: events[index],
            code,
            reason: reason.to_owned(),
            attempts: 1,
        };
        let letters: Vec<_> = folded.refused().map(letter).collect();
        let indices: Vec<usize> = folded.refused().map(|(index, ..)| index).collect();
        let sent = context.give_up(letters).await;
        let unsent = indices.into_iter().zip(sent).find_map(|(index, sent)| Some((index, sent.err()?)));
        if let Some((index, error)) = unsent {
            folded.cut(index, Stop::Outside(error));
        }
        let is_stray = |(delivery, _): &(&Delivery, bool)| delivery.is_stray(context.range);
        let last = folded.judged().rev().find(|judged| !is_stray(judged)).map(|(delivery, _)| delivery);
        let strays = folded.judged().filter(|judged| is_stray(judged) && judged.1);
        let strays: Vec<_> = strays.filter_map(|(delivery, _)| name(delivery)).collect();
        if last.is_some() || !strays.is_empty() {
            let json = folded.json().map_err(|error| damaged(first, &error))?;
            let applied = last.map(|last| &last.position);
            let mut after = StoredState { state: json, ..next_state(before.as_ref(), context, applied, &first.key) };
            after.remember(strays);
            let over = before.as_ref().map(|stored| stored.revision);
            let stored = context.stored(self.states.store(&first.key, &after, over)).await.map_err(Stop::Outside)?;
            if stored == Stored::Superseded {
                return Ok(None);
            }
        }
        Ok(Some(LaneEnd { outcomes: folded.outcomes(), stop: folded.stop }))
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
                // known by its name alone; its run may not have recorded it
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

    /// Folds an event into the state as it is now, behind the events that came after it; `None` if the state was
    /// written meanwhile.
    async fn fold_late<O: Outside>(
        &self,
        delivery: &Delivery,
        context: &LaneContext<'_, O>,
        returned: &Returned<'_>,
    ) -> Result<Option<Outcome>, Stop> {
        let Ok(content) = &delivery.content else { unreachable!("only events are redriven") };
        if !self.projection.concerns(&content.event) {
            return Ok(Some(Outcome::Handled));
        }
        let before = context.bounded(self.states.load(&delivery.key)).await.map_err(Stop::Outside)?;
        if let Some(stored) = &before {
            if stored.redriven.contains(&content.fingerprint) {
                return Ok(Some(Outcome::Duplicate));
            }
            // a copy of this event may be among what was applied last, and not yet be in the window
            if !returned.is_stray() && !returned.is_recorded(&stored.applied) {
                let why = "what its key has applied last is not recorded yet".to_owned();
                return Err(Stop::Outside(ports::Error::Throttled(why)));
            }
        }
        let state = self.state_of(before.as_ref(), delivery)?;
        let state = self.projection.fold(state, &content.event).map_err(|Refusal(reason)| Stop::Retry(reason))?;
        let over = before.as_ref().map(|stored| stored.revision);
        let json = serde_json::to_string(&state).map_err(|error| damaged(delivery, &error))?;
        let (bytes, most) = (json.len(), context.settings.item.state_bytes);
        let bytes_before = before.as_ref().and_then(|stored| stored.state.as_ref()).map_or(0, String::len);
        if bytes > most.max(bytes_before) {
            return Err(Stop::Retry(format!("the state of its key would take {bytes} bytes; at most {most} fit")));
        }
        let mut after = before.unwrap_or_else(StoredState::nothing);
        after.revision += 1;
        after.state = Some(json);
        after.remember([content.fingerprint]);
        match context.stored(self.states.store(&delivery.key, &after, over)).await.map_err(Stop::Outside)? {
            Stored::Yes => Ok(Some(Outcome::Handled)),
            Stored::Superseded => Ok(None),
        }
    }
}

impl<P: Projection, S: States> Work for Projecting<P, S> {
    async fn run<O: Outside>(&self, events: &[&Delivery], context: &LaneContext<'_, O>) -> LaneEnd {
        // a lane is one load, one fold and one store for all of its events
        let _spans: Vec<_> = events.iter().map(|event| trace::process(event)).collect();
        for _ in 0..RACES_MAX {
            if context.time_left().is_zero() {
                return LaneEnd::nothing(Stop::OutOfTime);
            }
            match self.fold(events, context).await {
                Ok(Some(end)) => return end,
                // a reply of ours was lost, or a run that lost its fence is still writing: look again
                Ok(None) => {}
                Err(stop) => return LaneEnd::nothing(stop),
            }
        }
        LaneEnd::nothing(Stop::Outside(raced()))
    }

    async fn forgo<O: Outside>(&self, event: &Delivery, context: &LaneContext<'_, O>) -> Result<Outcome, ports::Error> {
        if !self.concerns(event) || event.is_stray(context.range) {
            return Ok(Outcome::DeadLettered);
        }
        for _ in 0..RACES_MAX {
            let before = context.bounded(self.states.load(&event.key)).await?;
            if let Some(stored) = before.as_ref().filter(|stored| event.position <= stored.applied) {
                let outcome = stored.outcome_of(&event.position, context).await?;
                return Ok(outcome.unwrap_or(Outcome::DeadLettered));
            }
            let over = before.as_ref().map(|stored| stored.revision);
            let after = next_state(before.as_ref(), context, Some(&event.position), &event.key);
            if after.refused.len() > context.settings.item.refused + FORGONE_MAX {
                return Err(full(context.settings.item.refused));
            }
            if context.stored(self.states.store(&event.key, &after, over)).await? == Stored::Yes {
                return Ok(Outcome::DeadLettered);
            }
        }
        Err(raced())
    }

    async fn redrive<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
        returned: &Returned<'_>,
    ) -> Result<Outcome, Stop> {
        for _ in 0..RACES_MAX {
            if let Some(outcome) = self.fold_late(event, context, returned).await? {
                return Ok(outcome);
            }
        }
        Err(Stop::Outside(raced()))
    }

    async fn already<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Outcome>, ports::Error> {
        let stored = context.bounded(self.states.load(&event.key)).await?;
        if event.is_stray(context.range) {
            let applied = |stored: &StoredState| name(event).is_some_and(|name| stored.redriven.contains(&name));
            return Ok(stored.filter(applied).map(|_| Outcome::Handled));
        }
        match stored.filter(|stored| event.position <= stored.applied) {
            Some(stored) => stored.outcome_of(&event.position, context).await,
            None => Ok(None),
        }
    }
}

impl StoredState {
    /// What is stored of a key before its first event.
    fn nothing() -> Self {
        Self {
            revision: 0,
            applied: Position::start(),
            state: None,
            settled: Position::start(),
            refused: Vec::new(),
            refused_to: Position::start(),
            redriven: Vec::new(),
        }
    }

    /// Remembers events that were applied out of their order by their names.
    fn remember(&mut self, names: impl IntoIterator<Item = Fingerprint>) {
        self.redriven.extend(names);
        self.redriven.drain(..self.redriven.len().saturating_sub(REDRIVEN_MAX));
    }

    /// The outcome of an event at or below the last that was applied; `None` if the event source had gone on past it and
    /// has come back.
    async fn outcome_of<O: Outside>(
        &self,
        position: &Position,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Outcome>, ports::Error> {
        if *position > self.settled {
            let refused = self.refused.binary_search(&context.fingerprints.position(position)).is_ok();
            return Ok(Some(if refused { Outcome::DeadLettered } else { Outcome::Handled }));
        }
        // a run that has lost its fence cannot know: to guess would be to record what may not be true. One that holds it
        // knows that no commit has passed the event
        if context.holds_fence().await? { Ok(None) } else { Err(raced()) }
    }
}

/// Which events of a key are dead letters, above the position up to which that is forgotten: what earlier writes
/// refused, because until a commit has passed them a redelivery can come for them.
struct DeadPlaces {
    settled: Position,
    places: Vec<Fingerprint>,
    highest: Position,
}

impl DeadPlaces {
    fn before<O: Outside>(before: Option<&StoredState>, context: &LaneContext<'_, O>) -> Self {
        let settled = before.map_or_else(Position::start, |stored| stored.settled.clone());
        let settled = settled.max(context.position.clone()).max(context.below.clone());
        // all or nothing: a place does not say where it is
        let kept = before.filter(|stored| stored.refused_to > settled);
        let places = kept.map(|stored| stored.refused.clone()).unwrap_or_default();
        let highest = kept.map_or_else(|| settled.clone(), |stored| stored.refused_to.clone());
        Self { settled, places, highest }
    }

    /// What this run gave up too, folded or not, because a run that has lost its fence must not take it for applied; not
    /// what is above `applied`, which is judged again.
    fn and_given_up<O: Outside>(
        mut self,
        applied: &Position,
        context: &LaneContext<'_, O>,
        key: &PartitionKey,
    ) -> Self {
        for position in context.given_up_of(key, &self.settled) {
            if position <= *applied {
                self.places.push(context.fingerprints.position(&position));
                self.highest = self.highest.max(position);
            }
        }
        self.places.sort_unstable();
        self.places.dedup();
        self
    }
}

/// The state that is stored over `before` when everything up to `last` is applied or refused.
fn next_state<O: Outside>(
    before: Option<&StoredState>,
    context: &LaneContext<'_, O>,
    last: Option<&Position>,
    key: &PartitionKey,
) -> StoredState {
    let before = before.cloned().unwrap_or_else(StoredState::nothing);
    let Some(last) = last else {
        // strays alone: this shard's positions say nothing of the events of the key's own
        return StoredState { revision: before.revision + 1, ..before };
    };
    let applied = before.applied.clone().max(last.clone());
    let dead = DeadPlaces::before(Some(&before), context).and_given_up(&applied, context, key);
    StoredState {
        revision: before.revision + 1,
        applied,
        state: before.state,
        settled: dead.settled,
        refused: dead.places,
        refused_to: dead.highest,
        redriven: before.redriven,
    }
}

fn full(most: usize) -> ports::Error {
    let why = format!("{most} events of its key are refused and not passed by a commit yet: the next run goes on");
    ports::Error::Throttled(why)
}

fn name(delivery: &Delivery) -> Option<Fingerprint> {
    delivery.content.as_ref().ok().map(|content| content.fingerprint)
}

fn raced() -> ports::Error {
    ports::Error::Throttled("the state is being written by another run".to_owned())
}

fn damaged(first: &Delivery, error: &serde_json::Error) -> Stop {
    Stop::Outside(ports::Error::Damaged(format!("the state of key {}: {error}", first.key)))
}
