//! The end of a run: record, commit, answer. When a step fails: release, which takes back the attempt that begin counted,
//! because a failed run must not look like a crashed one.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;

use super::run::Run;
use super::settler::{Error, Outside, Settled, Settler};
use super::times::{Times, within};
use super::work::{LaneContext, Work};
use crate::dead_letter::Code;
use crate::ports;
use crate::position::{Position, ShardId};
use crate::progress::{Begun, Commit, Committed};
use crate::time::Timestamp;
use crate::window::Window;

/// Between the first two tries to release; twice as long after each.
const RELEASE_PAUSE: Duration = Duration::from_millis(50);

/// Between two tries at most.
const RELEASE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How the lanes of a run ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) isolated: bool,
    /// What `attempts` is set to: zero, or as many as make the next run isolate too, when this one had no time for all events.
    pub(super) attempts: u32,
    pub(super) outage: bool,
    /// Dead letters that were sent, by reason.
    pub(super) letters: BTreeMap<Code, u32>,
    /// Events whose handler asked for a retry.
    pub(super) retries: u32,
}

/// What a run has committed so far. A commit whose reply was lost may or may not be written, so a release repeats all of the
/// last commit and changes only what it takes back.
#[derive(Debug)]
pub(super) struct Said {
    epoch: u64,
    times: Times,
    last: Commit,
    /// The last commit names an event of this run as the suspect.
    accuses: bool,
    /// The last commit was the final one, and not one that kept what was done so far.
    ended: bool,
    /// The suspect that earlier runs left in the progress.
    suspect: Option<(Position, u32)>,
    /// A segment of this run may have been written.
    recorded: bool,
}

impl Said {
    /// What the progress says when a run begins.
    pub(super) fn of(begun: &Begun, times: Times) -> Self {
        let Begun { epoch, attempts, position, failures, suspect, ahead_from, .. } = begun.clone();
        let at = Timestamp(0);
        let last =
            Commit { number: 0, position, arrival: None, failures, suspect: suspect.clone(), ahead_from, attempts, at };
        Self { epoch, times, last, accuses: false, ended: false, suspect, recorded: false }
    }

    /// The suspect that this run may have written into the progress.
    pub(super) fn accused(&self) -> Option<&(Position, u32)> {
        self.last.suspect.as_ref().filter(|_| self.accuses)
    }
}

impl<W: Work, O: Outside> Settler<W, O> {
    /// Records, commits and answers.
    pub(super) async fn finish(
        &self,
        run: &mut Run,
        window: &mut Window,
        begun: &Begun,
        shard: &ShardId,
        ending: Ending,
        said: &mut Said,
    ) -> Result<Settled, Error> {
        self.record(run, window, shard, said).await?;
        let unsettled = run.unsettled();
        window.advance(run.watermark());
        let commit = Commit {
            number: 0,
            position: run.watermark().clone(),
            arrival: run.watermark_arrival(),
            failures: if ending.outage { run.failures_as_begun(begun) } else { run.failures() },
            suspect: None,
            ahead_from: window.ahead_from(),
            attempts: ending.attempts,
            at: self.outside.now(),
        };
        let by = said.times.commit;
        said.ended = true;
        let left = run.lowest_unsettled().map(|delivery| delivery.arrival);
        let lag = left.or(commit.arrival).map(|arrival| commit.at.since(arrival));
        self.commit(shard, said, commit, by).await?;
        Ok(Settled {
            resume_at: run.lowest_unsettled().map(|delivery| delivery.position.sequence.clone()),
            counts: run.counts(),
            passed_over: run.passed_over(),
            unsettled,
            isolated: ending.isolated,
            outage: ending.outage,
            lag,
            letters: ending.letters,
            retries: ending.retries,
            window_events: window.len(),
        })
    }

    /// Records and commits what the run has done so far, and leaves `attempts` as it is: if the process dies later in this
    /// run, that counts as a crash.
    pub(super) async fn keep(
        &self,
        run: &mut Run,
        window: &mut Window,
        begun: &Begun,
        suspect: Option<(Position, u32)>,
        context: &LaneContext<'_, O>,
        said: &mut Said,
    ) -> Result<(), Error> {
        self.record(run, window, context.at.shard, said).await?;
        window.advance(run.watermark());
        let commit = Commit {
            number: 0,
            position: run.watermark().clone(),
            arrival: run.watermark_arrival(),
            failures: run.failures(),
            suspect,
            ahead_from: window.ahead_from(),
            attempts: begun.attempts,
            at: self.outside.now(),
        };
        self.commit(context.at.shard, said, commit, context.at.times.store).await
    }

    pub(super) async fn record(
        &self,
        run: &mut Run,
        window: &mut Window,
        shard: &ShardId,
        said: &mut Said,
    ) -> Result<(), Error> {
        let events_max = self.settings.item.segment_events;
        for segment in run.segments(said.epoch, self.outside.now(), &self.fingerprints, events_max) {
            said.recorded = true;
            let recorded = within(&self.outside, said.times.record, self.outside.record(shard, &segment)).await;
            recorded.map_err(Error::Record)?;
            window.add(&segment);
        }
        Ok(())
    }

    /// Writes a commit under the run's next number. P4: an earlier one that arrives late changes nothing.
    pub(super) async fn commit(
        &self,
        shard: &ShardId,
        said: &mut Said,
        commit: Commit,
        by: Timestamp,
    ) -> Result<(), Error> {
        said.accuses = commit.suspect.is_some() && commit.suspect != said.suspect;
        said.last = Commit { number: said.last.number + 1, ..commit };
        let committed = within(&self.outside, by, self.outside.commit(shard, said.epoch, &said.last)).await;
        match committed.map_err(Error::Commit)? {
            Committed::Yes => Ok(()),
            Committed::Fenced => Err(Error::Fenced(shard.clone())),
        }
    }

    /// Takes back the attempt that begin counted, and the suspect that this run named: the run failed and its process lives, so
    /// neither is a sign of a crash. Without this, three lost replies would pass for three crashes. `failed` is how many runs
    /// before it could not take theirs back; theirs go too. Tries until the run has to answer; true if it was written.
    pub(super) async fn release(&self, shard: &ShardId, said: &mut Said, failed: u32) -> bool {
        let ended = said.ended;
        let attempts = if ended { said.last.attempts } else { said.last.attempts.saturating_sub(1 + failed) };
        let suspect = if said.accuses { said.suspect.clone() } else { said.last.suspect.clone() };
        if said.recorded && !ended {
            // the next run has to read this run's segments, however old they are by then
            said.last.ahead_from = Some(said.last.ahead_from.map_or(said.epoch, |from| from.min(said.epoch)));
        }
        let mut pause = RELEASE_PAUSE;
        while self.outside.now() < said.times.answer {
            let number = said.last.number + 1;
            let release =
                Commit { number, attempts, suspect: suspect.clone(), at: self.outside.now(), ..said.last.clone() };
            said.last.number = number;
            match within(&self.outside, said.times.answer, self.outside.commit(shard, said.epoch, &release)).await {
                Ok(committed) => return committed == Committed::Yes,
                Err(ports::Error::Refused(why) | ports::Error::Damaged(why)) => {
                    warn!(%shard, why, "could not say that the run was no crash");
                    return false;
                }
                Err(error) => warn!(%shard, %error, "could not say yet that the run was no crash"),
            }
            let left = said.times.answer.since(self.outside.now());
            self.outside.sleep(pause.min(left)).await;
            pause = (pause * 2).min(RELEASE_PAUSE_MAX);
        }
        false
    }
}
