//! What really happened, and the invariants that it must satisfy. Nothing of the code under test is asked here.
//!
//! The numbers are those of `docs/reliability.md`.

mod letters;
mod redrives;
mod rest;
mod runs;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use penstock::dead_letter::{Code, DeadLetter};
use penstock::fingerprint::Fingerprint;
use penstock::progress::Commit;
use penstock::projection::StoredState;
use penstock::recover::ExpiredRange;
use penstock::time::Timestamp;
use penstock::window::{Counts, Segment};
use penstock::{Position, ShardId};

use runs::Runs;

use super::stream::Place;
use super::tables::SLACK;
use super::{GroupIndex, Pid, World};
use crate::plan::{FUNCTION_TIMEOUT, HORIZON, millis};
use crate::simulation::{CLOCKS_DIFFER, PROJECTION};
use crate::work::{ATTEMPTS_MAX, Kind, OUTAGE_KEYS, ordinals};

/// An event by its name: which of its key's events it is. Bytes that are no event have the key [`GARBAGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventRef {
    pub(crate) key: u32,
    pub(crate) ordinal: u32,
}

/// Milliseconds after which a run has no time left to say anything: what the function has, less an eighth of the margin that
/// a run keeps of it, which is a quarter.
const ANSWERS_AT: u64 = FUNCTION_TIMEOUT - FUNCTION_TIMEOUT / 32;

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
    pub(crate) name: Option<Fingerprint>,
    pub(crate) accepted: bool,
    /// When it was first stored.
    pub(crate) stored: Option<u64>,
    /// It was stored again when its group may have forgotten it.
    pub(crate) late: bool,
}

/// Bytes that an event adds to a state at most.
const DIGITS_MAX: usize = 6;

/// A segment's time is that of a clock, what is forgotten is counted by another, and the truth by none.
const SKEW: u64 = CLOCKS_DIFFER + 2000;

/// What a group did.
#[derive(Debug, Default)]
struct Deeds {
    /// Events that had an effect or were applied, and when last.
    effects: BTreeMap<EventRef, u64>,
    letters: BTreeSet<EventRef>,
    letter_places: BTreeSet<Position>,
    /// Letters that have arrived: place, and time of sending.
    judged: BTreeSet<(ShardId, Position, u64)>,
    /// Since when a segment says that an event was handled.
    recorded: BTreeMap<EventRef, u64>,
    /// Since when runs know that an event was redriven.
    redriven: BTreeMap<EventRef, u64>,
    /// Of each key, the last place whose letter was redriven and is out of its queue.
    redriven_to: BTreeMap<u32, Position>,
    /// Places that came back as overtaken.
    overtaken: BTreeSet<Position>,
    /// A call took its turn to redrive before another had ended its own.
    turns_overlapped: bool,
    /// The states of keys as processes read them last.
    looks: BTreeMap<(Pid, String), Option<StoredState>>,
    /// What the event source gave up.
    given_up: BTreeSet<Position>,
    given_up_events: BTreeSet<EventRef>,
    /// The latest arrival that each shard's batches have had.
    handed_out: BTreeMap<ShardId, u64>,
    /// The notices of it.
    notices: Vec<ExpiredRange>,
    /// What a letter says had expired, and had.
    expired: BTreeSet<Position>,
    expired_events: BTreeSet<EventRef>,
    /// On which shards, and when, runs that held their fence recorded that an event was handled.
    recorded_on: BTreeMap<EventRef, Vec<(ShardId, u64)>>,
    /// Up to where each shard's position was checked.
    checked: BTreeMap<ShardId, Position>,
    counts: Counts,
    /// Of each key, how many of the first events have had an effect or are past having one: that lasts.
    through: BTreeMap<u32, u32>,
    /// A run wrote a segment after another had begun.
    overlapped: bool,
    /// How often the handler was given an event, and when first.
    tries: BTreeMap<Position, (u32, u64)>,
    /// The keys for which the runs that are under way found the downstream down.
    found_down: BTreeMap<Pid, BTreeSet<u32>>,
    /// When each process was given its last batch.
    started: BTreeMap<Pid, u64>,
    runs: Runs,
}

