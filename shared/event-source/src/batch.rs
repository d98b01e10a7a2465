//! A batch on its way through invocations: what is left of it, how often it was tried, when it is due again.

use std::sync::Arc;
use std::time::Duration;

use penstock::time::Timestamp;

use crate::backoff::Backoff;
use crate::given_up::{Condition, GivenUp};
use crate::record::Record;

/// Records that are delivered together. Never empty.
#[derive(Debug)]
pub(crate) struct Batch {
    records: Arc<[Record]>,
    /// How often the function ran with these records.
    invocations: u32,
    /// How many of `MaximumRetryAttempts` are used.
    retries: u32,
    /// Attempts in a row without progress, throttled ones included: what the wait grows with.
    failures: u32,
    not_before: Timestamp,
    exhausted: bool,
    function_error: Option<bool>,
}

/// What is due for a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Invoke,
    Wait(Timestamp),
    /// The first so many records are given up.
    GiveUp(usize, Condition),
}

impl Batch {
    pub(crate) fn new(records: Vec<Record>) -> Self {
        Self {
            records: records.into(),
            invocations: 0,
            retries: 0,
            failures: 0,
            not_before: Timestamp(0),
            exhausted: false,
            function_error: None,
        }
    }

    pub(crate) fn records(&self) -> &Arc<[Record]> {
        &self.records
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    /// Records that have become too old are given up before the next invocation, and only they: the younger ones of the
    /// batch are still delivered.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>
    pub(crate) fn due(&self, now: Timestamp, maximum_age: Option<Duration>) -> Due {
        let old = |record: &&Record| maximum_age.is_some_and(|maximum| now.since(record.arrival) > maximum);
        let expired = self.records.iter().take_while(old).count();
        if expired > 0 {
            Due::GiveUp(expired, Condition::RecordAgeExceeded)
        } else if self.exhausted {
            Due::GiveUp(self.len(), Condition::RetryAttemptsExhausted)
        } else if now < self.not_before {
            Due::Wait(self.not_before)
        } else {
            Due::Invoke
        }
    }

    pub(crate) fn give_up(&self, count: usize, condition: Condition) -> GivenUp {
        GivenUp {
            condition,
            records: self.records[..count].into(),
            invocations: self.invocations,
            function_error: self.function_error,
        }
    }

    /// The function ran, and did not settle all of the batch.
    pub(crate) fn count_run(&mut self, function_error: bool) {
        self.invocations = self.invocations.saturating_add(1);
        self.function_error = Some(function_error);
    }

    /// Uses a retry, if one is left.
    pub(crate) fn use_retry(&mut self, maximum: Option<u32>) {
        if maximum.is_some_and(|maximum| self.retries >= maximum) {
            self.exhausted = true;
        } else {
            self.retries = self.retries.saturating_add(1);
        }
    }

    /// Sets when the batch is due again.
    pub(crate) fn back_off(&mut self, backoff: &Backoff, now: Timestamp, jitter: u64) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus(backoff.wait(self.failures, jitter));
    }

    /// Drops the first `count` records, which are done with. `None` when that was all of them.
    pub(crate) fn without_first(mut self, count: usize) -> Option<Self> {
        if count == 0 {
            return Some(self);
        }
        self.failures = 0;
        self.records = self.records.get(count..).unwrap_or_default().into();
        (self.len() > 0).then_some(self)
    }

    /// Splits the batch in two, each with the attempts that the whole has had. The second half is a first attempt as
    /// far as waiting goes. A single record stays whole.
    pub(crate) fn bisect(mut self) -> (Self, Option<Self>) {
        if self.len() < 2 {
            return (self, None);
        }
        let (first, second) = self.records.split_at(self.len() / 2);
        let second = Self { records: second.into(), failures: 0, not_before: Timestamp(0), ..self };
        self.records = first.into();
        (self, Some(second))
    }
}
