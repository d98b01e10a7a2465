//! What a run counts besides its outcomes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::dead_letter::Code;

/// Letters that were sent, and events whose handler asked for a retry. Lanes run side by side and count into one.
#[derive(Debug, Default)]
pub(super) struct Tally {
    letters: Mutex<BTreeMap<Code, u32>>,
    retries: AtomicU32,
}

impl Tally {
    pub(super) fn count_letter(&self, code: Code) {
        *self.letters.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Letters by reason, and retries.
    pub(super) fn into_parts(self) -> (BTreeMap<Code, u32>, u32) {
        (self.letters.into_inner().unwrap_or_else(PoisonError::into_inner), self.retries.into_inner())
    }
}