/// Under what a side effect was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    pub(crate) epoch: u64,
    /// When the run began.
    pub(crate) began: u64,
    /// A dead letter is handled again.
    pub(crate) redrives: bool,
}

impl Deeds {
    /// Whether a run that began then must know that an event is handled. A redrive, which is `now`, looks back for the
    /// horizon, whatever it redrives.
    fn is_known(&self, event: EventRef, began: u64, redrive: Option<u64>) -> bool {
        let forgotten = |at: u64| redrive.is_some_and(|now| now - at > millis(HORIZON) - SKEW);
        self.redriven.get(&event).is_some_and(|at| *at < began)
            || self.recorded.get(&event).is_some_and(|at| *at < began && !forgotten(*at))
    }
}

/// What really happened.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) events: BTreeMap<EventRef, Fact>,
    names: HashMap<Fingerprint, EventRef>,
    /// Places of events that their producer has put on the shard that they belong to as well.
    foreign: BTreeSet<Position>,
    /// Events on shards that do not hold their keys and on no others: no order is promised of them.
    pub(crate) strays: BTreeSet<EventRef>,
    groups: Vec<Deeds>,
}

impl Truth {
    pub(crate) fn new(groups: usize) -> Self {
        Self {
            events: BTreeMap::new(),
            names: HashMap::new(),
            foreign: BTreeSet::new(),
            strays: BTreeSet::new(),
            groups: (0..groups).map(|_| Deeds::default()).collect(),
        }
    }

    pub(crate) fn name(&mut self, name: Fingerprint, event: EventRef) {
        self.names.insert(name, event);
        if let Some(fact) = self.events.get_mut(&event) {
            fact.name = Some(name);
        }
    }

    /// The event at this place is on the shard that it belongs to as well.
    pub(crate) fn foreign(&mut self, position: Position) {
        self.foreign.insert(position);
    }

    fn is_late(&self, event: EventRef) -> bool {
        self.events.get(&event).is_some_and(|fact| fact.late)
    }

    /// Events of the key before this one that have neither had an effect nor become a dead letter.
    fn skipped(&mut self, group: GroupIndex, event: EventRef) -> Option<EventRef> {
        let deeds = &mut self.groups[group];
        if self.strays.contains(&event) {
            return None;
        }
        let through = deeds.through.get(&event.key).copied().unwrap_or(0);
        let mut earlier = (through + 1..event.ordinal).map(|ordinal| EventRef { key: event.key, ordinal });
        let skipped = earlier.find(|other| {
            let done = deeds.effects.contains_key(other) || deeds.letters.contains(other);
            !done && !deeds.given_up_events.contains(other) && !self.strays.contains(other)
        });
        let through = skipped.map_or(event.ordinal, |skipped| skipped.ordinal).saturating_sub(1).max(through);
        deeds.through.insert(event.key, through);
        skipped
    }

