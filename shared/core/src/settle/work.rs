//! What is done with the events of a batch, and what it may use.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use super::lane::{LaneEnd, Outcome, Stop};
use super::outage::Gauge;
use super::returned::{Returned, Trouble};
use super::settings::Settings;
use super::settler::Outside;
use super::tally::Tally;
use super::times::{Times, within};
use crate::batch::Delivery;
use crate::decision::{Decision, Why, tell};
use crate::fingerprint::Fingerprinter;
use crate::hash::HashRange;
use crate::key::PartitionKey;
use crate::ports;
use crate::position::{Position, ShardId};

/// What a run has dead-lettered, by key.
pub(super) type DeadLettered = HashMap<PartitionKey, BTreeSet<Position>>;

/// The events of one partition key, each with content, in their order.
pub type Lane<'a> = Vec<&'a Delivery>;

/// What is done with events.
pub trait Work: Send + Sync {
    /// Works through `lanes`: each in its order, and side by side. No key has two of them. One end a lane, in their order.
    fn run<O: Outside>(
        &self,
        lanes: &[Lane<'_>],
        context: &LaneContext<'_, O>,
    ) -> impl Future<Output = Vec<LaneEnd>> + Send;

    /// Works through one event alone: what has become of it, or why nothing has.
    fn run_one<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> impl Future<Output = Result<Outcome, Stop>> + Send {
        async move {
            let ends = self.run(&[vec![event]], context).await;
            let Some(LaneEnd { mut outcomes, stop }) = ends.into_iter().next() else {
                unreachable!("there is an end for each lane")
            };
            match (outcomes.pop(), stop) {
                (Some(outcome), _) => Ok(outcome),
                (None, Some(stop)) => Err(stop),
                (None, None) => unreachable!("a lane stops for a reason"),
            }
        }
    }

    /// What an earlier run did with an event and could not record, if that can be seen without handling it again.
    fn already<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> impl Future<Output = Result<Option<Outcome>, ports::Error>> + Send {
        _ = (event, context);
        async { Ok(None) }
    }

    /// Called when an event's dead letter has just been sent without handling it: marks the event as refused where that is
    /// kept, so that no run, and no fenced one that goes on, applies it any more. The event's outcome.
    fn forgo<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> impl Future<Output = Result<Outcome, ports::Error>> + Send {
        _ = (event, context);
        async { Ok(Outcome::DeadLettered) }
    }

    /// Handles an event that was dead-lettered and has been sent back. Later events of its key have been handled since.
    fn redrive<O: Outside>(
        &self,
        event: &Delivery,
        context: &Context<'_, O>,
        returned: &Returned<'_>,
    ) -> impl Future<Output = Result<Outcome, Trouble>> + Send;
}

/// What a run or a redrive may use and has to keep to.
#[derive(Debug)]
pub struct Context<'a, O> {
    pub(super) outside: &'a O,
    pub(super) settings: &'a Settings,
    pub(super) shard: &'a ShardId,
    pub(super) epoch: u64,
    pub(super) fingerprints: &'a Fingerprinter,
    pub(super) times: Times,
}

/// What the lanes of a run may use besides.
#[derive(Debug)]
pub struct LaneContext<'a, O> {
    pub(super) at: Context<'a, O>,
    /// Every event at or below it was settled when the run began.
    pub(super) position: &'a Position,
    /// Just below the batch: what is at or below it is settled, or the event source has gone on past it.
    pub(super) below: Position,
    /// The hash keys of the shard.
    pub(super) range: HashRange,
    /// What this run has dead-lettered.
    pub(super) dead_lettered: Mutex<DeadLettered>,
    pub(super) tally: Tally,
    /// How many lanes fail.
    pub(super) gauge: Gauge,
}

impl<O: Outside> Context<'_, O> {
    /// A call to the outside that is cancelled when lanes have to stop: a service that hangs must not look like a crash.
    pub(super) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, ports::Error>> + Send,
    ) -> Result<T, ports::Error> {
        within(self.outside, self.times.stop, call).await
    }

    /// As above, for writes that follow the lanes, which have some more time.
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

    /// Time until lanes have to stop; zero when it is over.
    pub(super) fn time_left(&self) -> Duration {
        self.times.stop.since(self.outside.now())
    }

    /// What to do about an event whose time ran out when it had begun with `left` to go. One that had most of a run for itself
    /// counts as failed: it would not be done in the next run either.
    pub(super) fn out_of_time(&self, left: Duration) -> Stop {
        let whole = self.times.stop.since(self.times.began);
        if left >= whole / 2 {
            Stop::Retry(format!("was not done after {} ms and was cancelled", left.as_millis()))
        } else {
            Stop::OutOfTime
        }
    }
}
