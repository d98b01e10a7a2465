//! A lane folded into its key's state, in memory: what becomes of each event, and which state each prefix leaves.

use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::event::Event;
use crate::projection::{Projection, Refusal};
use crate::settle::lane::{Outcome, Stop};

/// What becomes of an event.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// It needs nothing: settled before, or no concern of this projection.
    Past(Outcome),
    /// It is folded into the state.
    Apply,
    /// It is dead-lettered.
    Refuse(Code, String),
}

/// Events after which the size of a state is looked at: one that has outgrown its item makes every step slow.
const SIZES_EVERY: usize = 64;

/// The first events of a lane that could be folded.
#[derive(Debug)]
pub(super) struct Folded<'a, P: Projection> {
    projection: &'a P,
    events: &'a [&'a Delivery],
    before: Option<P::State>,
    state_bytes_max: usize,
    pub(super) steps: Vec<Step>,
    /// Why the event after those has no step.
    pub(super) stop: Option<Stop>,
    state: Option<P::State>,
}

impl<'a, P: Projection> Folded<'a, P> {
    /// Folds as many of `events` into `before` as `go_on` allows; it is asked before each, with how many are refused so
    /// far. `known` are the steps of those that need no folding.
    pub(super) fn new(
        projection: &'a P,
        events: &'a [&'a Delivery],
        before: Option<P::State>,
        state_bytes_max: usize,
        known: Vec<Option<Step>>,
        go_on: impl Fn(usize) -> Result<(), Stop>,
    ) -> Result<Self, serde_json::Error> {
        let state = before.clone();
        let steps = Vec::with_capacity(events.len());
        let mut this = Self { projection, events, before, state_bytes_max, steps, stop: None, state };
        this.walk(&known, &go_on, false)?;
        if this.bytes()? > state_bytes_max {
            // again, with a look at the size after each event from the first on that is too much
            let fits = this.longest_that_fits()?;
            this.steps.truncate(fits);
            this.state = this.replay();
            this.stop = None;
            this.walk(&known, &go_on, true)?;
        }
        Ok(this)
    }

    /// Goes on behind the steps that are taken, up to the end or to what stops it; without looking at each size, up to
    /// where the state is too large already.
    fn walk(
        &mut self,
        known: &[Option<Step>],
        go_on: impl Fn(usize) -> Result<(), Stop>,
        looks_at_each_size: bool,
    ) -> Result<(), serde_json::Error> {
        let mut refused = self.refused().count();
        let mut bytes = self.bytes()?;
        let from = self.steps.len();
        for (number, (delivery, known)) in (1..).zip(self.events.iter().zip(known).skip(from)) {
            if let Some(step) = known {
                refused += usize::from(matches!(step, Step::Refuse(..)));
                self.steps.push(step.clone());
                continue;
            }
            if let Err(stop) = go_on(refused) {
                self.stop = Some(stop);
                return Ok(());
            }
            let step = match fold(self.projection, self.state.clone(), event(delivery)) {
                Ok(next) if looks_at_each_size => {
                    let (most, after) = (self.state_bytes_max, serde_json::to_string(&next)?.len());
                    // one that was too large before may become smaller
                    if after > most.max(bytes) {
                        let reason =
                            format!("the state of its key would take {after} bytes with it; at most {most} fit");
                        Step::Refuse(Code::StateTooLarge, reason)
                    } else {
                        (self.state, bytes) = (Some(next), after);
                        Step::Apply
                    }
                }
                Ok(next) => {
                    self.state = Some(next);
                    Step::Apply
                }
                Err((code, reason)) => Step::Refuse(code, reason),
            };
            refused += usize::from(matches!(step, Step::Refuse(..)));
            self.steps.push(step);
            if !looks_at_each_size && number % SIZES_EVERY == 0 && self.bytes()? > self.state_bytes_max {
                return Ok(());
            }
        }
        Ok(())
    }

    fn bytes(&self) -> Result<usize, serde_json::Error> {
        self.json().map(|json| json.map_or(0, |json| json.len()))
    }

    /// How many of the steps can be taken before the state is too large: the next one makes it so.
    fn longest_that_fits(&mut self) -> Result<usize, serde_json::Error> {
        let all = std::mem::take(&mut self.steps);
        let (mut fits, mut too_many) = (0, all.len());
        while too_many - fits > 1 {
            let middle = usize::midpoint(fits, too_many);
            let state = replay(self.projection, self.before.clone(), self.events, &all[..middle]);
            let bytes = state.map_or(Ok(0), |state| serde_json::to_string(&state).map(|json| json.len()))?;
            if bytes > self.state_bytes_max { too_many = middle } else { fits = middle }
        }
        self.steps = all;
        Ok(fits)
    }

    /// Leaves the events from `index` on for the redelivery, because of `stop`.
    pub(super) fn cut(&mut self, index: usize, stop: Stop) {
        let applied = self.steps.drain(index..).any(|step| matches!(step, Step::Apply));
        self.stop = Some(stop);
        if applied {
            self.state = self.replay();
        }
    }

    fn replay(&self) -> Option<P::State> {
        replay(self.projection, self.before.clone(), self.events, &self.steps)
    }

    /// The events to dead-letter: their indices, codes and reasons.
    pub(super) fn refused(&self) -> impl Iterator<Item = (usize, Code, &str)> {
        let steps = self.steps.iter().enumerate();
        steps.filter_map(|(index, step)| match step {
            Step::Refuse(code, reason) => Some((index, *code, reason.as_str())),
            Step::Past(_) | Step::Apply => None,
        })
    }

    /// The events that were judged now, and whether each was folded into the state.
    pub(super) fn judged(&self) -> impl DoubleEndedIterator<Item = (&'a Delivery, bool)> {
        let steps = self.events.iter().zip(&self.steps).filter(|(_, step)| !matches!(step, Step::Past(_)));
        steps.map(|(delivery, step)| (*delivery, matches!(step, Step::Apply)))
    }

    /// The state after the events, as JSON.
    pub(super) fn json(&self) -> Result<Option<String>, serde_json::Error> {
        self.state.as_ref().map(serde_json::to_string).transpose()
    }

    /// The outcomes of the events.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |step: &Step| match step {
            Step::Past(outcome) => *outcome,
            Step::Apply => Outcome::Handled,
            Step::Refuse(..) => Outcome::DeadLettered,
        };
        self.steps.iter().map(outcome).collect()
    }
}

/// The state after steps that were taken before. `fold` depends on nothing but its arguments.
fn replay<P: Projection>(
    projection: &P,
    before: Option<P::State>,
    events: &[&Delivery],
    steps: &[Step],
) -> Option<P::State> {
    let applied = events.iter().zip(steps).filter(|(_, step)| matches!(step, Step::Apply));
    applied.fold(before, |state, (delivery, _)| match projection.fold(state.clone(), event(delivery)) {
        Ok(next) => Some(next),
        // `fold` took this event a moment ago and refuses it now, which it must not: go on without it
        Err(_) => state,
    })
}

fn event(delivery: &Delivery) -> &Event {
    match &delivery.content {
        Ok(content) => &content.event,
        Err(_) => unreachable!("lanes hold events only"),
    }
}

/// The state after an event; or why the event is refused.
pub(super) fn fold<P: Projection>(
    projection: &P,
    state: Option<P::State>,
    event: &Event,
) -> Result<P::State, (Code, String)> {
    match projection.accepts().refuses(event) {
        Some(reason) => Err((Code::UnknownVersion, reason)),
        None => projection.fold(state, event).map_err(|Refusal(reason)| (Code::Refused, reason)),
    }
}
