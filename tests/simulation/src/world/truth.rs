//! What really happened, and the invariants that it must satisfy. Nothing of the code under test is asked here.
//!
//! The numbers are those of `docs/reliability.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use penstock::dead_letter::{Code, DeadLetter};
use penstock::progress::Commit;
use penstock::projection::StoredState;
use penstock::window::{Counts, Segment};
use penstock::{Position, ShardId};

use super::{GroupIndex, World};
use crate::plan::{HORIZON, millis};
use crate::work::{ATTEMPTS_MAX, Kind, ordinals};

/// An event by its name: which of its key's events it is. Bytes that are no event have the key [`GARBAGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventRef {
    pub(crate) key: u32,
    pub(crate) ordinal: u32,
}

/// The key of what is no event.
pub(crate) const GARBAGE: u32 = u32::MAX;

impl std::fmt::Display for EventRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.key == GARBAGE {
            write!(f, "garbage-{}", self.ordinal)
        } else {
            write!(f, "k{}-{}", self.key, self.ordinal)
        }
    }
}

/// An event as its client knows it.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) kind: Kind,
    pub(crate) accepted: bool,
    /// When it was first stored.
    pub(crate) stored: Option<u64>,
    /// It was stored again when its group may have forgotten it.
    pub(crate) late: bool,
}

/// Clocks differ by so many milliseconds, and a segment's time is one of them.
const SKEW: u64 = 5000;

/// What a group did.
#[derive(Debug, Default)]
struct Deeds {
    /// Events that had an effect or were applied, and how often.
    effects: BTreeMap<EventRef, u32>,
    letters: BTreeSet<EventRef>,
    letter_places: BTreeSet<Position>,
    /// Since when a segment says that an event was handled.
    recorded: BTreeMap<EventRef, u64>,
    /// When each run began.
    begun: BTreeMap<(ShardId, u64), u64>,
    /// Up to where each shard's position was checked.
    checked: BTreeMap<ShardId, Position>,
    counts: Counts,
    /// A run wrote a segment after another had begun.
    overlapped: bool,
    /// How often the handler was given an event.
    tries: BTreeMap<Position, u32>,
    crashes: u32,
}

/// What really happened.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) events: BTreeMap<EventRef, Fact>,
    names: HashMap<u64, EventRef>,
    groups: Vec<Deeds>,
}

impl Truth {
    pub(crate) fn new(groups: usize) -> Self {
        Self { events: BTreeMap::new(), names: HashMap::new(), groups: (0..groups).map(|_| Deeds::default()).collect() }
    }

    pub(crate) fn name(&mut self, fingerprint: u64, event: EventRef) {
        self.names.insert(fingerprint, event);
    }

    fn is_late(&self, event: EventRef) -> bool {
        self.events.get(&event).is_some_and(|fact| fact.late)
    }

    /// Events of the key before this one that have neither had an effect nor become a dead letter.
    fn skipped(&self, group: GroupIndex, event: EventRef) -> Option<EventRef> {
        let deeds = &self.groups[group];
        let earlier = (1..event.ordinal).map(|ordinal| EventRef { key: event.key, ordinal });
        earlier.into_iter().find(|other| !deeds.effects.contains_key(other) && !deeds.letters.contains(other))
    }

    fn is_settled(&self, group: GroupIndex, event: EventRef, position: &Position) -> bool {
        let deeds = &self.groups[group];
        deeds.effects.contains_key(&event) || deeds.letter_places.contains(position)
    }
}

impl World {
    /// An event was stored.
    pub(crate) fn saw_put(&mut self, event: EventRef) {
        let now = self.agenda.now().0;
        if let Some(fact) = self.truth.events.get_mut(&event) {
            let first = *fact.stored.get_or_insert(now);
            fact.late |= now - first > millis(HORIZON) - SKEW;
        }
    }

    /// A run began.
    pub(crate) fn saw_begin(&mut self, group: GroupIndex, shard: &ShardId, epoch: u64) {
        let now = self.agenda.now().0;
        self.truth.groups[group].begun.insert((shard.clone(), epoch), now);
    }

