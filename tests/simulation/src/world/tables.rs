//! A group's items in DynamoDB and its messages in SQS.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock::dead_letter::DeadLetter;
use penstock::fingerprint::Fingerprint;
use penstock::ports::Error;
use penstock::progress::Cursor;
use penstock::progress::{Begun, Commit, Committed};
use penstock::projection::{Stored, StoredState};
use penstock::recover::ExpiredRange;
use penstock::time::Timestamp;
use penstock::window::{Redriven, Segment, Wanted};
use penstock::{Position, SequenceNumber, ShardId};

use super::{GroupIndex, Pid, World};

/// Segments live this much longer than the horizon.
pub(crate) const SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// Places of dead letters that an item has room for beyond those that a lane may add.
const ITEM_SLACK: usize = 20;

/// The items.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    progress: BTreeMap<ShardId, Begun>,
    /// The number of each shard's last commit, 0 before its run's first.
    commits: BTreeMap<ShardId, u32>,
    pub(crate) segments: BTreeMap<ShardId, BTreeMap<(u64, u32), Segment>>,
    pub(crate) states: BTreeMap<String, StoredState>,
    redriven: BTreeMap<ShardId, Vec<Redriven>>,
    /// Whose turn it is to redrive, and until when.
    turn: Option<(String, Timestamp)>,
    recovered: BTreeMap<(ShardId, SequenceNumber, SequenceNumber), Position>,
    /// The dead-letter queue.
    pub(crate) letters: Vec<DeadLetter>,
    /// The redrive queue: letters, and how often each was received.
    pub(crate) returned: Vec<(DeadLetter, u32)>,
    /// Notices of what the event source gave up.
    pub(crate) notices: Vec<ExpiredRange>,
}

impl Tables {
    pub(crate) fn epoch(&self, shard: &ShardId) -> u64 {
        self.progress.get(shard).map_or(0, |begun| begun.epoch)
    }

    pub(crate) fn position(&self, shard: &ShardId) -> Position {
        self.progress.get(shard).map_or_else(Position::start, |begun| begun.position.clone())
    }

    pub(crate) fn begin(&mut self, shard: &ShardId) -> Begun {
        let begun = self.progress.entry(shard.clone()).or_insert_with(Begun::nothing);
        begun.epoch += 1;
        begun.attempts += 1;
        self.commits.insert(shard.clone(), 0);
        begun.clone()
    }

    pub(crate) fn commit(&mut self, shard: &ShardId, epoch: u64, commit: &Commit) -> Committed {
        let Some(begun) = self.progress.get_mut(shard).filter(|begun| begun.epoch == epoch) else {
            return Committed::Fenced;
        };
        let last = self.commits.entry(shard.clone()).or_default();
        if *last > commit.number {
            return Committed::Fenced;
        }
        *last = commit.number;
        begun.position = commit.position.clone();
        begun.failures = commit.failures.clone();
        begun.suspect = commit.suspect.clone();
        begun.ahead_from = commit.ahead_from;
        begun.attempts = commit.attempts;
        Committed::Yes
    }

    /// As the adapter reads them: newest first, up to the first that is not wanted.
    pub(crate) fn load(&self, shard: &ShardId, wanted: &Wanted, now: Timestamp, horizon: Duration) -> Vec<Segment> {
        let Some(segments) = self.segments.get(shard) else { return Vec::new() };
        let (mut found, mut names) = (Vec::new(), 0);
        for segment in segments.range((wanted.after + 1, 0)..).rev().map(|(_, segment)| segment) {
            let Some(segment) = wanted.take(segment.clone(), names) else { break };
            if now <= segment.at.plus(horizon + SLACK) || !segment.ahead.is_empty() {
                names += segment.handled.len();
                found.push(segment);
            }
        }
        found
    }

    pub(crate) fn record(&mut self, shard: &ShardId, segment: Segment) {
        self.segments.entry(shard.clone()).or_default().insert((segment.epoch, segment.part), segment);
    }

    pub(crate) fn look(&self, shard: &ShardId) -> Begun {
        self.progress.get(shard).cloned().unwrap_or_else(Begun::nothing)
    }

