//! What a process remembers of its shards between runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::returned::RedrivenLately;
use crate::ports::Lineage;
use crate::position::{Position, ShardId};
use crate::time::Timestamp;
use crate::window::{Age, Window, names_in};

/// What the process remembers of shards. Runs and redrives remember apart: names age by arrival for the one, by recording for
/// the other. Windows and what was redriven stay within so many
/// bytes together; what was used longest ago goes first.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    known: Mutex<KnownShards>,
}

#[derive(Debug, Default)]
pub(super) struct KnownShards {
    pub(super) of: BTreeMap<(Age, ShardId), Known>,
    uses: u64,
}

/// What the process remembers of a shard between runs.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) lineage: Option<Lineage>,
    pub(super) window: Option<Window>,
    /// How often redriven events had been recorded when the window was loaded.
    pub(super) redriven: u64,
    /// Runs in a row of this process that failed and could not be released: the progress counts their attempts, and they were
    /// no crashes.
    pub(super) failed: u32,
    /// The suspect that the last of them had named.
    pub(super) innocent: Option<(Position, u32)>,
    /// What was redriven lately, for redrives.
    pub(super) lately: Option<RedrivenLately>,
    /// Time of the latest redrive on the shard that is in the window.
    pub(super) redriven_at: Timestamp,
    /// Runs in a row that settled nothing of what they were given.
    pub(super) fruitless: u32,
    /// When it was used last, as a count of uses.
    pub(super) used: u64,
    /// See [`Window::bounded`].
    pub(super) bound: Option<Position>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            lineage: None,
            window: None,
            redriven: 0,
            failed: 0,
            innocent: None,
            lately: None,
            redriven_at: Timestamp(0),
            fruitless: 0,
            used: 0,
            bound: None,
        }
    }
}

/// Shards that a process remembers anything of. Lambda sends a process the batches of any shard.
const SHARDS_MAX: usize = 1024;

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, known: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, KnownShards> {
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
        shards.make_room(known.bytes(), self.bytes_max);
        shards.of.insert((age, shard), known);
    }

    /// Forgets windows until there is room for one of so many bytes.
    pub(super) fn make_room(&self, bytes: usize) {
        self.lock().make_room(bytes, self.bytes_max);
    }

    /// Names that a window can have.
    pub(super) fn names_max(&self) -> usize {
        names_in(self.bytes_max)
    }
}

impl KnownShards {
    fn make_room(&mut self, bytes: usize, bytes_max: usize) {
        let mut all: usize = bytes + self.of.values().map(Known::bytes).sum::<usize>();
        while all > bytes_max {
            let large = self.of.values_mut().filter(|known| known.window.is_some() || known.lately.is_some());
            let Some(oldest) = large.min_by_key(|known| known.used) else { return };
            all -= oldest.bytes();
            (oldest.window, oldest.lately) = (None, None);
        }
    }
}

impl Known {
    /// What may be forgotten of it, and is read again.
    fn bytes(&self) -> usize {
        self.window.as_ref().map_or(0, Window::bytes) + self.lately.as_ref().map_or(0, RedrivenLately::bytes)
    }
}
