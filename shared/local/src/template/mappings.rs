//! Event source mappings, with the bounds that AWS gives their settings.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::model::{KinesisMapping, Pipeline, SqsMapping, Start};
use super::problem::{Problem, quoted};
use super::properties::Properties;

/// What a mapping can name.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// ARN to logical id.
    pub(super) streams: BTreeMap<String, String>,
    /// ARN to logical id.
    pub(super) queues: BTreeMap<String, String>,
    /// ARN and name to logical id.
    pub(super) functions: BTreeMap<String, String>,
    /// Ids of HTTP APIs.
    pub(super) apis: BTreeSet<String>,
    /// Logical ids that are in the template, which none that SAM makes up may be.
    pub(super) declared: BTreeSet<String>,
}

/// What a mapping reads: a logical id.
pub(super) enum Source {
    Stream(String),
    Queue(String),
}

impl Targets {
    pub(super) fn stream(&self, arn: &str, name: &str, properties: &mut Properties<'_>) -> Option<String> {
        find(&self.streams, arn, name, "stream", properties)
    }

    pub(super) fn queue(&self, arn: &str, name: &str, properties: &mut Properties<'_>) -> Option<String> {
        find(&self.queues, arn, name, "queue", properties)
    }

    pub(super) fn source(&self, arn: &str) -> Option<Source> {
        let stream = self.streams.get(arn).cloned().map(Source::Stream);
        stream.or_else(|| self.queues.get(arn).cloned().map(Source::Queue))
    }
}

fn find(
    among: &BTreeMap<String, String>,
    arn: &str,
    name: &str,
    what: &str,
    properties: &mut Properties<'_>,
) -> Option<String> {
    let found = among.get(arn).cloned();
    if found.is_none() {
        let what = format!("is {}, which is the ARN of no {what} of this template", quoted(arn));
        properties.problem(name, what);
    }
    found
}

/// Reads a Kinesis mapping into `pipeline`. What says which stream has been taken already.
pub(super) fn kinesis(
    logical_id: &str,
    function: &str,
    stream: String,
    targets: &Targets,
    mut properties: Properties<'_>,
    pipeline: &mut Pipeline,
) {
    if properties.number("ParallelizationFactor", 1, 1..=10) != 1 {
        properties.problem(
            "ParallelizationFactor",
            "must be 1: a group keeps one position a shard, and runs side by side would each move it past what the \
             other still has to do, which loses data; keys are handled side by side inside the function",
        );
    }
    let start = start(&mut properties);
    let age = properties.number("MaximumRecordAgeInSeconds", -1i64, -1..=604_800);
    if (0..60).contains(&age) {
        properties.problem("MaximumRecordAgeInSeconds", format!("is {age}; AWS takes -1 or 60 to 604800"));
    }
    let retries = properties.number("MaximumRetryAttempts", -1i64, -1..=10_000);
    let batch_size = properties.number("BatchSize", 100, 1..=10_000);
    let window = properties.number("MaximumBatchingWindowInSeconds", 0, 0..=300);
    let mapping = KinesisMapping {
        logical_id: logical_id.to_owned(),
        function: function.to_owned(),
        stream,
        start,
        batch_size,
        batching_window: Duration::from_secs(window),
        report_batch_item_failures: reports(&mut properties),
        bisect_on_error: properties.boolean("BisectBatchOnFunctionError", false),
        max_retries: u32::try_from(retries).ok(),
        max_record_age: u64::try_from(age).ok().map(Duration::from_secs),
        on_failure: on_failure(targets, &mut properties),
    };
    if enabled(&mut properties) {
        pipeline.kinesis_mappings.push(mapping);
    }
    properties.finish(
        &["KmsKeyArn", "LoggingConfig", "MetricsConfig", "Tags"],
        &["FilterCriteria", "TumblingWindowInSeconds"],
    );
}