    pub(crate) fn expire(&mut self, shard: &ShardId, last: &Position) {
        let begun = self.progress.entry(shard.clone()).or_insert_with(Begun::nothing);
        begun.expired = begun.expired.clone().max(last.clone());
    }

    pub(crate) fn count_redriven(&mut self, shard: &ShardId) {
        self.progress.entry(shard.clone()).or_insert_with(Begun::nothing).redriven += 1;
    }

    pub(crate) fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Vec<Redriven> {
        let redriven = self.redriven.get(shard).into_iter().flatten();
        redriven.filter(|redriven| redriven.at >= since).cloned().collect()
    }

    /// Whether the turn was free, or over, or of this call already, and whether a call had it that has
    /// not ended it.
    fn take_turn(&mut self, id: &str, now: Timestamp, until: Timestamp) -> (bool, bool) {
        let is_free = self.turn.as_ref().is_none_or(|(holder, until)| holder == id || *until < now);
        let is_another = self.turn.as_ref().is_some_and(|(holder, _)| holder != id);
        if is_free {
            self.turn = Some((id.to_owned(), until));
        }
        (is_free, is_free && is_another)
    }

    pub(crate) fn end_turn(&mut self, id: &str) {
        self.turn.take_if(|(holder, _)| holder == id);
    }

    /// The names of all that was redriven on a shard.
    pub(crate) fn redriven_names(&self, shard: &ShardId) -> impl Iterator<Item = &Fingerprint> {
        self.redriven.get(shard).into_iter().flatten().flat_map(|redriven| &redriven.handled)
    }

    /// Whether any event behind this place was redriven.
    pub(crate) fn has_redriven_after(&self, position: &Position) -> bool {
        let last = self.redriven.values().flatten().flat_map(|redriven| &redriven.last);
        last.into_iter().any(|(_, last)| last > position)
    }

    pub(crate) fn record_redriven(&mut self, shard: &ShardId, redriven: Redriven) {
        let items = self.redriven.entry(shard.clone()).or_default();
        items.retain(|other| other.id != redriven.id);
        items.push(redriven);
    }

    pub(crate) fn recovered(&self, shard: &ShardId, first: &SequenceNumber, last: &SequenceNumber) -> Option<Position> {
        self.recovered.get(&(shard.clone(), first.clone(), last.clone())).cloned()
    }

    pub(crate) fn record_recovered(&mut self, shard: &ShardId, cursor: Cursor) {
        let done = self.recovered.entry((shard.clone(), cursor.first, cursor.last)).or_insert_with(Position::start);
        *done = done.clone().max(cursor.done);
    }

    pub(crate) fn store(&mut self, key: &str, state: &StoredState, over: Option<u64>) -> Stored {
        if self.states.get(key).map(|stored| stored.revision) != over {
            return Stored::Superseded;
        }
        self.states.insert(key.to_owned(), state.clone());
        Stored::Yes
    }
}

impl World {
    /// A call of a group asks for its turn to redrive.
    pub(crate) fn take_turn(&mut self, group: GroupIndex, id: &str, now: Timestamp, until: Timestamp) -> bool {
        let (is_free, overlaps) = self.tables[group].take_turn(id, now, until);
        if overlaps {
            self.saw_turns_overlap(group);
        }
        is_free
    }

    /// Writes a projection's state, and looks at what that does.
    pub(crate) fn store_state(
        &mut self,
        group: GroupIndex,
        pid: Pid,
        key: &str,
        state: &StoredState,
        over: Option<u64>,
    ) -> Result<Stored, Error> {
        let (bytes, places) = (state.state.as_ref().map_or(0, String::len), state.refused.len());
        if bytes > self.item.state_bytes || places > self.item.refused + ITEM_SLACK {
            return Err(Error::Refused("the item is too large".to_owned()));
        }
        let old = self.tables[group].states.get(key).cloned();
        let stored = self.tables[group].store(key, state, over);
        self.note(|| format!("process {pid}: state of {key} up to {}: {stored:?}", state.applied));
        if stored == Stored::Yes {
            let number = key.trim_start_matches('k').parse().unwrap_or(0);
            self.saw_state(group, number, old.as_ref(), state);
        }
        Ok(stored)
    }
}
