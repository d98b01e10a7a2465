//! What a process remembers of its shards between runs, and how it is brought up to date.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::{Outside, Settler, Work};
use crate::batch::{CLOCKS_DIFFER, ShardBatch};
use crate::ports::{self, Lineage};
use crate::position::{Position, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::{Age, Wanted, Window, names_in};

/// What the process remembers of shards: as runs know them, and as redrives do, whose names age otherwise. All windows
/// together stay within so many bytes; the one that was used longest ago goes first.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    known: Mutex<Shards>,
}

#[derive(Debug, Default)]
struct Shards {
    of: BTreeMap<(Age, ShardId), Known>,
    uses: u64,
}

/// What the process remembers of a shard between runs.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) lineage: Option<Lineage>,
    pub(super) window: Option<Window>,
    /// How often redriven events had been recorded when the window was loaded.
    pub(super) redriven: u64,
    /// Runs in a row that failed without a crash and could not say so: their attempts do not count.
    pub(super) failed: u32,
    /// The suspicion of the last such run.
    pub(super) innocent: Option<(Position, u32)>,
    /// When it was used last, as a count of uses.
    used: u64,
}

/// Shards that a process remembers anything of. Lambda sends a process the batches of any shard.
const SHARDS_MAX: usize = 1024;

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Shards> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is known of a shard; it is put back by [`remember`](Self::remember).
    pub(super) fn recall(&self, age: Age, shard: &ShardId) -> Known {
        self.lock().of.remove(&(age, shard.clone())).unwrap_or_default()
    }

    pub(super) fn remember(&self, age: Age, shard: ShardId, mut known: Known) {
        let mut shards = self.lock();
        shards.uses += 1;
        known.used = shards.uses;
        if shards.of.len() >= SHARDS_MAX
            && let Some(oldest) = shards.of.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone())
        {
            shards.of.remove(&oldest);
        }
        let bytes = known.window.as_ref().map_or(0, Window::bytes);
        shards.make_room(bytes, self.bytes_max);
        shards.of.insert((age, shard), known);
    }

    /// Forgets windows until there is room for one of so many bytes.
    fn make_room(&self, bytes: usize) {
        self.lock().make_room(bytes, self.bytes_max);
    }

    /// Names that a window can have.
    fn names_max(&self) -> usize {
        names_in(self.bytes_max)
    }
}

impl Shards {
    fn make_room(&mut self, bytes: usize, bytes_max: usize) {
        let bytes_of = |known: &Known| known.window.as_ref().map_or(0, Window::bytes);
        let mut all: usize = bytes + self.of.values().map(bytes_of).sum::<usize>();
        while all > bytes_max {
            let with_window = self.of.values_mut().filter(|known| known.window.is_some());
            let Some(oldest) = with_window.min_by_key(|known| known.used) else { return };
            all -= bytes_of(oldest);
            oldest.window = None;
        }
    }
}

impl<W: Work, O: Outside> Settler<W, O> {
    /// Events whose names this process keeps of a shard between its runs.
    pub fn remembered(&self, shard: &ShardId) -> usize {
        let shards = self.memory.lock();
        let known = shards.of.get(&(Age::Arrival, shard.clone()));
        known.and_then(|known| known.window.as_ref()).map_or(0, Window::len)
    }

    /// What was settled before this is forgotten. The horizon counts back from the batch and not from now: a duplicate
    /// that has waited on the stream is no less a duplicate.
    pub(super) fn forget_before(&self, batch: &ShardBatch) -> Timestamp {
        let now = self.outside.now();
        let oldest = batch.records.iter().map(|record| record.arrival).min().unwrap_or(now);
        oldest.min(now).minus(self.settings.horizon + CLOCKS_DIFFER)
    }

    /// The window of `shard` with every run below this one in it. P3: what it recorded is not handled again.
    pub(super) async fn load(
        &self,
        shard: &ShardId,
        begun: &Begun,
        known: &mut Known,
        (age, since): (Age, Timestamp),
    ) -> Result<Window, ports::Error> {
        let lineage = match known.lineage.take() {
            Some(lineage) => lineage,
            None => self.outside.lineage(shard).await?,
        };
        let inherits = known.window.is_none();
        let mut window = known.window.take().unwrap_or_else(|| Window::new(age));
        if inherits {
            known.redriven = 0;
        }
        let kept_from = Some(begun.kept_from());
        let names_left = |window: &Window| self.memory.names_max().saturating_sub(window.len());
        if window.epoch() + 1 < begun.epoch {
            let names_max = names_left(&window);
            let wanted = Wanted { after: window.epoch(), age, since, kept_from, names_max };
            for segment in self.outside.load(shard, &wanted).await? {
                window.add(&segment);
            }
            self.memory.make_room(window.bytes());
        }
        for (ancestor, _) in lineage.ancestors.iter().filter(|_| inherits) {
            let names_max = names_left(&window);
            let wanted = Wanted { after: 0, age, since, kept_from: None, names_max };
            for segment in self.outside.load(ancestor, &wanted).await? {
                window.inherit(&segment);
            }
            for redriven in self.outside.load_redriven(ancestor, since).await? {
                window.add_redriven(&redriven);
            }
            self.memory.make_room(window.bytes());
        }
        if known.redriven != begun.redriven {
            for redriven in self.outside.load_redriven(shard, since).await? {
                window.add_redriven(&redriven);
            }
            known.redriven = begun.redriven;
        }
        known.lineage = Some(lineage);
        window.advance(&begun.position);
        window.sweep(since, self.settings.horizon / 8);
        Ok(window)
    }

    /// Keeps a window for the next run, within what the process may take.
    pub(super) fn keep(&self, shard: &ShardId, known: &mut Known, mut window: Window) {
        if let Some(oldest) = window.trim(self.memory.names_max()) {
            let recognised = window.latest().since(oldest).as_secs();
            let names = self.memory.names_max();
            warn!(%shard, names, recognised_s = recognised, "more events than the window has room for: give it more memory");
        }
        known.window = Some(window);
    }
}
