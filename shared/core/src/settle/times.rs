//! The latest times of a run's steps.
//!
//! Every call is cancelled well before Lambda kills the function: if a service stalls, the run fails with time left to
//! release its attempt.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::ports::{self, Clock};
use crate::time::Timestamp;

/// The ends of a run's steps, in their order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) began: Timestamp,
    /// Nothing is handled any more, and the window is loaded.
    pub(crate) stop: Timestamp,
    /// Letters are sent: later than lanes stop, because an event that took all of the time may be one.
    pub(crate) letters: Timestamp,
    /// States are stored, which say that the letters were sent.
    pub(crate) store: Timestamp,
    /// What was settled is recorded.
    pub(crate) record: Timestamp,
    /// And committed.
    pub(crate) commit: Timestamp,
    /// The run answers.
    pub(crate) answer: Timestamp,
}

impl Times {
    /// The times of a run that begins `now`. `margin` is kept back for what follows the lanes, at most a quarter of the
    /// whole.
    pub(crate) fn new(now: Timestamp, deadline: Timestamp, margin: Duration) -> Self {
        let margin = margin.min(deadline.since(now) / 4);
        let before = |share: u32| deadline.minus(margin * share / 8);
        Self {
            began: now,
            stop: before(8),
            letters: before(7),
            store: before(6),
            record: before(4),
            commit: before(2),
            answer: before(1),
        }
    }
}

/// A call to the outside that is cancelled at `end`, and not even begun after it: a cancelled call may still take effect.
pub(crate) async fn within<T>(
    clock: &impl Clock,
    end: Timestamp,
    call: impl Future<Output = Result<T, ports::Error>> + Send,
) -> Result<T, ports::Error> {
    let left = end.since(clock.now());
    if left.is_zero() {
        return Err(ports::Error::Unavailable("the run had to end before it was asked".to_owned()));
    }
    match select(pin!(call), pin!(clock.sleep(left))).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => Err(ports::Error::Unavailable("no answer before the run had to end".to_owned())),
    }
}
