//! The lanes of a run: each is worked through as far as it goes, and what fails is counted, tried again or dead-lettered.

use std::time::Duration;

use tracing::warn;

use super::ending::Said;
use super::lane::{Outcome, Stop};
use super::letters::DeadLettering;
use super::patience::WAITS_MAX;
use super::run::{LaneSegment, Run};
use super::settler::{Error, Outside, Settler};
use super::work::{Lane, LaneContext, Work};
use crate::dead_letter::Code;
use crate::decision::{Decision, Why, tell};
use crate::position::ShardId;
use crate::progress::Begun;
use crate::window::Window;

/// What becomes of an event whose handler asked for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is dead-lettered.
    Settled,
    /// It is tried again, in this run if that waits for it.
    Waits,
    /// It is left for the redelivery.
    Left,
}

impl<W: Work, O: Outside> Settler<W, O> {
    pub(super) async fn dead_letter_what_is_no_event(&self, run: &mut Run, context: &LaneContext<'_, O>) {
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
    pub(super) async fn handle(
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
            context.gauge.begin(run.settled_keys(), run.waiting(self.outside.now()));
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
    pub(super) fn tell_sample(&self, run: &Run, shard: &ShardId) {
        if self.settings.log_share > 0.0 {
            for (delivery, _) in run.handled().filter(|(_, name)| name.is_in(self.settings.log_share)) {
                tell(Decision::Handled, shard, delivery, Why::default());
            }
        }
    }

    /// Counts a failure against each event, and dead-letters those for which it was the last.
    pub(super) async fn fail(
        &self,
        run: &mut Run,
        failing: Vec<(usize, String)>,
        context: &LaneContext<'_, O>,
    ) -> Vec<Failed> {
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
    pub(super) async fn forgo(&self, run: &mut Run, index: usize, context: &LaneContext<'_, O>) -> bool {
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
