//! Lanes of a projection: load the key's state, fold the lane into it, dead-letter what is refused, store it.
//!
//! In that order: a state that says "applied up to here" must not be stored before the letters of the events it
//! refused are safe (P1). It is stored only over the state that was read, so that no event is applied twice (P3).

use super::Outside;
use super::Returned;
use super::lane::{LaneContext, LaneEnd, Stop, Work};
use super::run::Outcome;
use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::key::PartitionKey;
use crate::ports::{self, States};
use crate::position::Position;
use crate::projection::{Projection, Refusal, Stored, StoredState};

/// Bytes of a state as JSON. A DynamoDB item holds 400 KB, names and the refused positions included.
const STATE_BYTES_MAX: usize = 380 * 1000;

/// Bytes of a refused position in the item.
const REFUSED_BYTES: usize = 80;

/// Redriven events that a state remembers.
const REDRIVEN_MAX: usize = 1000;

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

    async fn fold<O: Outside>(
        &self,
        events: &[&Delivery],
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Vec<Outcome>>, Stop> {
        let concerned: Vec<&&Delivery> = events.iter().filter(|delivery| self.concerns(delivery)).collect();
        let Some(first) = concerned.first() else {
            return Ok(Some(vec![Outcome::Handled; events.len()]));
        };
        let before = context.bounded(self.states.load(&first.key)).await.map_err(Stop::Outside)?;
        let applied = before.as_ref().map(|stored| &stored.applied);
        let mut state: Option<P::State> = match before.as_ref().and_then(|stored| stored.state.as_deref()) {
            Some(json) => Some(serde_json::from_str(json).map_err(|error| damaged(first, &error))?),
            None => None,
        };
        let mut outcomes = Vec::with_capacity(events.len());
        for delivery in events {
            let position = &delivery.position;
            if !self.concerns(delivery) {
                outcomes.push(Outcome::Handled);
                continue;
            }
            if let Some(stored) = before.as_ref().filter(|stored| *position <= stored.applied) {
                let outcome = match stored.outcome_of(position, context).await.map_err(Stop::Outside)? {
                    Some(outcome) => outcome,
                    None => {
                        let given_up = context.give_up(delivery, Code::GivenUp, GONE_PAST, 0).await;
                        given_up.map_err(Stop::Outside)?;
                        Outcome::DeadLettered
                    }
                };
                outcomes.push(outcome);
                continue;
            }
            let Ok(content) = &delivery.content else { unreachable!("lanes hold events only") };
            if before.as_ref().is_some_and(|stored| stored.redriven.contains(&content.fingerprint)) {
                outcomes.push(Outcome::Duplicate);
                continue;
            }
            if context.time_left().is_zero() {
                return Err(Stop::OutOfTime);
            }
            match self.projection.fold(state.clone(), &content.event) {
                Ok(next) => {
                    state = Some(next);
                    outcomes.push(Outcome::Handled);
                }
                Err(Refusal(reason)) => {
                    context.give_up(delivery, Code::Refused, &reason, 1).await.map_err(Stop::Outside)?;
                    outcomes.push(Outcome::DeadLettered);
                }
            }
        }
        let last = concerned.last().map_or(&first.position, |delivery| &delivery.position);
        if applied.is_some_and(|applied| applied >= last) {
            return Ok(Some(outcomes));
        }
        let state = match &state {
            Some(state) => Some(serde_json::to_string(state).map_err(|error| damaged(first, &error))?),
            None => None,
        };
        let redriven = before.as_ref().map(|stored| stored.redriven.clone()).unwrap_or_default();
        let over = before.as_ref().map(|stored| stored.revision);
        let (settled, refused) = dead_letters(before.as_ref(), context, &first.key);
        let after = StoredState { revision: next(over), applied: last.clone(), state, settled, refused, redriven };
        fits(&after)?;
        match context.bounded(self.states.store(&first.key, &after, over)).await.map_err(Stop::Outside)? {
            Stored::Yes => Ok(Some(outcomes)),
            Stored::Superseded => Ok(None),
        }
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
            if !returned.is_recorded(&stored.applied) {
                let why = "what its key has applied last is not recorded yet".to_owned();
                return Err(Stop::Outside(ports::Error::Throttled(why)));
            }
        }
        let state: Option<P::State> = match before.as_ref().and_then(|stored| stored.state.as_deref()) {
            Some(json) => Some(serde_json::from_str(json).map_err(|error| damaged(delivery, &error))?),
            None => None,
        };
        let state = self.projection.fold(state, &content.event).map_err(|Refusal(reason)| Stop::Retry(reason))?;
        let over = before.as_ref().map(|stored| stored.revision);
        let state = Some(serde_json::to_string(&state).map_err(|error| damaged(delivery, &error))?);
        let (applied, settled, refused, mut redriven) = match before {
            Some(stored) => (stored.applied, stored.settled, stored.refused, stored.redriven),
            None => (Position::start(), Position::start(), Vec::new(), Vec::new()),
        };
        redriven.push(content.fingerprint);
        redriven.drain(..redriven.len().saturating_sub(REDRIVEN_MAX));
        let after = StoredState { revision: next(over), applied, state, settled, refused, redriven };
        fits(&after)?;
        match context.bounded(self.states.store(&delivery.key, &after, over)).await.map_err(Stop::Outside)? {
            Stored::Yes => Ok(Some(Outcome::Handled)),
            Stored::Superseded => Ok(None),
        }
    }
}

