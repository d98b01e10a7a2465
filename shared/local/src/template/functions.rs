//! Functions: settings with the bounds that AWS gives them, `Globals` merged in.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html>

use std::collections::BTreeMap;
use std::time::Duration;

use super::events;
use super::identity::Identity;
use super::mappings::Targets;
use super::model::{Function, Pipeline};
use super::problem::{did_you_mean, quoted};
use super::properties::{Findings, Properties};
use super::resolve::{Value, ValueKind};

/// Bytes of all variables of a function:
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const ENVIRONMENT_MAX: usize = 4096;

/// Read here.
const READ: [&str; 9] = [
    "CodeUri",
    "Environment",
    "Events",
    "FunctionName",
    "MemorySize",
    "PackageType",
    "ReservedConcurrentExecutions",
    "Runtime",
    "Timeout",
];
const IGNORED: [&str; 26] = [
    "Architectures",
    "AssumeRolePolicyDocument",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "AutoPublishCodeSha256",
    "CodeSigningConfigArn",
    "DeploymentPreference",
    "Description",
    "EphemeralStorage",
    "Handler",
    "KmsKeyArn",
    "LoggingConfig",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "ProvisionedConcurrencyConfig",
    "PublishToLatestPublished",
    "Role",
    "RolePath",
    "RuntimeManagementConfig",
    "SnapStart",
    "SourceKMSKeyArn",
    "Tags",
    "Tracing",
    "VersionDeletionPolicy",
    "VersionDescription",
];
const UNSUPPORTED: [&str; 11] = [
    "CapacityProviderConfig",
    "DeadLetterQueue",
    "DurableConfig",
    "EventInvokeConfig",
    "FileSystemConfigs",
    "FunctionScalingConfig",
    "FunctionUrlConfig",
    "Layers",
    "RecursiveLoop",
    "TenancyConfig",
    "VpcConfig",
];
/// Code that does not come from a folder.
const NO_FOLDER: [&str; 3] = ["ImageConfig", "ImageUri", "InlineCode"];

/// A function's block.
pub(super) struct Block<'a> {
    pub(super) logical_id: &'a str,
    pub(super) identity: &'a Identity,
    /// `Metadata.BuildProperties.Binary`.
    pub(super) binary: Option<String>,
    pub(super) globals: &'a Value,
    pub(super) properties: Value,
}

/// `Globals.Function`, without what cannot stand there.
pub(super) fn globals(value: Option<Value>, findings: &mut Findings) -> Value {
    let value = value.unwrap_or_else(|| Value::absent(0));
    let line = value.line;
    let mut properties = Properties::new("Globals.Function", value, findings);
    let known = READ.into_iter().chain(IGNORED).chain(UNSUPPORTED).chain(NO_FOLDER);
    let mut kept = Vec::new();
    for (name, value) in properties.all() {
        match known.clone().any(|known| known == name) {
            true if ["Events", "FunctionName"].contains(&name.as_str()) => {
                properties.problem(&name, "belongs to one function, and not under Globals");
            }
            true => kept.push((name, value)),
            false => {
                let hint = did_you_mean(&name, known.clone());
                properties.problem(&name, format!("is no property that is known here{hint}"));
            }
        }
    }
    properties.finish(&[], &[]);
    Value { line, kind: ValueKind::Map(kept) }
}

/// Reads a function and its events into `pipeline`.
pub(super) fn read(block: Block<'_>, targets: &Targets, pipeline: &mut Pipeline, findings: &mut Findings) {
    let Block { logical_id, identity, binary, globals, properties } = block;
    let mut properties = Properties::new(logical_id, merge(globals, properties), findings);
    properties.take("FunctionName");
    let folder = code(&mut properties);
    if let Some(runtime) = properties.required("Runtime").filter(|runtime| !runtime.starts_with("provided.")) {
        let what = format!("is {}; this machine runs provided.al2023 binaries", quoted(&runtime));
        properties.problem("Runtime", what);
    }
    let binary = binary.or(folder).unwrap_or_default();
    if !binary.is_empty() && !binary.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
        let what = format!(
            "gives the binary {}, which cargo cannot have built; set Metadata.BuildProperties.Binary",
            quoted(&binary)
        );
        properties.problem("CodeUri", what);
    }
    let concurrency = properties.has("ReservedConcurrentExecutions");
    let function = Function {
        logical_id: logical_id.to_owned(),
        name: identity.name.clone(),
        arn: identity.arn().to_owned(),
        binary,
        timeout: Duration::from_secs(properties.number("Timeout", 3, 1..=900)),
        memory_mb: properties.number("MemorySize", 128, 128..=10_240),
        reserved_concurrency: concurrency.then(|| properties.number("ReservedConcurrentExecutions", 0, 0..=100_000)),
        environment: environment(&mut properties),
    };
    let mut events = properties.below("Events");
    let given = events.all();
    events.finish(&[], &[]);
    properties.finish(&IGNORED, &UNSUPPORTED);
    pipeline.functions.push(function);
    for (id, event) in given {
        events::read(logical_id, &id, event, targets, pipeline, findings);
    }
}

/// The last folder of `CodeUri`.
fn code(properties: &mut Properties<'_>) -> Option<String> {
    let image = properties.text("PackageType").is_some_and(|kind| kind == "Image");
    if image {
        properties.problem("PackageType", "is `Image`; this machine runs binaries and no container images");
    }
    for name in NO_FOLDER {
        if properties.take(name).is_some() && !image {
            properties.problem(name, "is not supported on this machine; give the function a folder with `CodeUri`");
        }
    }
    if image {
        properties.take("CodeUri");
        return None;
    }
    let uri = properties.required("CodeUri")?;
    if uri.contains("://") {
        properties.problem("CodeUri", format!("is {}; on this machine it must be a folder", quoted(&uri)));
        return None;
    }
    let folder = uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    Some(if folder.is_empty() { "." } else { folder }.to_owned())
}

fn environment(properties: &mut Properties<'_>) -> BTreeMap<String, String> {
    let mut below = properties.below("Environment");
    let mut given = below.below("Variables");
    let mut variables = BTreeMap::new();
    for (name, value) in given.all() {
        match value.kind {
            ValueKind::Text(text) => drop(variables.insert(name, text)),
            ValueKind::Absent | ValueKind::Broken => {}
            ValueKind::List(_) | ValueKind::Map(_) => given.problem(&name, "must be text"),
        }
    }
    let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > ENVIRONMENT_MAX {
        given.problem("", format!("has {bytes} bytes; AWS takes {ENVIRONMENT_MAX}"));
    }
    given.finish(&[], &[]);
    below.finish(&[], &[]);
    variables
}

/// Globals below a function's own properties: mappings are merged, lists follow each other, anything else is overridden.
///
/// <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html>
fn merge(globals: &Value, own: Value) -> Value {
    let line = own.line;
    let kind = match (&globals.kind, own.kind) {
        (ValueKind::Map(globals), ValueKind::Map(mut own)) => {
            for (name, global) in globals {
                match own.iter_mut().find(|(known, _)| known == name) {
                    Some((_, value)) => {
                        let given = std::mem::replace(value, Value::absent(line));
                        *value = merge(global, given);
                    }
                    None => own.push((name.clone(), global.clone())),
                }
            }
            ValueKind::Map(own)
        }
        (ValueKind::List(globals), ValueKind::List(own)) => {
            ValueKind::List(globals.iter().cloned().chain(own).collect())
        }
        (globals, ValueKind::Absent) => globals.clone(),
        (_, own) => own,
    };
    Value { line, kind }
}
