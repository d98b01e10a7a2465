//! Patience: when an event that failed is tried again, and when it is dead-lettered.
//!
//! An event becomes a dead letter when it was tried often enough *and* for long enough: what its handler calls may be away
//! for half a minute, and three tries are over in a second. Its times are reckoned from its first failure, which the
//! progress keeps, so that every run and every process comes to the same ones.

use std::time::Duration;

use super::settings::Settings;
use crate::progress::Failing;
use crate::time::Timestamp;

/// Between the first failure and the next try; twice as long after each.
const PAUSE: Duration = Duration::from_secs(1);

/// Between two tries at most.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a run waits in all for events to be due. The events of other keys that arrive meanwhile wait too: they come with
/// the next run.
pub(super) const WAITS_MAX: Duration = Duration::from_secs(10);

impl Settings {
    /// When an event that failed is tried again: after 1, 2, 4, 8, 16 and then each 30 seconds, and once more when patience
    /// is over.
    pub(super) fn due(&self, failing: &Failing) -> Timestamp {
        let doublings = PAUSE_MAX.as_secs().ilog2();
        let doubled = PAUSE * ((1 << failing.attempts.min(doublings + 1)) - 1);
        let more = PAUSE_MAX * failing.attempts.saturating_sub(doublings + 1);
        failing.since.plus(self.patience.min(doubled + more))
    }

    /// Whether an event that failed just now is a dead letter.
    pub(super) fn is_hopeless(&self, failing: &Failing, now: Timestamp) -> bool {
        failing.attempts >= self.attempts_max && now.since(failing.since) >= self.patience
    }
}

/// How long a run that settled nothing waits before it answers, when so many before it in this process settled nothing
/// either: the event source hands the same batch out again at once.
pub(super) fn idle_for(fruitless: u32) -> Duration {
    (PAUSE * (1 << fruitless.min(8).saturating_sub(1))).min(WAITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(patience: u64) -> Vec<u64> {
        let settings = Settings { patience: Duration::from_secs(patience), ..Settings::new("g", "s") };
        let since = Timestamp(5_000);
        (1..=9).map(|attempts| settings.due(&Failing { attempts, since }).since(since).as_secs()).collect()
    }

    #[test]
    fn pauses_double_and_the_last_try_is_when_patience_is_over() {
        assert_eq!(times(60), [1, 3, 7, 15, 31, 60, 60, 60, 60]);
        assert_eq!(times(3600), [1, 3, 7, 15, 31, 61, 91, 121, 151]);
        assert_eq!(times(0), [0; 9]);
        assert_eq!(times(2), [1, 2, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn an_event_is_hopeless_after_enough_tries_and_enough_time() {
        let settings = Settings::new("g", "s");
        let hopeless = |attempts, seconds: u64| {
            settings.is_hopeless(&Failing { attempts, since: Timestamp(1000) }, Timestamp(1000 + seconds * 1000))
        };
        assert!(hopeless(3, 60) && hopeless(7, 61));
        assert!(!hopeless(2, 600), "one attempt can hang for all of its run");
        assert!(!hopeless(100, 59));
    }

    #[test]
    fn whoever_settles_nothing_is_slowed_down() {
        let seconds: Vec<u64> = (1..=6).map(|fruitless| idle_for(fruitless).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        assert_eq!(idle_for(u32::MAX), WAITS_MAX);
    }
}
