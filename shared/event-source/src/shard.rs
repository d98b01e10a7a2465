//! One shard of a mapping: what is read, delivered, retried and given up, one step at a time and in order.
//!
//! Guarantees: at most one invocation is under way (`ParallelizationFactor` 1); a record is delivered only after every
//! record before it was settled or given up; the checkpoint never passes a record that was neither. Not guaranteed: that
//! a record is delivered once. What was delivered and not settled is delivered again, after a restart too.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use penstock::time::Timestamp;
use penstock::{SequenceNumber, ShardId};

use crate::Invocation;
use crate::batch::{Batch, Due};
use crate::buffer::Buffer;
use crate::event::EventSource;
use crate::given_up::GivenUp;
use crate::record::{ReadFrom, Record};
use crate::response::{BatchEnd, Failure, judge};
use crate::settings::Settings;
use crate::status::{ShardState, ShardStatus};

/// Something to be done outside. Each is answered by the method named, and until then the shard is [`Next::Busy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the shard: [`ShardMachine::on_records`] or [`ShardMachine::on_read_failed`].
    Fetch {
        /// Where.
        from: ReadFrom,
        /// Records at most.
        limit: usize,
    },
    /// Invoke the function with these records: [`ShardMachine::on_invocation`].
    Invoke(Arc<[Record]>),
    /// Tell the on-failure destination, or drop the records with a warning: [`ShardMachine::on_given_up`].
    GiveUp(GivenUp),
}

/// What a shard wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Do this.
    Do(Action),
    /// Ask again at this time.
    WaitUntil(Timestamp),
    /// The last action is not answered yet.
    Busy,
    /// The shard is closed, and every record of it was settled or given up.
    Drained,
}

/// The machine of one shard. It asserts that each answer follows its action.
#[derive(Debug)]
pub struct ShardMachine {
    settings: Arc<Settings>,
    buffer: Buffer,
    /// Parts of one batch, in order; the first is the one that is delivered.
    pending: VecDeque<Batch>,
    awaited: Option<Awaited>,
    /// No more records will come.
    ended: bool,
    settled_to: Option<SequenceNumber>,
    last_settled_arrival: Option<Timestamp>,
    totals: Totals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Records,
    Invocation,
    GivenUp(usize),
}

#[derive(Debug, Default)]
struct Totals {
    settled: u64,
    given_up: u64,
    last_failure: Option<Failure>,
}

impl ShardMachine {
    /// Starts `shard` at `from`.
    pub fn new(shard: ShardId, from: ReadFrom, settings: Arc<Settings>, source: Arc<EventSource>) -> Self {
        let settled_to = match &from {
            ReadFrom::After(sequence) => Some(sequence.clone()),
            ReadFrom::TrimHorizon | ReadFrom::AtTimestamp(_) => None,
        };
        Self {
            settings,
            buffer: Buffer::new(shard, source, from),
            pending: VecDeque::new(),
            awaited: None,
            ended: false,
            settled_to,
            last_settled_arrival: None,
            totals: Totals::default(),
        }
    }

    /// What to do at `now`.
    pub fn next(&mut self, now: Timestamp) -> Next {
        if self.awaited.is_some() {
            return Next::Busy;
        }
        if self.pending.is_empty() {
            let cut = self.buffer.cut(&self.settings, self.ended, now);
            self.pending.extend(cut.map(Batch::new));
        }
        let Some(batch) = self.pending.front() else {
            return self.read(now);
        };
        let (awaited, action) = match batch.due(now, self.settings.maximum_record_age) {
            Due::Wait(until) => return Next::WaitUntil(until),
            Due::Invoke => (Awaited::Invocation, Action::Invoke(Arc::clone(batch.records()))),
            Due::GiveUp(count, condition) => (Awaited::GivenUp(count), Action::GiveUp(batch.give_up(count, condition))),
        };
        self.awaited = Some(awaited);
        Next::Do(action)
    }

    fn read(&mut self, now: Timestamp) -> Next {
        if self.ended {
            return Next::Drained;
        }
        if now < self.buffer.next_read() {
            return Next::WaitUntil(self.buffer.wake_at());
        }
        self.awaited = Some(Awaited::Records);
        let from = self.buffer.read_from().clone();
        Next::Do(Action::Fetch { from, limit: self.buffer.read_limit(&self.settings) })
    }

    /// A read gave these records, in order; `at_end` says that the shard has ended behind them.
    pub fn on_records(&mut self, records: Vec<Record>, at_end: bool, now: Timestamp) {
        self.answered(Awaited::Records);
        self.buffer.take(records, &self.settings, now);
        self.ended |= at_end;
    }

    /// A read failed; the next one waits. Gives how many have failed in a row.
    pub fn on_read_failed(&mut self, now: Timestamp, jitter: u64) -> u32 {
        self.answered(Awaited::Records);
        self.buffer.failed(&self.settings, now, jitter)
    }

