//! Event source mappings, with the bounds that AWS gives their settings.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::{KinesisMapping, SqsMapping, Start};
use super::properties::Properties;
use super::resolve::ValueKind;

/// The streams and queues of a template: ARN to logical id.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) streams: BTreeMap<String, String>,
    pub(super) queues: BTreeMap<String, String>,
}

impl Targets {
    pub(super) fn stream(&self, arn: &str, properties: &mut Properties<'_>) -> Option<String> {
        self.find(&self.streams, arn, "Stream", "stream", properties)
    }

    pub(super) fn queue(&self, arn: &str, name: &str, properties: &mut Properties<'_>) -> Option<String> {
        self.find(&self.queues, arn, name, "queue", properties)
    }

    fn find(
        &self,
        among: &BTreeMap<String, String>,
        arn: &str,
        name: &str,
        what: &str,
        properties: &mut Properties<'_>,
    ) -> Option<String> {
        let found = among.get(arn).cloned();
        if found.is_none() && !arn.is_empty() {
            let line = properties.line();
            properties.problem(line, name, format!("is `{arn}`, which is the ARN of no {what} of this template"));
        }
        found
    }
}

/// Reads a Kinesis mapping. What says which stream has been taken already.
pub(super) fn kinesis(
    logical_id: String,
    function: &str,
    stream: String,
    targets: &Targets,
    mut properties: Properties<'_>,
) -> KinesisMapping {
    let line = properties.line();
    if properties.number("ParallelizationFactor", 1, 1..=10) != 1 {
        properties.problem(
            line,
            "ParallelizationFactor",
            "must be 1: a group keeps one position a shard, and runs side by side would each move it past what the \
             other still has to do; keys are handled side by side inside the function",
        );
    }
    let start = match properties.required("StartingPosition").as_str() {
        "LATEST" => Start::Latest,
        "TRIM_HORIZON" | "" => Start::TrimHorizon,
        other => {
            let what = format!("is `{other}`; this machine starts at TRIM_HORIZON or LATEST");
            properties.problem(line, "StartingPosition", what);
            Start::TrimHorizon
        }
    };
    let age = properties.number("MaximumRecordAgeInSeconds", -1i64, -1..=604_800);
    if (0..60).contains(&age) {
        properties.problem(line, "MaximumRecordAgeInSeconds", format!("is {age}; AWS takes -1 or 60 to 604800"));
    }
    let retries = properties.number("MaximumRetryAttempts", -1i64, -1..=10_000);
    let on_failure = on_failure(targets, &mut properties);
    let mapping = KinesisMapping {
        logical_id,
        function: function.to_owned(),
        stream,
        start,
        batch_size: properties.number("BatchSize", 100, 1..=10_000),
        batching_window: Duration::from_secs(properties.number("MaximumBatchingWindowInSeconds", 0, 0..=300)),
        report_batch_item_failures: reports(&mut properties),
        bisect_on_error: properties.boolean("BisectBatchOnFunctionError"),
        max_retries: u32::try_from(retries).ok(),
        max_record_age: u64::try_from(age).ok().map(Duration::from_secs),
        on_failure,
    };
    properties.finish(&["Enabled", "Tags"], &["FilterCriteria", "TumblingWindowInSeconds", "KmsKeyArn"]);
    mapping
}

/// Reads an SQS mapping.
pub(super) fn sqs(logical_id: String, function: &str, queue: String, mut properties: Properties<'_>) -> SqsMapping {
    let line = properties.line();
    let window = properties.number("MaximumBatchingWindowInSeconds", 0, 0..=300);
    let batch_size = properties.number("BatchSize", 10, 1..=10_000);
    if batch_size > 10 && window == 0 {
        properties.problem(line, "BatchSize", "is above 10, which AWS takes only with a batching window");
    }
    if batch_size > 10 || window > 0 {
        properties.warn("batches of at most 10 messages, at once: what one receive gives");
    }
    let mapping = SqsMapping {
        logical_id,
        function: function.to_owned(),
        queue,
        batch_size,
        batching_window: Duration::from_secs(window),
        report_batch_item_failures: reports(&mut properties),
    };
    properties.finish(&["Enabled", "Tags"], &["FilterCriteria", "ScalingConfig", "KmsKeyArn"]);
    mapping
}

fn reports(properties: &mut Properties<'_>) -> bool {
    let types = properties.list("FunctionResponseTypes");
    let mut reports = false;
    for kind in types {
        match kind.as_text().as_str() {
            "ReportBatchItemFailures" => reports = true,
            other => {
                let what = format!("has `{other}`; AWS takes ReportBatchItemFailures");
                properties.problem(kind.line, "FunctionResponseTypes", what);
            }
        }
    }
    reports
}

/// The ARN of the queue that learns what was given up.
fn on_failure(targets: &Targets, properties: &mut Properties<'_>) -> Option<String> {
    let mut config = properties.below("DestinationConfig");
    let mut on_failure = config.below("OnFailure");
    let line = on_failure.line();
    let kind = on_failure.text("Type");
    let arn = match on_failure.take("Destination").map(|value| value.kind) {
        Some(ValueKind::Text(arn)) => arn,
        _ => {
            on_failure.finish(&[], &[]);
            config.finish(&[], &[]);
            return None;
        }
    };
    if kind.is_some_and(|kind| kind != "SQS") {
        on_failure.problem(line, "Type", "this machine tells SQS queues only");
    }
    let known = targets.queue(&arn, "Destination", &mut on_failure).is_some();
    on_failure.finish(&[], &[]);
    config.finish(&[], &[]);
    known.then_some(arn)
}
