//! Many schedules, on as many threads as there are processors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::world::Broken;

/// A seed whose schedule breaks an invariant.
#[derive(Debug, Clone)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// What it breaks.
    pub broken: Broken,
}

/// Runs the schedules of `seeds` seeds from `from` on, until one breaks something; the lowest that was found. `tell` hears
/// of each that has ended, with its faults and events.
pub fn run_many(from: u64, seeds: u64, tell: impl Fn(&crate::ScheduleEnd) + Sync) -> Option<Found> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let found: Mutex<Option<Found>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from.saturating_add(seeds) {
                        return;
                    }
                    let outcome = one(seed);
                    tell(&outcome);
                    if let Some(broken) = outcome.broken {
                        stop.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        if found.as_ref().is_none_or(|other| seed < other.seed) {
                            *found = Some(Found { seed, broken });
                        }
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// An assertion of the code under test that fails is a broken invariant too.
fn one(seed: u64) -> crate::ScheduleEnd {
    catch_unwind(AssertUnwindSafe(|| crate::run(seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_else(|| "a panic".to_owned());
        crate::ScheduleEnd { broken: Some(Broken { invariant: "assertion", what }), faults: 0, events: 0 }
    })
}
