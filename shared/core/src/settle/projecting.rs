//! Lanes of a projection: load the key's state, fold the lane into it, dead-letter what is refused, store it.
//!
//! In that order: a state that says "applied up to here" must not be stored before the letters of the events it
//! refused are safe.

use super::Outside;
use super::lane::{LaneContext, LaneEnd, Stop, Work};
use super::run::Outcome;
use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::ports::{self, States};
use crate::position::Position;
use crate::projection::{Projection, Refusal, Stored, StoredState};

/// Bytes of a state as JSON. A DynamoDB item holds 400 KB, names and the refused positions included.
const STATE_BYTES_MAX: usize = 380 * 1000;

/// Bytes of a refused position in the item.
const REFUSED_BYTES: usize = 80;

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
        // until a commit has passed them, a redelivery can come for what an earlier write refused
        let mut refused: Vec<_> = before.iter().flat_map(|stored| &stored.refused).cloned().collect();
        refused.retain(|position| position > context.position);
        for delivery in events {
            let position = &delivery.position;
            if !self.concerns(delivery) {
                outcomes.push(Outcome::Handled);
                continue;
            }
            if let Some(stored) = before.as_ref().filter(|stored| *position <= stored.applied) {
                outcomes.push(stored.outcome_of(position));
                continue;
            }
            let Ok(content) = &delivery.content else { unreachable!("lanes hold events only") };
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
                    refused.push(position.clone());
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
        if let Some(bytes) = state
            .as_ref()
            .map(|state| state.len() + refused.len() * REFUSED_BYTES)
            .filter(|bytes| *bytes > STATE_BYTES_MAX)
        {
            // counted, so that a state that has outgrown its item ends in dead letters and does not block the shard
            return Err(Stop::Retry(format!("the state would take {bytes} bytes; at most {STATE_BYTES_MAX} fit")));
        }
        let after = StoredState { applied: last.clone(), state, refused };
        match context.bounded(self.states.store(&first.key, &after, applied)).await.map_err(Stop::Outside)? {
            Stored::Yes => Ok(Some(outcomes)),
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
        LaneEnd::nothing(Stop::Outside(ports::Error::Throttled("the state is being written by another run".into())))
    }

    async fn already<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Outcome>, ports::Error> {
        let stored = context.bounded(self.states.load(&event.key)).await?;
        Ok(stored.filter(|stored| event.position <= stored.applied).map(|stored| stored.outcome_of(&event.position)))
    }
}

impl StoredState {
    /// The outcome of an event that is applied.
    fn outcome_of(&self, position: &Position) -> Outcome {
        if self.refused.contains(position) { Outcome::DeadLettered } else { Outcome::Handled }
    }
}

fn damaged(first: &Delivery, error: &serde_json::Error) -> Stop {
    Stop::Outside(ports::Error::Damaged(format!("the state of key {}: {error}", first.key)))
}