    /// Records may have come: if the shard waits because it had none, it does not wait on.
    pub fn wake(&mut self) {
        self.buffer.wake(&self.settings, self.awaited == Some(Awaited::Records));
    }

    /// The shard's data is gone: what was read is still delivered, nothing more is read.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The invocation ended.
    ///
    /// A throttled one uses no retry: the function did not run.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>
    pub fn on_invocation(&mut self, invocation: &Invocation, now: Timestamp, jitter: u64) {
        self.answered(Awaited::Invocation);
        let mut batch = self.pending.pop_front().expect("an invocation is of the first batch");
        match judge(invocation, batch.records(), self.settings.report_batch_item_failures) {
            BatchEnd::Settled => self.settle(batch.records()),
            BatchEnd::Throttled => {
                batch.back_off(&self.settings.pacing.backoff, now, jitter);
                self.pending.push_front(batch);
            }
            BatchEnd::ResumeAt(index, failure) => {
                batch.count_run(matches!(failure, Failure::Function { .. }));
                self.totals.last_failure = Some(failure);
                self.settle(&batch.records()[..index]);
                let rest = batch.without_first(index).expect("a reported record is in the batch");
                self.retry(rest, index > 0, now, jitter);
            }
        }
    }

    /// Sets up the retry of what is left of a batch.
    ///
    /// With `BisectBatchOnFunctionError` the batch is split and no retry is used: at the reported record if there is one
    /// and records before it were settled, else in the middle. A single record cannot be split, and uses a retry.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>
    ///
    /// AWS does not say what a report of the very first record does under bisecting. Here the batch is split in the
    /// middle: retrying it whole would use no retry and never end. Nor does it say whether progress without bisecting
    /// gives the batch its retries back. Here it does not, so that what survives locally survives there.
    fn retry(&mut self, mut batch: Batch, progressed: bool, now: Timestamp, jitter: u64) {
        let bisects = self.settings.bisect_batch_on_function_error;
        let (mut first, second) = match (bisects, progressed) {
            (true, false) => batch.bisect(),
            (true, true) => (batch, None),
            (false, _) => {
                batch.use_retry(self.settings.maximum_retry_attempts);
                (batch, None)
            }
        };
        if bisects && !progressed && second.is_none() {
            first.use_retry(self.settings.maximum_retry_attempts);
        }
        first.back_off(&self.settings.pacing.backoff, now, jitter);
        if let Some(second) = second {
            self.pending.push_front(second);
        }
        self.pending.push_front(first);
    }

    /// The on-failure destination was told, or the records were dropped: the shard goes on behind them.
    pub fn on_given_up(&mut self) {
        let Some(Awaited::GivenUp(count)) = self.awaited.take() else {
            panic!("nothing was to be given up");
        };
        let batch = self.pending.pop_front().expect("what is given up is of the first batch");
        self.advance(&batch.records()[..count]);
        self.totals.given_up += count as u64;
        if let Some(rest) = batch.without_first(count) {
            self.pending.push_front(rest);
        }
    }

    fn settle(&mut self, records: &[Record]) {
        self.advance(records);
        self.totals.settled += records.len() as u64;
    }

    fn advance(&mut self, records: &[Record]) {
        if let Some(last) = records.last() {
            self.settled_to = Some(last.sequence.clone());
            self.last_settled_arrival = Some(last.arrival);
        }
    }

    fn answered(&mut self, awaited: Awaited) {
        assert_eq!(self.awaited.take(), Some(awaited), "an answer follows its action");
    }

    /// The last record that was settled or given up: where a restart goes on.
    pub fn settled_to(&self) -> Option<&SequenceNumber> {
        self.settled_to.as_ref()
    }

    /// Whether an invocation or a notice is under way.
    pub fn delivers(&self) -> bool {
        matches!(self.awaited, Some(Awaited::Invocation | Awaited::GivenUp(_)))
    }

    /// What observers see.
    pub fn status(&self, now: Timestamp) -> ShardStatus {
        let front = self.pending.front();
        let invoking = self.awaited == Some(Awaited::Invocation);
        ShardStatus {
            state: ShardState::Reading,
            checkpoint: self.settled_to.clone(),
            iterator_age: self.iterator_age(now),
            in_flight: front.filter(|_| invoking).map_or(0, Batch::len),
            retries: front.map_or(0, Batch::retries),
            settled: self.totals.settled,
            given_up: self.totals.given_up,
            last_failure: self.totals.last_failure.as_ref().map(Failure::to_string),
        }
    }

    /// The age of the oldest record that was read and not settled. Between batches that is the age of the last settled
    /// one; after a read that found nothing it is zero, however long ago that record arrived.
    fn iterator_age(&self, now: Timestamp) -> Duration {
        let pending = self.pending.front().and_then(|batch| batch.records().first());
        let oldest = pending.or_else(|| self.buffer.oldest()).map(|record| record.arrival);
        let settled = self.last_settled_arrival.filter(|_| !self.ended && !self.buffer.caught_up());
        oldest.or(settled).map_or(Duration::ZERO, |arrival| now.since(arrival))
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