/// Reads an SQS mapping into `pipeline`.
pub(super) fn sqs(
    logical_id: &str,
    function: &str,
    queue: String,
    mut properties: Properties<'_>,
    pipeline: &mut Pipeline,
) {
    let window = properties.number("MaximumBatchingWindowInSeconds", 0, 0..=300);
    let batch_size = properties.number("BatchSize", 10, 1..=10_000);
    if batch_size > 10 && window == 0 {
        let what =
            format!("is {batch_size}; above 10 AWS takes it only with MaximumBatchingWindowInSeconds of 1 or more");
        properties.problem("BatchSize", what);
    }
    if batch_size > 10 || window > 0 {
        properties.warn("batches of at most 10 messages, at once: what one receive gives");
    }
    let mapping = SqsMapping {
        logical_id: logical_id.to_owned(),
        function: function.to_owned(),
        queue,
        batch_size,
        batching_window: Duration::from_secs(window),
        report_batch_item_failures: reports(&mut properties),
    };
    if enabled(&mut properties) {
        pipeline.sqs_mappings.push(mapping);
    }
    // a bound of two invocations or more at once is kept here: there is one
    properties.finish(
        &["KmsKeyArn", "LoggingConfig", "MetricsConfig", "ScalingConfig", "Tags"],
        &["FilterCriteria", "ProvisionedPollerConfig"],
    );
}

/// A mapping that is disabled reads nothing on AWS either.
fn enabled(properties: &mut Properties<'_>) -> bool {
    let enabled = properties.boolean("Enabled", true);
    if !enabled {
        properties.warn("`Enabled` is false: nothing is read");
    }
    enabled
}

fn start(properties: &mut Properties<'_>) -> Start {
    properties.take("StartingPositionTimestamp");
    match properties.required("StartingPosition").as_deref() {
        Some("LATEST") => Start::Latest,
        Some("TRIM_HORIZON") | None => Start::TrimHorizon,
        Some(other) => {
            let what = format!("is {}; this machine starts at TRIM_HORIZON or LATEST", quoted(other));
            properties.problem("StartingPosition", what);
            Start::TrimHorizon
        }
    }
}

fn reports(properties: &mut Properties<'_>) -> bool {
    let types = properties.list("FunctionResponseTypes");
    for kind in types.iter().filter(|kind| kind.text() != Some("ReportBatchItemFailures")) {
        let what = format!("has {}; AWS takes ReportBatchItemFailures", quoted(kind.text().unwrap_or("no text")));
        properties.problem("FunctionResponseTypes", what);
    }
    !types.is_empty()
}

/// The ARN of the queue that learns what was given up.
fn on_failure(targets: &Targets, properties: &mut Properties<'_>) -> Option<String> {
    let mut config = properties.below("DestinationConfig");
    let wanted = config.has("OnFailure");
    let mut on_failure = config.below("OnFailure");
    let kind = on_failure.one_of("Type", &["SQS", "SNS"]);
    let destination = if wanted { on_failure.required("Destination") } else { None };
    if kind.as_deref() == Some("SNS") || destination.as_ref().is_some_and(|arn| arn.starts_with("arn:aws:sns:")) {
        on_failure.problem("Destination", "is an SNS topic; this machine tells SQS queues of this template only");
    } else if let Some(arn) = &destination {
        targets.queue(arn, "Destination", &mut on_failure);
    }
    on_failure.finish(&[], &[]);
    config.finish(&[], &[]);
    destination
}

/// Tells of queues that hide a message for a shorter time than the function may take: AWS refuses their mapping, because
/// the message would be received again while it is still worked on.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
pub(super) fn check_visibility(pipeline: &Pipeline, line: impl Fn(&str) -> usize, problems: &mut Vec<Problem>) {
    for mapping in &pipeline.sqs_mappings {
        let queue = pipeline.queues.iter().find(|queue| queue.logical_id == mapping.queue);
        let function = pipeline.functions.iter().find(|function| function.logical_id == mapping.function);
        let (Some(queue), Some(function)) = (queue, function) else { continue };
        let (visibility, timeout) = (u64::from(queue.visibility_timeout), function.timeout.as_secs());
        if visibility < timeout {
            let what = format!(
                "is {visibility}, less than the {timeout} seconds of {}'s Timeout; AWS refuses the mapping between them",
                function.logical_id
            );
            problems.push(Problem::new(
                line(&queue.logical_id),
                format!("{}.VisibilityTimeout", queue.logical_id),
                what,
            ));
        }
    }
}
