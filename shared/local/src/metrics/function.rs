//! `AWS/Lambda`, as far as it is seen on this machine.
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>
//!
//! Values count in the period in which an invocation ends; on AWS in the one in which it begins.

use std::time::Duration;

use super::{MetricKey, MetricStore};

const NAMESPACE: &str = "AWS/Lambda";

/// The metrics of one function.
#[derive(Debug)]
pub(crate) struct FunctionMetrics {
    store: MetricStore,
    invocations: MetricKey,
    errors: MetricKey,
    throttles: MetricKey,
    duration: MetricKey,
    iterator_age: MetricKey,
}

impl FunctionMetrics {
    pub(crate) fn new(store: &MetricStore, function: &str) -> Self {
        let key = |name| MetricKey::of(NAMESPACE, name, "FunctionName", function);
        Self {
            store: store.clone(),
            invocations: key("Invocations"),
            errors: key("Errors"),
            throttles: key("Throttles"),
            duration: key("Duration"),
            iterator_age: key("IteratorAge"),
        }
    }

    /// An invocation was run.
    pub(crate) fn ran(&self, failed: bool) {
        self.store.record(&self.invocations, 1.0);
        self.store.record(&self.errors, if failed { 1.0 } else { 0.0 });
        self.store.record(&self.throttles, 0.0);
    }

    /// The function's code ran for so long; an environment's start does not count.
    pub(crate) fn took(&self, time: Duration) {
        self.store.record(&self.duration, time.as_secs_f64() * 1000.0);
    }

    /// An invocation was not run.
    pub(crate) fn throttled(&self) {
        self.store.record(&self.throttles, 1.0);
    }

    /// A batch of a stream is sent, whose last record is so old.
    pub(crate) fn sent(&self, age: Duration) {
        self.store.record(&self.iterator_age, age.as_secs_f64() * 1000.0);
    }
}
