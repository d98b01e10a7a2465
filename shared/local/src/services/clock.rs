//! The wall clock of the local services. They imitate services that live by it: message delays, retention, throttling.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
    i64::try_from(since_epoch.as_millis()).expect("milliseconds fit 63 bits for 292 million years")
}
