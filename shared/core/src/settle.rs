//! The settle protocol: what a consumer group does with one batch of one shard.
//!
//! ```text
//! begin    progress: epoch + 1, attempts + 1       fences every older run
//! load     the window, unless the run before was in this process
//! settle   pass over what is settled; handle, dead-letter, or leave each event
//! record   the window segments of what this run settled
//! commit   progress: position, failures, attempts = 0, if the epoch is still ours
//! answer   the record of the lowest unsettled event, or none
//!
//! release  instead, when a step fails: the progress says that this was no crash
//! ```
//!
//! What a crash between two steps leaves behind:
//!
//! | crash after | state | what the redelivery repeats |
//! |---|---|---|
//! | begin, load | attempts counted | everything |
//! | settle | effects done, nothing written | a handler's effects; a projection finds its events applied |
//! | record | segment written, position not | nothing: the segment says up to where all is settled |
//! | commit | position written | nothing |
//!
//! A dead letter that was sent before such a crash is sent again with the same position.
//!
//! P0 to P7, here and elsewhere, are the promises of `docs/reliability.md`, by the numbers that the simulation prints when
//! one breaks; they stand where the code upholds them.

mod ending;
mod handling;
mod isolation;
mod lane;
mod letters;
pub(crate) mod memory;
mod outage;
mod patience;
mod projecting;
mod redrive;
mod run;
mod settings;
mod tally;
pub(crate) mod times;
mod work;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tracing::warn;

use crate::batch::ShardBatch;
use crate::dead_letter::Code;
use crate::decision::{Decision, Why, tell};
use crate::fingerprint::Fingerprinter;
use crate::hash::HashRange;
use crate::ports::{self, Clock, DeadLetters, Ledger, Shards, Turns};
use crate::position::{SequenceNumber, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::{Age, Counts, Window};

use ending::{Ending, Said};
pub use handling::Handling;
pub use lane::{LaneEnd, Outcome, Stop};
use letters::DeadLettering;
use memory::{Known, Memory};
use outage::Gauge;
use patience::WAITS_MAX;
pub use projecting::Projecting;
pub use redrive::{LetterEnd, Returned, Trouble};
use run::{LaneSegment, Run};
pub use settings::{ItemLimits, Settings};
use tally::Tally;
use times::{Times, within};
pub use work::{Context, Lane, LaneContext, Work};

/// Everything that a run needs from outside.
pub trait Outside: Ledger + Turns + DeadLetters + Shards + Clock {}

impl<T: Ledger + Turns + DeadLetters + Shards + Clock> Outside for T {}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The record to redeliver from: that of the lowest unsettled event.
    pub resume_at: Option<SequenceNumber>,
    /// What this run settled.
    pub counts: Counts,
    /// Events that an earlier run had settled.
    pub passed_over: usize,
    /// Events left for the redelivery.
    pub unsettled: usize,
    /// Whether events were run one at a time to find the one that crashes the function.
    pub isolated: bool,
    /// Whether so many keys failed that nothing was counted against any event.
    pub outage: bool,
    /// How far the group is behind on this shard: the age of the oldest event that is left; of the last one if none is.
    pub lag: Option<Duration>,
    /// Dead letters that this run sent, by reason.
    pub letters: BTreeMap<Code, u32>,
    /// Events whose handler asked for a retry.
    pub retries: u32,
    /// Events whose names are in the shard's window.
    pub window_events: usize,
}