    fn is_settled(&self, group: GroupIndex, event: EventRef, place: Place<'_>) -> bool {
        let deeds = &self.groups[group];
        if deeds.effects.contains_key(&event) {
            return true;
        }
        let position = place.position();
        deeds.letter_places.contains(&position)
            || deeds.given_up.contains(&position)
            || self.foreign.contains(&position)
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

    /// The event source gave records up.
    pub(crate) fn saw_given_up(&mut self, group: GroupIndex, notice: &ExpiredRange) {
        let range = &notice.first..=&notice.last;
        let events = self.stream.events(&notice.shard).filter(|(place, _)| range.contains(&place.sequence));
        let deeds = &mut self.truth.groups[group];
        for (place, event) in events {
            deeds.given_up.insert(place.position());
            deeds.given_up_events.insert(event);
        }
        deeds.notices.push(notice.clone());
    }

    /// A run began.
    pub(crate) fn saw_begin(&mut self, group: GroupIndex, pid: Pid, shard: &ShardId, epoch: u64) {
        self.truth.groups[group].runs.of.entry(pid).or_default().push((shard.clone(), epoch));
    }

    /// A process of the group ended without a word, or was overtaken.
    pub(crate) fn saw_crash(&mut self, group: GroupIndex, pid: Pid) {
        self.truth.groups[group].runs.ended(pid, true);
    }

    /// A process of the group answered. One that fails has to say that it has not crashed, for as long as it has time and
    /// is not overtaken: only then may it count as one that ended without a word.
    pub(crate) fn saw_answer(&mut self, group: GroupIndex, pid: Pid, failed: bool) {
        let now = self.agenda.now().0;
        let had_time = self.truth.groups[group].started.get(&pid).is_some_and(|at| now < at + ANSWERS_AT);
        let unheard = failed && (!had_time || self.fenced.contains(&pid));
        self.truth.groups[group].runs.ended(pid, unheard);
    }

    /// A handler was given an event. How often that is now.
    pub(crate) fn saw_try(&mut self, group: GroupIndex, position: &Position) -> u32 {
        let now = self.agenda.now().0;
        let (tries, _) = self.truth.groups[group].tries.entry(position.clone()).or_insert((0, now));
        *tries += 1;
        *tries
    }

    /// A handler found the downstream down.
    pub(crate) fn saw_down(&mut self, group: GroupIndex, pid: Pid, event: EventRef) {
        self.truth.groups[group].found_down.entry(pid).or_default().insert(event.key);
    }

    /// A process is given a batch.
    pub(crate) fn saw_start(&mut self, group: GroupIndex, pid: Pid) {
        let now = self.agenda.now().0;
        self.fenced.remove(&pid);
        let deeds = &mut self.truth.groups[group];
        deeds.found_down.remove(&pid);
        deeds.started.insert(pid, now);
    }

    /// A handler's side effect arrived downstream. P2, P3.
    pub(crate) fn saw_effect(&mut self, group: GroupIndex, event: EventRef, shard: &ShardId, act: Act) {
        let (Act { epoch, began, .. }, now) = (act, self.agenda.now().0);
        // a zombie's late effect can only be refused downstream, by its epoch; P2 and P3 speak of the others
        if self.tables[group].epoch(shard) == epoch {
            let deeds = &self.truth.groups[group];
            if !deeds.effects.contains_key(&event)
                && let Some(skipped) = self.truth.skipped(group, event)
            {
                self.breaks("P2", || format!("group {group} handled {event} before {skipped}"));
            }
            let deeds = &self.truth.groups[group];
            if deeds.is_known(event, began, act.redrives.then_some(now)) && !self.truth.is_late(event) {
                self.breaks("P3", || {
                    format!("group {group} handled {event} again in run {epoch} of {shard}, though it was recorded")
                });
            }
        }
        self.truth.groups[group].effects.insert(event, now);
    }

    /// A projection's state was written. P2, P3.
    pub(crate) fn saw_state(&mut self, group: GroupIndex, key: u32, before: Option<&StoredState>, after: &StoredState) {
        let now = self.agenda.now().0;
        let (old, new) = (before.map(ordinals).unwrap_or_default(), ordinals(after));
        if !new.starts_with(&old) {
            self.breaks("P3", || format!("the state of k{key} went from {old:?} to {new:?}"));
            return;
        }
        let redriven = !after.redriven.is_empty() && before.map(|before| &before.redriven) != Some(&after.redriven);
        for index in old.len()..new.len() {
            let event = EventRef { key, ordinal: new[index] };
            let known_once = self.truth.groups[group].effects.get(&event).copied().unwrap_or(now);
            let forgotten = now - known_once > millis(HORIZON) - SKEW;
            // what was given up may have been applied by a run that could not record it: nothing says so any more
            let unknown = self.truth.groups[group].given_up_events.contains(&event);
            // a dead letter has lost its place: the letter, or a copy of the event, may be handled later
            let given_up = redriven || self.truth.groups[group].letters.contains(&event);
            let given_up = given_up || self.truth.strays.contains(&event);
            let late = self.truth.is_late(event) || unknown || (redriven && forgotten);
            if new[..index].contains(&event.ordinal) && !late {
                self.breaks("P3", || format!("{event} was applied twice: {new:?}"));
            }
            let overtakes =
                |other: &u32| *other > event.ordinal && !self.truth.strays.contains(&EventRef { key, ordinal: *other });
            if new[..index].iter().any(overtakes) && !late && !given_up {
                self.breaks("P2", || format!("{event} was applied late: {new:?}"));
            }
            if let Some(skipped) = self.truth.skipped(group, event) {
                self.breaks("P2", || format!("{event} was applied before {skipped}"));
            }
            self.truth.groups[group].effects.insert(event, now);
        }
    }

    /// A process reads a projection's state.
    pub(crate) fn saw_look(&mut self, group: GroupIndex, pid: Pid, key: String, state: Option<&StoredState>) {
        self.truth.groups[group].looks.insert((pid, key), state.cloned());
    }

    /// A segment was written.
    pub(crate) fn saw_segment(&mut self, group: GroupIndex, shard: &ShardId, segment: &Segment) {
        let (now, latest) = (self.agenda.now().0, self.tables[group].epoch(shard));
        let written = self.tables[group].segments.get(shard);
        let written = written.and_then(|segments| segments.get(&(segment.epoch, segment.part)));
        if written == Some(segment) {
            // an echo
            return;
        }
        if written.is_some() {
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
            if let Some(event) = truth.names.get(fingerprint) {
                deeds.recorded.entry(*event).or_insert(now);
                deeds.recorded_on.entry(*event).or_default().push((shard.clone(), now));
            }
        }
    }

    /// A process remembers so many names of a shard after a batch with these arrivals. P0: a group that lags must not need
    /// more memory than one that does not, or it never catches up. What came within the horizon before the batch is
    /// remembered, and what shares a batch with it.
    pub(crate) fn saw_memory(
        &mut self,
        group: GroupIndex,
        shard: &ShardId,
        (oldest, latest): (u64, u64),
        (names, batch_size): (usize, usize),
    ) {
        let since = oldest.saturating_sub(millis(HORIZON) * 9 / 8 + SKEW + 1000);
        let Some(lineage) = self.stream.lineage(shard, self.agenda.now()) else { return };
        // an event source that starts over hands out again what came before
        let handed_out = self.truth.groups[group].handed_out.entry(shard.clone()).or_default();
        *handed_out = latest.max(*handed_out);
        let latest = *handed_out;
        let shards = lineage.ancestors.iter().map(|(ancestor, _)| ancestor).chain([shard]);
        // a name is as old as the newest event of its batch, or of one before it that was not settled whole
        let around = 2 * batch_size;
        let of = |shard: &ShardId| {
            let redriven = self.tables[group].redriven_names(shard).count();
            self.stream.events_arrived(shard, since, latest, around) + redriven
        };
        let most: usize = shards.map(of).sum();
        if names > most {
            self.breaks("P0", || format!("group {group} remembers {names} events of {shard}, of {most} since {since}"));
        }
    }

    /// A position was written. P4, and P1: all at or below it must be settled.
    pub(crate) fn saw_commit(
        &mut self,
        group: GroupIndex,
        (shard, epoch): (&ShardId, u64),
        before: &Position,
        commit: &Commit,
    ) {
        if let Some((suspect, _)) = &commit.suspect {
            let runs = &mut self.truth.groups[group].runs;
            runs.suspects.entry((shard.clone(), epoch)).or_default().insert(suspect.clone());
        }
        if commit.position < *before {
            self.breaks("P4", || format!("{shard} went back from {before} to {}", commit.position));
        }
        let checked = self.truth.groups[group].checked.get(shard).cloned().unwrap_or_else(Position::start);
        let unsettled = self
            .stream
            .events_between(shard, &checked, &commit.position)
            .find(|(place, event)| !self.truth.is_settled(group, *event, *place))
            .map(|(place, event)| (place.position(), event));
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
                .events(&parent)
                .find(|(place, event)| !self.truth.is_settled(group, *event, *place))
                .map(|(place, event)| (place.position(), event));
            if let Some((position, event)) = left {
                self.breaks("P5", || format!("group {group} got {shard} before {event} at {position} of {parent}"));
            }
        }
    }
}
