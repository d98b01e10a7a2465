//! The wall clock, which the drivers give to the state machines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock::time::Timestamp;

/// The time.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(0).plus(since_epoch)
}
