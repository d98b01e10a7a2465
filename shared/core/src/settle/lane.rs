//! A lane: the events of one partition key in a batch, handled in order. Lanes run side by side.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::letters::GivenUp;
use super::redrive::Returned;
use super::tally::Tally;
use super::times::{Times, within};
use super::{Outside, Settings};
use crate::batch::Delivery;
use crate::decision::{Decision, Why, tell};
use crate::fingerprint::Fingerprinter;
use crate::hash::HashRange;
use crate::ports;
use crate::position::{Position, ShardId};
use crate::settle::run::Outcome;

/// What is done with the events of a lane.
pub trait Work: Send + Sync {
    /// Works through `events`, which share a partition key and hold an event each, in their order.
    fn run<O: Outside>(
        &self,
        events: &[&Delivery],
        context: &LaneContext<'_, O>,
    ) -> impl Future<Output = LaneEnd> + Send;

    /// What an earlier run did with an event and could not record, if that can be seen without handling it again.
    fn already<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> impl Future<Output = Result<Option<Outcome>, ports::Error>> + Send {
        _ = (event, context);
        async { Ok(None) }
    }

    /// Sees to it that nobody handles an event any more whose dead letter has just been sent: neither this run nor one
    /// that has lost its fence and goes on. What has become of it.
    fn forgo<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> impl Future<Output = Result<Outcome, ports::Error>> + Send {
        _ = (event, context);
        async { Ok(Outcome::DeadLettered) }
    }

    /// Handles an event that was given up and has been sent back. Later events of its key have been handled since.
    fn redrive<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
        returned: &Returned<'_>,
    ) -> impl Future<Output = Result<Outcome, Stop>> + Send {
        _ = returned;
        async move {
            let LaneEnd { mut outcomes, stop } = self.run(&[event], context).await;
            match (outcomes.pop(), stop) {
                (Some(outcome), _) => Ok(outcome),
                (None, Some(stop)) => Err(stop),
                (None, None) => unreachable!("a lane stops for a reason"),
            }
        }
    }
}

/// How far a lane came: outcomes for its first events, and why it stopped if it did.
#[derive(Debug)]
pub struct LaneEnd {
    /// Outcomes of the first events.
    pub outcomes: Vec<Outcome>,
    /// Why the event after those has none.
    pub stop: Option<Stop>,
}

impl LaneEnd {
    /// A lane that settled nothing.
    pub(super) fn nothing(stop: Stop) -> Self {
        Self { outcomes: Vec::new(), stop: Some(stop) }
    }
}

/// Why a lane stopped.
#[derive(Debug)]
pub enum Stop {
    /// The event has to be seen again, and that counts.
    Retry(String),
    /// Time ran out.
    OutOfTime,
    /// Something outside failed; it says nothing about the event.
    Outside(ports::Error),
}

/// What a lane may use and has to keep to.
#[derive(Debug)]
pub struct LaneContext<'a, O> {
    pub(super) outside: &'a O,
    pub(super) settings: &'a Settings,
    pub(super) shard: &'a ShardId,
    pub(super) epoch: u64,
    pub(super) failures: &'a BTreeMap<Position, u32>,
    /// Every event at or below it was settled when the run began.
    pub(super) position: &'a Position,
    /// Just below the batch: what is at or below it is settled, or the event source has gone on past it.
    pub(super) below: Position,
    pub(super) times: Times,
    pub(super) fingerprints: &'a Fingerprinter,
    /// The hash keys of the shard.
    pub(super) range: HashRange,
    /// What this run gave up.
    pub(super) given_up: Mutex<GivenUp>,
    pub(super) tally: Tally,
    /// The events are dead letters that were sent back: whatever is not handled goes back to where it came from.
    pub(super) redrives: bool,
}

impl<O: Outside> LaneContext<'_, O> {
    /// A call to the outside, given up when lanes have to stop: a service that hangs must not look like a crash.
    pub(super) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, ports::Error>> + Send,
    ) -> Result<T, ports::Error> {
        within(self.outside, self.times.stop, call).await
    }

    /// As above, for what makes lasting what lanes have done.
    pub(super) async fn stored<T>(
        &self,
        call: impl Future<Output = Result<T, ports::Error>> + Send,
    ) -> Result<T, ports::Error> {
        within(self.outside, self.times.store, call).await
    }

    /// Tells what becomes of an event because something outside failed.
    pub(super) fn tell(&self, decision: Decision, delivery: &Delivery, error: &ports::Error) {
        tell(decision, self.shard, delivery, Why::because(&error.to_string()));
    }

    /// Whether no other run of the shard has begun since this one.
    pub(super) async fn holds_fence(&self) -> Result<bool, ports::Error> {
        Ok(self.bounded(self.outside.look(self.shard)).await?.epoch == self.epoch)
    }

    /// How often this event has been handled before, as far as it is known.
    pub(super) fn failures_of(&self, position: &Position) -> u32 {
        self.failures.get(position).copied().unwrap_or(0)
    }

    /// Time until lanes have to stop; zero when it is over.
    pub(super) fn time_left(&self) -> Duration {
        self.times.stop.since(self.outside.now())
    }

    /// What it means that time ran out on an event that began with `left` to go: an event that had most of a run for
    /// itself is too slow, and would be for ever.
    pub(super) fn out_of_time(&self, left: Duration) -> Stop {
        let whole = self.times.stop.since(self.times.began);
        if left >= whole / 2 {
            Stop::Retry(format!("was not done after {} ms and was cancelled", left.as_millis()))
        } else {
            Stop::OutOfTime
        }
    }
}

/// Tells an outage from poison: many keys that fail at once.
#[derive(Debug)]
pub(super) struct Gauge {
    tried: AtomicUsize,
    failed: AtomicUsize,
    keys: usize,
    share: f64,
}

impl Gauge {
    /// `well` keys of the batch are settled already: an earlier run got them through.
    pub(super) fn new(settings: &Settings, well: usize) -> Self {
        Self {
            tried: AtomicUsize::new(well),
            failed: AtomicUsize::new(0),
            keys: settings.outage_keys,
            share: settings.outage_share,
        }
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
