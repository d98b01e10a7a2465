//! A CloudWatch alarm that can be evaluated on this machine.

use crate::metrics::alarm::Rules;
use crate::metrics::math::Expression;
use crate::metrics::{MetricKey, Statistic};

/// An alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// The logical id in the template.
    pub logical_id: String,
    /// `AlarmDescription`, or nothing.
    pub description: String,
    /// What it looks at.
    pub measure: Measure,
    /// Seconds that a datapoint stands for: a multiple of 60.
    pub period: u32,
    /// When it goes off.
    pub rules: Rules,
}

/// What an alarm looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// One metric.
    Metric(MetricStat),
    /// An expression over several.
    Math(Math),
}

/// A metric and what is made of its values in a period.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricStat {
    /// The metric.
    pub metric: MetricKey,
    /// What is made of its values.
    pub statistic: Statistic,
}

/// `Metrics`: named metrics, and expressions over them.
#[derive(Debug, Clone, PartialEq)]
pub struct Math {
    /// The metrics by id.
    pub metrics: Vec<(String, MetricStat)>,
    /// The expressions by id, each after those that it names.
    pub expressions: Vec<(String, Expression)>,
    /// The id whose datapoints are compared with the threshold.
    pub returned: String,
}
