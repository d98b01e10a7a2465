//! What a state's item says besides the state: up to where it is applied, and which events of its key are dead letters.

use crate::fingerprint::Fingerprint;
use crate::key::PartitionKey;
use crate::ports;
use crate::position::Position;
use crate::projection::StoredState;
use crate::settle::lane::Outcome;
use crate::settle::settler::Outside;
use crate::settle::work::LaneContext;

/// Events that a state remembers by name: those that were redriven, and strays.
const REDRIVEN_MAX: usize = 1000;

impl StoredState {
    /// What is stored of a key before its first event.
    pub(super) fn nothing() -> Self {
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
    pub(super) fn remember(&mut self, names: impl IntoIterator<Item = Fingerprint>) {
        self.redriven.extend(names);
        self.redriven.drain(..self.redriven.len().saturating_sub(REDRIVEN_MAX));
    }

    /// The outcome of an event at or below the last that was applied; `None` if it never was applied or refused: the event
    /// source had gone on past it, and hands it out after all.
    pub(super) async fn outcome_of<O: Outside>(
        &self,
        position: &Position,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Outcome>, ports::Error> {
        if *position > self.settled {
            let refused = self.refused.binary_search(&context.at.fingerprints.position(position)).is_ok();
            return Ok(Some(if refused { Outcome::DeadLettered } else { Outcome::Handled }));
        }
        // the list of refusals does not reach back to this event. If this run holds the fence, no commit has passed the event,
        // so nobody has settled it. If not, a later run may have: record nothing
        if context.at.holds_fence().await? { Ok(None) } else { Err(raced()) }
    }
}

/// The places of a key's dead letters that can still be redelivered: those above `settled`, which no commit has passed yet.
pub(super) struct DeadPlaces {
    settled: Position,
    pub(super) places: Vec<Fingerprint>,
    highest: Position,
}

impl DeadPlaces {
    pub(super) fn before<O: Outside>(before: Option<&StoredState>, context: &LaneContext<'_, O>) -> Self {
        let settled = before.map_or_else(Position::start, |stored| stored.settled.clone());
        let settled = settled.max(context.position.clone()).max(context.below.clone());
        // keep all or none: a fingerprint does not tell whether its place is above `settled`
        let kept = before.filter(|stored| stored.refused_to > settled);
        let places = kept.map(|stored| stored.refused.clone()).unwrap_or_default();
        let highest = kept.map_or_else(|| settled.clone(), |stored| stored.refused_to.clone());
        Self { settled, places, highest }
    }

    /// Adds what this run has dead-lettered, or a fenced run that reads this state would take it for applied. Not what is
    /// above `applied`: that is judged again.
    fn and_dead_lettered<O: Outside>(
        mut self,
        applied: &Position,
        context: &LaneContext<'_, O>,
        key: &PartitionKey,
    ) -> Self {
        for position in context.dead_lettered_of(key, &self.settled) {
            if position <= *applied {
                self.places.push(context.at.fingerprints.position(&position));
                self.highest = self.highest.max(position);
            }
        }
        self.places.sort_unstable();
        self.places.dedup();
        self
    }
}

/// The state that is stored over `before` when everything up to `last` is applied or refused.
pub(super) fn next_state<O: Outside>(
    before: Option<&StoredState>,
    context: &LaneContext<'_, O>,
    last: Option<&Position>,
    key: &PartitionKey,
) -> StoredState {
    let before = before.cloned().unwrap_or_else(StoredState::nothing);
    let Some(last) = last else {
        // only strays were applied: they have positions of another shard, so `applied` stays
        return StoredState { revision: before.revision + 1, ..before };
    };
    let applied = before.applied.clone().max(last.clone());
    let dead = DeadPlaces::before(Some(&before), context).and_dead_lettered(&applied, context, key);
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

pub(super) fn full(most: usize) -> ports::Error {
    let why = format!("{most} events of its key are refused and not passed by a commit yet: the next run goes on");
    ports::Error::Throttled(why)
}

pub(super) fn raced() -> ports::Error {
    ports::Error::Throttled("the state is being written by another run".to_owned())
}
