//! The wait between attempts: doubling, bounded, with jitter that the caller draws.

use std::time::Duration;

/// Waits that double from `first` up to `max`.
///
/// AWS documents exponential backoff for stream mappings and no figures. These are for a laptop: short at first, and
/// never longer than somebody who has just fixed a function wants to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure, before jitter.
    pub first: Duration,
    /// The bound on any wait.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), max: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The wait after this many `failures` in a row: between half of the doubled wait and all of it, as the random bits
    /// of `jitter` say. Never above [`Backoff::max`].
    pub fn wait(&self, failures: u32, jitter: u64) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.max);
        let half = whole / 2;
        let spread = u64::try_from((whole - half).as_millis()).unwrap_or(u64::MAX);
        half + Duration::from_millis(jitter % spread.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_between_half_and_whole_up_to_the_bound() {
        let backoff = Backoff::default();
        let whole = |ms| (Duration::from_millis(ms / 2), Duration::from_millis(ms));
        for (failures, (least, most)) in
            [(1, whole(100)), (2, whole(200)), (6, whole(3200)), (7, whole(5000)), (u32::MAX, whole(5000))]
        {
            for jitter in [0, 1, 77, 12_345, u64::MAX] {
                let wait = backoff.wait(failures, jitter);
                assert!((least..=most).contains(&wait), "{failures} failures, jitter {jitter}: {wait:?}");
            }
            assert_eq!(backoff.wait(failures, 0), least);
        }
    }
}