    /// A process of the group ended without a word.
    pub(crate) fn saw_crash(&mut self, group: GroupIndex) {
        self.truth.groups[group].crashes += 1;
    }

    /// A handler was given an event. How often that is now.
    pub(crate) fn saw_try(&mut self, group: GroupIndex, position: &Position) -> u32 {
        let tries = self.truth.groups[group].tries.entry(position.clone()).or_insert(0);
        *tries += 1;
        *tries
    }

    /// A handler's side effect arrived downstream. P2, P3.
    pub(crate) fn saw_effect(&mut self, group: GroupIndex, event: EventRef, shard: &ShardId, epoch: u64) {
        // a zombie's late effect can only be refused downstream, by its epoch; P2 and P3 speak of the others
        if self.tables[group].epoch(shard) == epoch {
            let deeds = &self.truth.groups[group];
            if !deeds.effects.contains_key(&event)
                && let Some(skipped) = self.truth.skipped(group, event)
            {
                self.breaks("P2", || format!("group {group} handled {event} before {skipped}"));
            }
            let deeds = &self.truth.groups[group];
            let began = deeds.begun.get(&(shard.clone(), epoch)).copied().unwrap_or(0);
            if deeds.recorded.get(&event).is_some_and(|recorded| *recorded < began) && !self.truth.is_late(event) {
                self.breaks("P3", || {
                    format!("group {group} handled {event} again in run {epoch} of {shard}, though it was recorded")
                });
            }
        }
        *self.truth.groups[group].effects.entry(event).or_insert(0) += 1;
    }

    /// A projection's state was written. P2, P3.
    pub(crate) fn saw_state(&mut self, group: GroupIndex, key: u32, before: Option<&StoredState>, after: &StoredState) {
        let (old, new) = (before.map(ordinals).unwrap_or_default(), ordinals(after));
        if !new.starts_with(&old) {
            self.breaks("P3", || format!("the state of k{key} went from {old:?} to {new:?}"));
            return;
        }
        for index in old.len()..new.len() {
            let event = EventRef { key, ordinal: new[index] };
            let late = self.truth.is_late(event);
            if new[..index].contains(&event.ordinal) && !late {
                self.breaks("P3", || format!("{event} was applied twice: {new:?}"));
            }
            if new[..index].iter().any(|other| *other > event.ordinal) && !late {
                self.breaks("P2", || format!("{event} was applied late: {new:?}"));
            }
            if let Some(skipped) = self.truth.skipped(group, event) {
                self.breaks("P2", || format!("{event} was applied before {skipped}"));
            }
            *self.truth.groups[group].effects.entry(event).or_insert(0) += 1;
        }
    }

    /// A dead letter arrived in the queue. Its reason has to be the true one.
    pub(crate) fn saw_letter(&mut self, group: GroupIndex, letter: &DeadLetter) {
        let event = self.stream.events(Some(&letter.shard)).find(|(position, _)| *position == letter.position);
        let Some((_, event)) = event else {
            self.breaks("P1", || format!("a dead letter of nothing: {} of {}", letter.position, letter.shard));
            return;
        };
        let kind = self.truth.events.get(&event).map(|fact| fact.kind);
        let disturbed = self.disturbed;
        let deeds = &mut self.truth.groups[group];
        deeds.letters.insert(event);
        deeds.letter_places.insert(letter.position.clone());
        let told = match letter.code {
            Code::NotAnEvent => event.key == GARBAGE,
            Code::Refused => kind == Some(Kind::Refused),
            Code::RetriesExhausted => deeds.tries.get(&letter.position).is_some_and(|tries| *tries >= ATTEMPTS_MAX),
            // two crashes for isolation, three more disturbances under suspicion
            Code::Crashed => kind == Some(Kind::Kills) || (deeds.crashes >= 2 && deeds.crashes + disturbed >= 5),
        };
        if !told {
            self.breaks("P1", || format!("group {group} gave {event} up as {:?}: {}", letter.code, letter.reason));
        }
    }

