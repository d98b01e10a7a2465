//! A group's items in DynamoDB and its messages in SQS.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock::dead_letter::DeadLetter;
use penstock::progress::{Begun, Commit, Committed};
use penstock::projection::{Stored, StoredState};
use penstock::time::Timestamp;
use penstock::window::Segment;
use penstock::{Position, ShardId};

/// Segments live this much longer than the horizon.
const SLACK: Duration = Duration::from_secs(600);

/// The items.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    progress: BTreeMap<ShardId, Begun>,
    pub(crate) segments: BTreeMap<ShardId, BTreeMap<(u64, u32), Segment>>,
    pub(crate) states: BTreeMap<String, StoredState>,
    pub(crate) letters: Vec<DeadLetter>,
}

impl Tables {
    pub(crate) fn epoch(&self, shard: &ShardId) -> u64 {
        self.progress.get(shard).map_or(0, |begun| begun.epoch)
    }

    pub(crate) fn position(&self, shard: &ShardId) -> Position {
        self.progress.get(shard).map_or_else(Position::start, |begun| begun.position.clone())
    }

    pub(crate) fn begin(&mut self, shard: &ShardId) -> Begun {
        let begun = self.progress.entry(shard.clone()).or_insert_with(|| Begun {
            epoch: 0,
            attempts: 0,
            position: Position::start(),
            failures: BTreeMap::new(),
            suspect: None,
            ahead_from: None,
        });
        begun.epoch += 1;
        begun.attempts += 1;
        begun.clone()
    }

    pub(crate) fn commit(&mut self, shard: &ShardId, epoch: u64, commit: &Commit) -> Committed {
        let Some(begun) = self.progress.get_mut(shard).filter(|begun| begun.epoch == epoch) else {
            return Committed::Fenced;
        };
        begun.position = commit.position.clone();
        begun.failures = commit.failures.clone();
        begun.suspect = commit.suspect.clone();
        begun.ahead_from = commit.ahead_from;
        begun.attempts = commit.attempts;
        Committed::Yes
    }

    /// As the adapter reads them: newest first, up to the first that is too old.
    pub(crate) fn load(
        &self,
        shard: &ShardId,
        after: u64,
        since: Timestamp,
        kept_from: Option<u64>,
        now: Timestamp,
        horizon: Duration,
    ) -> Vec<Segment> {
        let Some(segments) = self.segments.get(shard) else { return Vec::new() };
        let mut found = Vec::new();
        for segment in segments.range((after + 1, 0)..).rev().map(|(_, segment)| segment) {
            if segment.at < since && kept_from.is_none_or(|from| segment.epoch < from) {
                break;
            }
            if now <= segment.at.plus(horizon + SLACK) || !segment.ahead.is_empty() {
                found.push(segment.clone());
            }
        }
        found
    }

    pub(crate) fn record(&mut self, shard: &ShardId, segment: Segment) {
        self.segments.entry(shard.clone()).or_default().insert((segment.epoch, segment.part), segment);
    }

    pub(crate) fn store(&mut self, key: &str, state: &StoredState, before: Option<&Position>) -> Stored {
        if self.states.get(key).map(|stored| &stored.applied) != before {
            return Stored::Superseded;
        }
        self.states.insert(key.to_owned(), state.clone());
        Stored::Yes
    }
}