impl<P: Projection, S: States> Work for Projecting<P, S> {
    async fn run<O: Outside>(&self, events: &[&Delivery], context: &LaneContext<'_, O>) -> LaneEnd {
        for _ in 0..RACES_MAX {
            if context.time_left().is_zero() {
                return LaneEnd::nothing(Stop::OutOfTime);
            }
            match self.fold(events, context).await {
                Ok(Some(outcomes)) => return LaneEnd { outcomes, stop: None },
                // a reply of ours was lost, or a run that lost its fence is still writing: look again
                Ok(None) => {}
                Err(stop) => return LaneEnd::nothing(stop),
            }
        }
        LaneEnd::nothing(Stop::Outside(raced()))
    }

    async fn forgo<O: Outside>(&self, event: &Delivery, context: &LaneContext<'_, O>) -> Result<Outcome, ports::Error> {
        if !self.concerns(event) {
            return Ok(Outcome::DeadLettered);
        }
        for _ in 0..RACES_MAX {
            let before = context.bounded(self.states.load(&event.key)).await?;
            if let Some(stored) = before.as_ref().filter(|stored| event.position <= stored.applied) {
                let outcome = stored.outcome_of(&event.position, context).await?;
                return Ok(outcome.unwrap_or(Outcome::DeadLettered));
            }
            let over = before.as_ref().map(|stored| stored.revision);
            let (settled, refused) = dead_letters(before.as_ref(), context, &event.key);
            let (state, redriven) = before.map(|stored| (stored.state, stored.redriven)).unwrap_or_default();
            let applied = event.position.clone();
            let after = StoredState { revision: next(over), applied, state, settled, refused, redriven };
            if context.bounded(self.states.store(&event.key, &after, over)).await? == Stored::Yes {
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
        match stored.filter(|stored| event.position <= stored.applied) {
            Some(stored) => stored.outcome_of(&event.position, context).await,
            None => Ok(None),
        }
    }
}

impl StoredState {
    /// The outcome of an event at or below the last that was applied; `None` if the event source had gone on past it and
    /// has come back.
    async fn outcome_of<O: Outside>(
        &self,
        position: &Position,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Outcome>, ports::Error> {
        if *position > self.settled {
            let refused = self.refused.contains(position);
            return Ok(Some(if refused { Outcome::DeadLettered } else { Outcome::Handled }));
        }
        // a run that has lost its fence cannot know: to guess would be to record what may not be true. One that holds it
        // knows that no commit has passed the event
        if context.holds_fence().await? { Ok(None) } else { Err(raced()) }
    }
}

/// Which events of a key are dead letters, above the position up to which that is forgotten: what earlier writes
/// refused, because until a commit has passed them a redelivery can come for them; and what this run gave up, folded or
/// not, because a run that has lost its fence must not take it for applied.
fn dead_letters<O: Outside>(
    before: Option<&StoredState>,
    context: &LaneContext<'_, O>,
    key: &PartitionKey,
) -> (Position, Vec<Position>) {
    let settled = before.map_or_else(Position::start, |stored| stored.settled.clone());
    let settled = settled.max(context.position.clone()).max(context.below.clone());
    let mut refused: Vec<_> = before.iter().flat_map(|stored| &stored.refused).cloned().collect();
    refused.extend(context.given_up_of(key));
    refused.retain(|position| *position > settled);
    refused.sort();
    refused.dedup();
    (settled, refused)
}

fn next(revision: Option<u64>) -> u64 {
    revision.unwrap_or(0) + 1
}

fn raced() -> ports::Error {
    ports::Error::Throttled("the state is being written by another run".to_owned())
}

/// Counted as a retry, so that a state that has outgrown its item ends in dead letters and does not block the shard.
fn fits(state: &StoredState) -> Result<(), Stop> {
    let json = state.state.as_ref().map_or(0, String::len);
    let bytes = json + state.refused.len() * REFUSED_BYTES + state.redriven.len() * 8;
    if bytes > STATE_BYTES_MAX {
        return Err(Stop::Retry(format!("the state would take {bytes} bytes; at most {STATE_BYTES_MAX} fit")));
    }
    Ok(())
}

fn damaged(first: &Delivery, error: &serde_json::Error) -> Stop {
    Stop::Outside(ports::Error::Damaged(format!("the state of key {}: {error}", first.key)))
}
