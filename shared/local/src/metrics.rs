//! Metrics and alarms, as CloudWatch has them: what the functions and the services report, and the template's alarms
//! over it.
//!
//! Recorded are `AWS/Lambda`, `AWS/Kinesis` and `AWS/SQS` under the names that AWS gives them, and whatever the functions
//! log in the embedded metric format. Nothing of `AWS/DynamoDB` is: the local one neither throttles nor fails.
//! An alarm's period of 60 s lasts 60 / speed seconds here, so that an alarm can be seen without waiting for it.
//! Not imitated: percentiles, anomaly detection, high resolution (periods under a minute), composite alarms, actions.

pub mod alarm;
pub mod emf;
mod function;
mod kinesis;
pub mod math;
mod store;
pub mod watch;

use std::collections::BTreeMap;

pub use alarm::State;
pub(crate) use function::FunctionMetrics;
pub(crate) use kinesis::StreamCall;
pub use store::{Aggregate, MetricStore, Totals};
pub use watch::{AlarmState, OnAlarm, Sample, StateChange, Watch};

/// What a metric is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricKey {
    /// `AWS/Lambda`, or what a function calls its own.
    pub namespace: String,
    /// `Errors`.
    pub name: String,
    /// By name; the same metric with other dimensions is another metric.
    pub dimensions: BTreeMap<String, String>,
}

impl MetricKey {
    /// A metric with one dimension.
    pub fn of(namespace: &str, name: &str, dimension: &str, value: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: [(dimension.to_owned(), value.to_owned())].into(),
        }
    }
}

/// What is made of the values of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Their sum.
    Sum,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// Their sum by their number.
    Average,
    /// Their number.
    SampleCount,
}

impl Statistic {
    /// The statistic that AWS calls `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "Sum" => Self::Sum,
            "Maximum" => Self::Maximum,
            "Minimum" => Self::Minimum,
            "Average" => Self::Average,
            "SampleCount" => Self::SampleCount,
            _ => return None,
        })
    }

    /// The statistic of a period.
    pub fn of(self, values: &Aggregate) -> f64 {
        match self {
            Self::Sum => values.sum,
            Self::Maximum => values.max,
            Self::Minimum => values.min,
            Self::Average => values.sum / values.count,
            Self::SampleCount => values.count,
        }
    }
}
