//! `AWS/SQS`: what is in the queues at the moment, and what was sent to them since the last look.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>
//!
//! A queue that nobody uses reports too; on AWS it falls silent after six hours.

use super::Sqs;
use crate::metrics::{MetricKey, MetricStore};
use crate::services::now_ms;

impl Sqs {
    /// Records every queue's state as of `at_ms`.
    pub(crate) fn report(&self, metrics: &MetricStore, at_ms: u64) {
        for (queue, depth) in self.queues.depths() {
            let record = |name: &str, value: f64| {
                let key = MetricKey::of("AWS/SQS", name, "QueueName", &queue);
                metrics.record_at(&key, &[(value, 1.0)], at_ms);
            };
            let oldest = depth.oldest_sent.map_or(0, |sent| now_ms().saturating_sub(sent).max(0) / 1000);
            record("ApproximateNumberOfMessagesVisible", float(depth.visible));
            record("ApproximateNumberOfMessagesNotVisible", float(depth.in_flight));
            record("ApproximateAgeOfOldestMessage", float(oldest));
            record("NumberOfMessagesSent", float(depth.sent));
        }
    }
}

fn float(number: impl TryInto<i64>) -> f64 {
    number.try_into().unwrap_or(i64::MAX) as f64
}
