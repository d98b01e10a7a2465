//! What a template asks this machine to run, resolved: no intrinsic functions, no parameters, real names.

mod alarm;

use std::collections::BTreeMap;
use std::time::Duration;

pub use alarm::{Alarm, Math, Measure, MetricStat};

/// Everything that one template brings up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pipeline {
    /// Kinesis streams.
    pub streams: Vec<Stream>,
    /// DynamoDB tables.
    pub tables: Vec<Table>,
    /// SQS queues, a queue before every queue whose redrive policy names it.
    pub queues: Vec<Queue>,
    /// Lambda functions.
    pub functions: Vec<Function>,
    /// Routes of the HTTP API.
    pub routes: Vec<Route>,
    /// Kinesis event source mappings.
    pub kinesis_mappings: Vec<KinesisMapping>,
    /// SQS event source mappings.
    pub sqs_mappings: Vec<SqsMapping>,
    /// CloudWatch alarms that can be evaluated here.
    pub alarms: Vec<Alarm>,
    /// The template's outputs, by name.
    pub outputs: BTreeMap<String, String>,
    /// What the template says and this machine does not do. Each is one sentence that names the resource and the property.
    pub warnings: Vec<String>,
}

/// A Kinesis stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// The logical id in the template.
    pub logical_id: String,
    /// The physical name.
    pub name: String,
    /// The ARN.
    pub arn: String,
    /// Open shards at creation. An `ON_DEMAND` stream starts with 4, as AWS documents.
    pub shards: u32,
    /// How long a record can be read.
    pub retention: Duration,
}

/// A DynamoDB table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The logical id in the template.
    pub logical_id: String,
    /// The physical name.
    pub name: String,
    /// The ARN.
    pub arn: String,
    /// Partition key.
    pub hash_key: KeyAttribute,
    /// Sort key.
    pub range_key: Option<KeyAttribute>,
    /// The attribute of `TimeToLiveSpecification`, where enabled.
    pub ttl_attribute: Option<String>,
}

/// A key attribute of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyAttribute {
    /// Name.
    pub name: String,
    /// `S`, `N` or `B`.
    pub kind: String,
}

/// An SQS queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// The logical id in the template.
    pub logical_id: String,
    /// The physical name.
    pub name: String,
    /// The ARN.
    pub arn: String,
    /// The URL, on the local endpoint.
    pub url: String,
    /// `VisibilityTimeout` in seconds.
    pub visibility_timeout: u32,
    /// `MessageRetentionPeriod` in seconds.
    pub retention: u32,
    /// `MaximumMessageSize` in bytes.
    pub message_max: usize,
    /// `RedrivePolicy`: the ARN of the dead-letter queue and `maxReceiveCount`.
    pub redrive: Option<(String, u32)>,
}

/// A Lambda function.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// The logical id in the template.
    pub logical_id: String,
    /// The physical name.
    pub name: String,
    /// The ARN.
    pub arn: String,
    /// The cargo binary: `Metadata.BuildProperties.Binary`, else the last folder of `CodeUri`.
    pub binary: String,
    /// `Timeout`, at most 900 s.
    pub timeout: Duration,
    /// `MemorySize` in MB.
    pub memory_mb: u32,
    /// `ReservedConcurrentExecutions`.
    pub reserved_concurrency: Option<u32>,
    /// `Environment.Variables`, globals merged in.
    pub environment: BTreeMap<String, String>,
}

/// One route of the HTTP API.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `GET`, `POST`, ... or `ANY`.
    pub method: String,
    /// `/v1/events`, `/v1/things/{id}` or `/v1/{proxy+}`.
    pub path: String,
    /// Logical id of the function that answers.
    pub function: String,
}

/// A Kinesis event source mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct KinesisMapping {
    /// Logical id of the mapping: function id + event id, as SAM names it.
    pub logical_id: String,
    /// Logical id of the function.
    pub function: String,
    /// Logical id of the stream.
    pub stream: String,
    /// `StartingPosition`.
    pub start: Start,
    /// `BatchSize`, 1 to 10,000.
    pub batch_size: u32,
    /// `MaximumBatchingWindowInSeconds`, 0 to 300.
    pub batching_window: Duration,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// `BisectBatchOnFunctionError`.
    pub bisect_on_error: bool,
    /// `MaximumRetryAttempts`; `None` is for ever (-1).
    pub max_retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; `None` is for ever (-1).
    pub max_record_age: Option<Duration>,
    /// ARN of the SQS queue that learns what was given up.
    pub on_failure: Option<String>,
}

/// Where a new Kinesis mapping starts to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest record.
    TrimHorizon,
    /// What comes after the mapping.
    Latest,
}

/// An SQS event source mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct SqsMapping {
    /// Logical id of the mapping.
    pub logical_id: String,
    /// Logical id of the function.
    pub function: String,
    /// Logical id of the queue.
    pub queue: String,
    /// `BatchSize`.
    pub batch_size: u32,
    /// `MaximumBatchingWindowInSeconds`.
    pub batching_window: Duration,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
}
