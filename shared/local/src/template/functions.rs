//! Functions and the events that invoke them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::mappings::{self, Targets};
use super::model::{Function, Pipeline, Route};
use super::problem::Problem;
use super::properties::Properties;
use super::resolve::{Value, ValueKind};

const IGNORED: [&str; 19] = [
    "Architectures",
    "AutoPublishAlias",
    "CodeSigningConfigArn",
    "Description",
    "EphemeralStorage",
    "Handler",
    "KmsKeyArn",
    "LoggingConfig",
    "PackageType",
    "PermissionsBoundary",
    "Policies",
    "ProvisionedConcurrencyConfig",
    "Role",
    "RolePath",
    "RuntimeManagementConfig",
    "SnapStart",
    "Tags",
    "Tracing",
    "DeploymentPreference",
];
const UNSUPPORTED: [&str; 5] = ["DeadLetterQueue", "EventInvokeConfig", "FunctionUrlConfig", "Layers", "VpcConfig"];

/// What a function's block says besides its properties.
pub(super) struct Block<'a> {
    pub(super) logical_id: &'a str,
    pub(super) name: String,
    pub(super) arn: String,
    /// `Metadata.BuildProperties.Binary`.
    pub(super) binary: Option<String>,
    pub(super) globals: Value,
    pub(super) properties: Value,
}

/// Reads a function and its events into `pipeline`.
pub(super) fn read(block: Block<'_>, targets: &Targets, pipeline: &mut Pipeline, problems: &mut Vec<Problem>) {
    let mut warnings = Vec::new();
    let merged = merge(block.globals, block.properties);
    let mut properties = Properties::new(block.logical_id, merged, problems, &mut warnings);
    let line = properties.line();
    let runtime = properties.required("Runtime");
    if !runtime.is_empty() && !runtime.starts_with("provided.") {
        properties.problem(line, "Runtime", format!("is `{runtime}`; this machine runs provided.al2023 binaries"));
    }
    let code = properties.required("CodeUri");
    let folder = code.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let events = properties.take("Events");
    let environment = environment(&mut properties);
    properties.take("FunctionName");
    let concurrency = properties.number("ReservedConcurrentExecutions", -1i64, 0..=100_000);
    let function = Function {
        logical_id: block.logical_id.to_owned(),
        name: block.name,
        arn: block.arn,
        binary: block.binary.unwrap_or(folder),
        timeout: Duration::from_secs(properties.number("Timeout", 3, 1..=900)),
        memory_mb: properties.number("MemorySize", 128, 128..=10_240),
        reserved_concurrency: u32::try_from(concurrency).ok(),
        environment,
    };
    properties.finish(&IGNORED, &UNSUPPORTED);
    pipeline.functions.push(function);
    if let Some(Value { kind: ValueKind::Map(events), .. }) = events {
        for (id, event) in events {
            read_event(block.logical_id, &id, event, targets, pipeline, problems, &mut warnings);
        }
    }
    pipeline.warnings.append(&mut warnings);
}

fn environment(properties: &mut Properties<'_>) -> BTreeMap<String, String> {
    let mut below = properties.below("Environment");
    let mut variables = BTreeMap::new();
    for (name, value) in below.below("Variables").all() {
        match value.kind {
            ValueKind::Text(text) => drop(variables.insert(name, text)),
            _ => below.problem(value.line, &name, "must be text"),
        }
    }
    below.finish(&[], &[]);
    variables
}

/// Globals below a function's own properties: mappings are merged, anything else is overridden.
fn merge(globals: Value, own: Value) -> Value {
    let line = own.line;
    let kind = match (globals.kind, own.kind) {
        (ValueKind::Map(globals), ValueKind::Map(mut own)) => {
            for (name, global) in globals {
                match own.iter().position(|(known, _)| *known == name) {
                    Some(at) => {
                        let (name, value) = own.remove(at);
                        own.push((name, merge(global, value)));
                    }
                    None => own.push((name, global)),
                }
            }
            ValueKind::Map(own)
        }
        (globals, ValueKind::Absent) => globals,
        (_, own) => own,
    };
    Value { line, kind }
}

fn read_event(
    function: &str,
    id: &str,
    event: Value,
    targets: &Targets,
    pipeline: &mut Pipeline,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    let place = format!("{function}.Events.{id}");
    let mut event = Properties::new(&place, event, problems, warnings);
    let line = event.line();
    let kind = event.required("Type");
    // as SAM names what it makes of an event
    let logical_id = format!("{function}{id}");
    let mut properties = event.below("Properties");
    match kind.as_str() {
        "HttpApi" => {
            let method = properties.required("Method").to_uppercase();
            let path = properties.required("Path");
            if let Some(version) = properties.text("PayloadFormatVersion").filter(|version| version != "2.0") {
                properties.problem(line, "PayloadFormatVersion", format!("is `{version}`; this machine speaks 2.0"));
            }
            properties.finish(&["ApiId", "TimeoutInMillis"], &["Auth", "RouteSettings"]);
            pipeline.routes.push(Route { method, path, function: function.to_owned() });
        }
        "Kinesis" => {
            let arn = properties.required("Stream");
            if let Some(stream) = targets.stream(&arn, &mut properties) {
                let mapping = mappings::kinesis(logical_id, function, stream, targets, properties);
                pipeline.kinesis_mappings.push(mapping);
            }
        }
        "SQS" => {
            let arn = properties.required("Queue");
            if let Some(queue) = targets.queue(&arn, "Queue", &mut properties) {
                let mapping = mappings::sqs(logical_id, function, queue, properties);
                pipeline.sqs_mappings.push(mapping);
            }
        }
        other => {
            let what = format!("is `{other}`; this machine has events of type HttpApi, Kinesis and SQS");
            event.problem(line, "Type", what);
            return;
        }
    }
    event.finish(&[], &[]);
}