    /// A segment was written.
    pub(crate) fn saw_segment(&mut self, group: GroupIndex, shard: &ShardId, segment: &Segment) {
        let (now, latest) = (self.agenda.now().0, self.tables[group].epoch(shard));
        let written = self.tables[group]
            .segments
            .get(shard)
            .is_some_and(|segments| segments.get(&(segment.epoch, segment.part)).is_some_and(|other| other != segment));
        if written {
            self.breaks("P7", || format!("segment {}.{} of {shard} was overwritten", segment.epoch, segment.part));
        }
        let truth = &mut self.truth;
        let deeds = &mut truth.groups[group];
        deeds.overlapped |= latest != segment.epoch;
        deeds.counts += segment.counts;
        if latest != segment.epoch {
            // true all the same, but a run that began meanwhile need not know of it
            return;
        }
        for fingerprint in &segment.handled {
            if let Some(event) = truth.names.get(&fingerprint.0) {
                deeds.recorded.entry(*event).or_insert(now);
            }
        }
    }

    /// A position was written. P4, and P1: all at or below it must be settled.
    pub(crate) fn saw_commit(&mut self, group: GroupIndex, shard: &ShardId, before: &Position, commit: &Commit) {
        if commit.position < *before {
            self.breaks("P4", || format!("{shard} went back from {before} to {}", commit.position));
        }
        let checked = self.truth.groups[group].checked.get(shard).cloned().unwrap_or_else(Position::start);
        let unsettled = self
            .stream
            .events(Some(shard))
            .filter(|(position, _)| *position > checked && *position <= commit.position)
            .find(|(position, event)| !self.truth.is_settled(group, *event, position));
        if let Some((position, event)) = unsettled {
            self.breaks("P1", || format!("group {group} passed over {event} at {position} of {shard}"));
        }
        self.truth.groups[group].checked.insert(shard.clone(), commit.position.clone());
    }

    /// A batch of a shard is handed out. P5.
    pub(crate) fn saw_batch(&mut self, group: GroupIndex, shard: &ShardId) {
        let Some(parents) = self.stream.shard(shard).map(|shard| shard.parents.clone()) else { return };
        for parent in parents {
            let left = self
                .stream
                .events(Some(&parent))
                .find(|(position, event)| !self.truth.is_settled(group, *event, position));
            if let Some((position, event)) = left {
                self.breaks("P5", || format!("group {group} got {shard} before {event} at {position} of {parent}"));
            }
        }
    }

    /// Everything is at rest. P1, P7.
    pub(crate) fn rests(&mut self) {
        for group in 0..self.truth.groups.len() {
            let deeds = &self.truth.groups[group];
            let lost = self.truth.events.iter().find(|(event, fact)| {
                fact.accepted && !deeds.effects.contains_key(event) && !deeds.letters.contains(event)
            });
            if let Some((event, _)) = lost {
                let event = *event;
                self.breaks("P1", || format!("group {group} lost {event}"));
                return;
            }
            let wrong =
                self.truth.events.iter().find(|(event, fact)| {
                    fact.accepted && fact.kind.never_works() && deeds.effects.contains_key(event)
                });
            if let Some((event, _)) = wrong {
                let event = *event;
                self.breaks("P1", || format!("group {group} handled {event}, which it cannot"));
                return;
            }
            let (counts, overlapped) = (deeds.counts, deeds.overlapped);
            let stored = self.stream.events(None).count() as u64;
            if counts.total() < stored || (counts.total() > stored && !overlapped) {
                self.breaks("P7", || format!("group {group} counted {counts:?}, and the stream holds {stored} events"));
                return;
            }
        }
    }

    /// Whether a group has settled all that is on the stream.
    pub(crate) fn is_drained(&self, group: GroupIndex) -> bool {
        self.stream.shards.iter().all(|shard| {
            let last = shard.records.last().and_then(|stored| {
                let last = u32::try_from(stored.events.len()).unwrap_or(0).checked_sub(1)?;
                Some(Position::new(stored.record.sequence.clone(), last))
            });
            last.is_none_or(|last| self.tables[group].position(&shard.id) >= last)
        })
    }
}
