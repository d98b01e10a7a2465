//! The settings of a Kinesis mapping, under the names and bounds that AWS gives them.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>

use std::time::Duration;

use penstock::time::Timestamp;

use crate::backoff::Backoff;

/// Records in a batch at most.
const BATCH_SIZE_MAX: usize = 10_000;
/// The longest batching window: <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html>
const BATCHING_WINDOW_MAX: Duration = Duration::from_secs(300);
/// The most retries that can be set; `None` is for ever.
const RETRY_ATTEMPTS_MAX: u32 = 10_000;
/// The least and the greatest record age that can be set; `None` is for ever.
const RECORD_AGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(604_800);

/// How a mapping reads, batches, retries and gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `StartingPosition`: where a mapping without a checkpoint begins.
    pub starting_position: StartingPosition,
    /// `BatchSize`: records in a batch at most. Default 100.
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`: how long records are gathered. Default 0: a batch is what one read gave.
    pub batching_window: Duration,
    /// `FunctionResponseTypes: [ReportBatchItemFailures]`.
    pub report_batch_item_failures: bool,
    /// `BisectBatchOnFunctionError`.
    pub bisect_batch_on_function_error: bool,
    /// `MaximumRetryAttempts`; `None` (-1 in AWS) retries for ever.
    pub maximum_retry_attempts: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; `None` (-1 in AWS) has no limit.
    pub maximum_record_age: Option<Duration>,
    /// How eagerly the services are asked: no setting of AWS's.
    pub pacing: Pacing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            starting_position: StartingPosition::TrimHorizon,
            batch_size: 100,
            batching_window: Duration::ZERO,
            report_batch_item_failures: false,
            bisect_batch_on_function_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            pacing: Pacing::default(),
        }
    }
}

/// Where a mapping begins to read a stream that it has no checkpoint for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingPosition {
    /// `TRIM_HORIZON`: the oldest record.
    TrimHorizon,
    /// `LATEST`: records that arrive from the second on in which the mapping first ran.
    Latest,
    /// `AT_TIMESTAMP`: records that arrived at this time or later, in whole seconds.
    AtTimestamp(Timestamp),
}

/// How eagerly the services are asked. Lambda polls a shard once a second; a laptop should feel live, and local services
/// have no limit of 5 reads a second and shard, so none is kept here. Where somebody tells a mapping that something was put
/// ([`Mapping::wake`](crate::Mapping::wake)), idle polls can be rare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// The wait after a first empty read.
    pub idle_poll_min: Duration,
    /// The wait that empty reads in a row grow to.
    pub idle_poll_max: Duration,
    /// How often shards are listed. A shard's end lists them at once.
    pub list_every: Duration,
    /// The wait after failures: of the function, of reads, of listing.
    pub backoff: Backoff,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            idle_poll_min: Duration::from_millis(20),
            idle_poll_max: Duration::from_millis(50),
            list_every: Duration::from_secs(1),
            backoff: Backoff::default(),
        }
    }
}

/// A setting that AWS would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// `BatchSize`.
    #[error("BatchSize is {0}; it must be 1 to 10,000")]
    BatchSize(usize),
    /// `MaximumBatchingWindowInSeconds`.
    #[error("MaximumBatchingWindowInSeconds is {}; it must be 0 to 300", .0.as_secs())]
    BatchingWindow(Duration),
    /// `MaximumRetryAttempts`.
    #[error("MaximumRetryAttempts is {0}; it must be -1 (for ever) or 0 to 10,000")]
    RetryAttempts(u32),
    /// `MaximumRecordAgeInSeconds`.
    #[error("MaximumRecordAgeInSeconds is {}; it must be -1 (for ever) or 60 to 604,800", .0.as_secs())]
    RecordAge(Duration),
}

impl Settings {
    /// Names every setting that AWS would refuse.
    pub fn validate(&self) -> Result<(), Vec<SettingsError>> {
        let mut errors = Vec::new();
        if !(1..=BATCH_SIZE_MAX).contains(&self.batch_size) {
            errors.push(SettingsError::BatchSize(self.batch_size));
        }
        if self.batching_window > BATCHING_WINDOW_MAX {
            errors.push(SettingsError::BatchingWindow(self.batching_window));
        }
        if let Some(attempts) = self.maximum_retry_attempts.filter(|attempts| *attempts > RETRY_ATTEMPTS_MAX) {
            errors.push(SettingsError::RetryAttempts(attempts));
        }
        if let Some(age) = self.maximum_record_age.filter(|age| !RECORD_AGE.contains(age)) {
            errors.push(SettingsError::RecordAge(age));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_aws() {
        let settings = Settings::default();
        assert_eq!(settings.validate(), Ok(()));
        assert_eq!(settings.batch_size, 100);
        assert_eq!(settings.batching_window, Duration::ZERO);
        assert_eq!((settings.maximum_retry_attempts, settings.maximum_record_age), (None, None));
    }

    #[test]
    fn every_setting_that_aws_would_refuse_is_named() {
        let settings = Settings {
            batch_size: 10_001,
            batching_window: Duration::from_secs(301),
            maximum_retry_attempts: Some(10_001),
            maximum_record_age: Some(Duration::from_secs(59)),
            ..Settings::default()
        };
        assert_eq!(
            settings.validate(),
            Err(vec![
                SettingsError::BatchSize(10_001),
                SettingsError::BatchingWindow(Duration::from_secs(301)),
                SettingsError::RetryAttempts(10_001),
                SettingsError::RecordAge(Duration::from_secs(59)),
            ])
        );
        assert!(Settings { batch_size: 0, ..Settings::default() }.validate().is_err());
    }
}
