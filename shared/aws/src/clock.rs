//! The clock of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock::ports::Clock;
use penstock::time::Timestamp;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A uniform draw from 0 to 1, for jitter.
pub fn jitter() -> f64 {
    fastrand::f64()
}