/// Why a run failed as a whole. The batch is redelivered whole; what was settled is passed over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Progress could not be read.
    #[error("could not begin: {0}")]
    Begin(#[source] ports::Error),
    /// The window or the shard's lineage could not be read.
    #[error("could not load the window: {0}")]
    Load(#[source] ports::Error),
    /// The segment could not be written.
    #[error("could not record what was settled: {0}")]
    Record(#[source] ports::Error),
    /// The progress could not be written.
    #[error("could not commit: {0}")]
    Commit(#[source] ports::Error),
    /// Another run of this group has begun on this shard.
    #[error("another run has taken over shard {0}")]
    Fenced(ShardId),
}

/// What becomes of an event whose handler asked for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// It is dead-lettered.
    Settled,
    /// It is tried again, in this run if that waits for it.
    Waits,
    /// It is left for the redelivery.
    Left,
}

/// Settles the batches of one group. One lives as long as its process.
#[derive(Debug)]
pub struct Settler<W, O> {
    settings: Settings,
    fingerprints: Fingerprinter,
    work: W,
    outside: O,
    memory: Memory,
}

impl<W: Work, O: Outside> Settler<W, O> {
    /// A settler.
    pub fn new(settings: Settings, fingerprints: Fingerprinter, work: W, outside: O) -> Self {
        let memory = Memory::new(settings.window_bytes);
        Self { settings, fingerprints, work, outside, memory }
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.settings.group
    }

    /// The time, as its clock has it.
    pub fn now(&self) -> Timestamp {
        self.outside.now()
    }

    /// Settles what it can of `batch` until `deadline`.
    ///
    /// # Errors
    /// When the run as a whole came to nothing; the caller fails the batch.
    pub async fn settle(&self, batch: &ShardBatch, deadline: Timestamp) -> Result<Settled, Error> {
        let mut known = self.memory.recall(Age::Arrival, &batch.shard);
        let result = self.run(batch, deadline, &mut known).await;
        match &result {
            Ok(_) => (known.failed, known.innocent) = (0, None),
            Err(_) => known.window = None,
        }
        self.memory.remember(Age::Arrival, batch.shard.clone(), known);
        result
    }

    async fn run(&self, batch: &ShardBatch, deadline: Timestamp, known: &mut Known) -> Result<Settled, Error> {
        let shard = &batch.shard;
        let times = Times::new(self.outside.now(), deadline, self.settings.margin);
        let begun = match within(&self.outside, times.stop, self.outside.begin(shard)).await {
            Ok(begun) => begun,
            Err(error) => {
                // it may have counted an attempt
                known.failed += u32::from(matches!(error, ports::Error::Unavailable(_)));
                return Err(Error::Begin(error));
            }
        };
        let mut said = Said::of(&begun, times);
        let settled = self.begun(batch, &begun, times, known, &mut said).await;
        if let Err(error) = &settled {
            let fenced = matches!(error, Error::Fenced(_));
            if !fenced && self.release(shard, &mut said, known.failed).await {
                known.failed = 0;
            } else {
                known.failed += 1;
                known.innocent = said.accused().cloned();
            }
        }
        settled
    }

    async fn begun(
        &self,
        batch: &ShardBatch,
        begun: &Begun,
        times: Times,
        known: &mut Known,
        said: &mut Said,
    ) -> Result<Settled, Error> {
        let shard = &batch.shard;
        let since = self.forget_before(batch);
        let loaded = within(&self.outside, times.stop, self.load(shard, begun, known, (Age::Arrival, since), 1)).await;
        let mut window = loaded.map_err(Error::Load)?;
        let range = known.lineage.as_ref().map(|lineage| lineage.range);

        let deliveries = batch.deliveries(&self.fingerprints);
        self.make_room_for(shard, &mut window, deliveries.len());
        let mut run = Run::new(deliveries, begun, &window, range, (&self.settings, &self.fingerprints));
        run.begin_spans(&self.settings.group, shard);
        let (outside, settings, fingerprints) = (&self.outside, &self.settings, &self.fingerprints);
        let context = LaneContext {
            at: Context { outside, settings, shard, epoch: begun.epoch, fingerprints, times },
            position: &begun.position,
            below: run.below(),
            range: range.unwrap_or(HashRange::ALL),
            dead_lettered: Mutex::default(),
            tally: Tally::default(),
            gauge: Gauge::new(&self.settings, run.settled_keys()),
        };
        self.dead_letter_what_is_no_event(&mut run, &context).await;

        let crashes = begun.attempts.saturating_sub(1).saturating_sub(known.failed);
        let isolated = crashes >= isolation::CRASHES_TOLERATED && run.unsettled() > 0;
        let (mut searching, mut outage, mut waited) = (false, false, Duration::ZERO);
        if isolated {
            warn!(outcome = "isolated", %shard, crashes, "runs ended without a word: handling events one at a time");
            let suspect = begun.suspect.as_ref().map(|(suspect, suspicions)| {
                // the suspicion of a run that failed in this process, and could not take it back
                let innocent = known.innocent.as_ref() == begun.suspect.as_ref();
                (suspect.clone(), suspicions - u32::from(innocent))
            });
            searching = self.isolate(&mut run, &mut window, begun, suspect, &context, said).await?;
        } else {
            (outage, waited) = self.handle(&mut run, &mut window, begun, &context, said).await?;
        }
        let (letters, retries) = context.tally.into_parts();
        let ending = Ending { isolated, searching, outage, letters, retries };
        let settled = self.finish(&mut run, &mut window, begun, shard, ending, said).await?;
        run.end_spans();
        window.set_epoch(begun.epoch);
        self.tell_sample(&run, shard);
        known.window = Some(window);
        let is_fruitless = settled.counts.total() == 0 && settled.unsettled > 0 && !isolated && waited.is_zero();
        known.fruitless = if is_fruitless { known.fruitless + 1 } else { 0 };
        if is_fruitless {
            self.outside.sleep(patience::idle_for(known.fruitless).min(times.stop.since(self.outside.now()))).await;
        }
        Ok(settled)
    }

    async fn dead_letter_what_is_no_event(&self, run: &mut Run, context: &LaneContext<'_, O>) {
        let indices = run.not_events();
        let why = |index: &usize| {
            let delivery = run.delivery(*index);
            let reason = delivery.content.as_ref().err().map(ToString::to_string).unwrap_or_default();
            DeadLettering { delivery, code: Code::NotAnEvent, reason, attempts: 0 }
        };
        let given_up = context.dead_letter(indices.iter().map(why).collect()).await;
        for (index, result) in indices.into_iter().zip(given_up) {
            match result {
                Ok(()) => run.settle(index, Outcome::DeadLettered),
                // left unsettled: the redelivery tries again
                Err(error) => context.at.tell(Decision::NotDeadLettered, run.delivery(index), &error),
            }
        }
    }

    /// Runs every lane as far as it goes, and those that wait for an event to be due again when it is, as far as a run waits.
    /// Whether it looks like an outage, and how long it waited.
    async fn handle(
        &self,
        run: &mut Run,
        window: &mut Window,
        begun: &Begun,
        context: &LaneContext<'_, O>,
        said: &mut Said,
    ) -> Result<(bool, Duration), Error> {
        let mut waited = Duration::ZERO;
        loop {
            if self.handle_what_is_due(run, context).await {
                return Ok((true, waited));
            }
            let now = self.outside.now();
            let wait = run.next_due(now).map_or(Duration::ZERO, |due| due.since(now));
            let is_enough = !waited.is_zero() && waited + wait > WAITS_MAX;
            let until = now.plus(wait.min(WAITS_MAX)).min(context.at.times.stop);
            if is_enough || until <= now {
                return Ok((false, waited));
            }
            // what is settled is kept first: a crash while waiting must not repeat it
            self.keep(run, window, begun, begun.suspect.clone(), context, said).await?;
            self.outside.sleep(until.since(self.outside.now())).await;
            waited += until.since(now);
            if until < now.plus(wait) || context.at.time_left().is_zero() {
                return Ok((false, waited));
            }
            context.gauge.begin(run.settled_keys());
        }
    }

    /// Runs every lane as far as it goes now; true if it looks like an outage.
    async fn handle_what_is_due(&self, run: &mut Run, context: &LaneContext<'_, O>) -> bool {
        loop {
            let segments = run.next_segments(self.outside.now());
            if segments.is_empty() {
                return false;
            }
            let events_of = |segment: &LaneSegment| segment.events.iter().map(|index| run.delivery(*index)).collect();
            let lanes: Vec<Lane<'_>> = segments.iter().map(events_of).collect();
            let ends = self.work.run(&lanes, context).await;
            assert_eq!(ends.len(), segments.len(), "there is an end for each lane");
            let outage = context.gauge.outage();
            let mut cause = None;
            let (mut failing, mut lanes) = (Vec::new(), Vec::new());
            for (segment, end) in segments.into_iter().zip(ends) {
                let stop = run.apply(&segment, end);
                let Some((index, stop)) = stop else { continue };
                match stop {
                    Stop::Retry(cause) if !outage => {
                        failing.push((index, cause));
                        lanes.push(segment.lane);
                        continue;
                    }
                    Stop::Retry(reason) => {
                        context.tally.count_retry();
                        cause.get_or_insert(reason);
                    }
                    Stop::OutOfTime => {}
                    Stop::Outside(error) => context.at.tell(Decision::Left, run.delivery(index), &error),
                }
                run.block(segment.lane);
            }
            for (lane, failed) in lanes.into_iter().zip(self.fail(run, failing, context).await) {
                if failed == Failed::Left {
                    run.block(lane);
                }
            }
            if outage {
                let (shard, reason) = (context.at.shard, cause);
                warn!(outcome = "outage", %shard, reason, "most keys fail: nothing is counted against any event; the first says why");
                return true;
            }
        }
    }

    /// Names a share of what was handled.
    fn tell_sample(&self, run: &Run, shard: &ShardId) {
        if self.settings.log_share > 0.0 {
            for (delivery, _) in run.handled().filter(|(_, name)| name.is_in(self.settings.log_share)) {
                tell(Decision::Handled, shard, delivery, Why::default());
            }
        }
    }

    /// Counts a failure against each event, and dead-letters those for which it was the last.
    async fn fail(&self, run: &mut Run, failing: Vec<(usize, String)>, context: &LaneContext<'_, O>) -> Vec<Failed> {
        let mut ends = vec![Failed::Left; failing.len()];
        let mut last = Vec::new();
        for (number, (index, cause)) in failing.into_iter().enumerate() {
            let now = self.outside.now();
            let failing = run.count_failure(index, now, &self.settings);
            context.tally.count_retry();
            let why = Why { attempts: Some(failing.attempts), ..Why::because(&cause) };
            tell(Decision::Retried, context.at.shard, run.delivery(index), why);
            if self.settings.is_hopeless(&failing, now) {
                last.push((number, index, cause, failing.attempts));
            } else if self.settings.due(&failing) > now {
                ends[number] = Failed::Waits;
            }
        }
        let letter = |(_, index, reason, attempts): &(usize, usize, String, u32)| DeadLettering {
            delivery: run.delivery(*index),
            code: Code::RetriesExhausted,
            reason: reason.clone(),
            attempts: *attempts,
        };
        let given_up = context.dead_letter(last.iter().map(letter).collect()).await;
        for ((number, index, ..), result) in last.into_iter().zip(given_up) {
            match result {
                Ok(()) if self.forgo(run, index, context).await => {
                    run.go_past(index);
                    ends[number] = Failed::Settled;
                }
                Ok(()) => {}
                Err(error) => context.at.tell(Decision::NotDeadLettered, run.delivery(index), &error),
            }
        }
        ends
    }

    /// Settles an event whose letter was sent unrun; false if it is left for the redelivery.
    async fn forgo(&self, run: &mut Run, index: usize, context: &LaneContext<'_, O>) -> bool {
        match self.work.forgo(run.delivery(index), context).await {
            Ok(outcome) => {
                run.settle(index, outcome);
                true
            }
            Err(error) => {
                context.at.tell(Decision::Left, run.delivery(index), &error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
