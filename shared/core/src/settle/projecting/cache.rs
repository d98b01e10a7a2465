//! The states that this process read or wrote last, so that a busy key is not read again for each batch.
//!
//! A remembered state can be out of date: other processes write too. That does no harm, because a state is written only
//! over the revision that was read: the write of who folded an old state is refused, and the lane reads and folds again.
//! What cannot be taken back, a dead letter, is never sent on the word of a remembered state.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::key::PartitionKey;
use crate::projection::StoredState;

/// What an entry takes besides its texts: positions, lists, and the tables of the cache.
const ENTRY_BYTES: usize = 512;

/// States within a number of bytes; those that were used longest ago go first.
#[derive(Debug)]
pub(super) struct Cache {
    bytes_max: usize,
    states: Mutex<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    of: LruCache<PartitionKey, Arc<StoredState>>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, states: Mutex::new(Remembered { of: LruCache::unbounded(), bytes: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &PartitionKey) -> Option<Arc<StoredState>> {
        self.lock().of.get(key).cloned()
    }

    pub(super) fn put(&self, key: &PartitionKey, state: Arc<StoredState>) {
        let mut states = self.lock();
        states.forget(key);
        states.bytes += bytes_of(key, &state);
        states.of.put(key.clone(), state);
        while states.bytes > self.bytes_max {
            let Some((key, state)) = states.of.pop_lru() else { break };
            states.bytes -= bytes_of(&key, &state);
        }
    }

    pub(super) fn forget(&self, key: &PartitionKey) {
        self.lock().forget(key);
    }
}

impl Remembered {
    fn forget(&mut self, key: &PartitionKey) {
        if let Some(state) = self.of.pop(key) {
            self.bytes -= bytes_of(key, &state);
        }
    }
}

fn bytes_of(key: &PartitionKey, state: &StoredState) -> usize {
    let json = state.state.as_ref().map_or(0, String::len);
    ENTRY_BYTES + 2 * key.as_str().len() + json + 8 * (state.refused.len() + state.redriven.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(bytes: usize) -> Arc<StoredState> {
        Arc::new(StoredState { state: Some("x".repeat(bytes)), ..StoredState::nothing() })
    }

    #[test]
    fn it_stays_within_its_bytes_and_forgets_what_was_used_longest_ago() {
        let cache = Cache::new(3 * (ENTRY_BYTES + 100));
        let keys: Vec<_> = ["a", "b", "c", "d"].map(|key| PartitionKey::new(key).unwrap()).into();
        for key in &keys[..3] {
            cache.put(key, state(50));
        }
        assert!(cache.get(&keys[0]).is_some());
        cache.put(&keys[3], state(90));
        let known: Vec<bool> = keys.iter().map(|key| cache.get(key).is_some()).collect();
        assert_eq!(known, [true, false, true, true]);
        // replaced, not counted twice
        for _ in 0..100 {
            cache.put(&keys[3], state(80));
        }
        assert!(cache.get(&keys[0]).is_some());
        cache.put(&keys[1], state(100_000));
        assert!(cache.get(&keys[1]).is_none(), "larger than all of it");
        assert_eq!(cache.lock().bytes, 0);
    }
}
