//! Telling an outage from poison: many keys that fail at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::lane::{LaneEnd, Stop};
use super::settings::Settings;

/// Counts the lanes of a batch that were tried, and those that failed.
#[derive(Debug)]
pub(super) struct Gauge {
    tried: AtomicUsize,
    failed: AtomicUsize,
    keys: usize,
    share: f64,
}

impl Gauge {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            tried: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            keys: settings.outage_keys,
            share: settings.outage_share,
        }
    }

    /// Begins to count. `well` keys of the batch are settled already: an earlier try got them through. `waiting` ones failed a
    /// moment ago and are not tried now.
    pub(super) fn begin(&self, well: usize, waiting: usize) {
        self.tried.store(well + waiting, Ordering::Relaxed);
        self.failed.store(waiting, Ordering::Relaxed);
    }

    pub(super) fn count(&self, end: &LaneEnd) {
        self.tried.fetch_add(1, Ordering::Relaxed);
        if matches!(end.stop, Some(Stop::Retry(_))) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it is an outage, judged when every lane has had its turn.
    #[expect(clippy::cast_precision_loss, reason = "a batch has at most some millions of keys")]
    pub(super) fn outage(&self) -> bool {
        let (tried, failed) = (self.tried.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        failed >= self.keys && failed as f64 >= self.share * tried as f64
    }

    /// Whether the lanes that have not begun need not: so much has failed that it will be an outage. Stricter than
    /// that, because the first keys of a batch may be the bad ones by chance.
    pub(super) fn hopeless(&self) -> bool {
        let (tried, failed) = (self.tried.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        failed >= HOPELESS_FACTOR * self.keys && failed >= tried - failed && self.outage()
    }
}

/// Multiples of the failing keys of an outage before the rest of a batch is not tried at all.
const HOPELESS_FACTOR: usize = 4;
