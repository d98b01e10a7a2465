//! The resources of a template, in three passes: which there are, what each is known by, what each says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Context;
use super::functions::{self, Block};
use super::mappings::{self, Targets};
use super::model::{KeyAttribute, Pipeline, Queue, Stream, Table};
use super::node::Node;
use super::problem::{Problem, did_you_mean};
use super::properties::Properties;
use super::resolve::{Identity, Scope, Value, ValueKind};

const STREAM: &str = "AWS::Kinesis::Stream";
const TABLE: &str = "AWS::DynamoDB::Table";
const QUEUE: &str = "AWS::SQS::Queue";
const FUNCTION: &str = "AWS::Serverless::Function";
const HTTP_API: &str = "AWS::Serverless::HttpApi";
const MAPPING: &str = "AWS::Lambda::EventSourceMapping";

/// Permissions and log groups: nothing here could break them, nothing here enforces them.
const UNENFORCED: [&str; 7] = [
    "AWS::IAM::Role",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::SQS::QueuePolicy",
    "AWS::KMS::Key",
];
/// What a user would see on AWS and does not see here: each type is named.
const NOT_RUN: [&str; 4] =
    ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::SNS::Topic", "AWS::SNS::Subscription"];

/// Shards that an ON_DEMAND stream starts with:
/// <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>.
const ON_DEMAND_SHARDS: u32 = 4;

struct Resource<'a> {
    id: &'a str,
    kind: &'a str,
    node: &'a Node,
}

/// Reads everything.
pub(super) fn read(root: &Node, context: &Context, problems: &mut Vec<Problem>) -> Pipeline {
    let mut scope = Scope::new(root, context);
    let mut pipeline = Pipeline::default();
    top_level(root, &mut scope);
    let resources = present(root, &mut scope, &mut pipeline.warnings);
    for resource in &resources {
        let identity = identify(resource, &mut scope);
        scope.resources.insert(resource.id.to_owned(), identity);
    }
    let targets = targets(&resources, &scope);
    let globals = root.get("Globals").and_then(|globals| globals.get("Function"));
    for resource in &resources {
        read_one(resource, globals, &targets, &mut scope, &mut pipeline, problems);
    }
    order_queues(&mut pipeline.queues);
    for (name, output) in root.get("Outputs").map(Node::entries).unwrap_or_default() {
        scope.place = format!("Outputs.{name}");
        if let Some(value) = output.get("Value") {
            let value = scope.resolve(value).as_text();
            pipeline.outputs.insert(name.clone(), value);
        }
    }
    problems.append(&mut scope.problems);
    pipeline
}

fn top_level(root: &Node, scope: &mut Scope<'_>) {
    const SECTIONS: [&str; 10] = [
        "AWSTemplateFormatVersion",
        "Transform",
        "Description",
        "Metadata",
        "Parameters",
        "Conditions",
        "Mappings",
        "Globals",
        "Resources",
        "Outputs",
    ];
    for (name, node) in root.entries() {
        if !SECTIONS.contains(&name.as_str()) {
            let hint = did_you_mean(name, SECTIONS);
            scope.problem(node.line, format!("`{name}` is no section of a template that is known here{hint}"));
        }
    }
    if root.get("Resources").is_none() {
        scope.problem(root.line, "there is no section `Resources`");
    }
    for (name, node) in root.get("Globals").map(Node::entries).unwrap_or_default() {
        if name != "Function" {
            scope.problem(
                node.line,
                format!("`Globals.{name}` is not supported on this machine; write it where it applies"),
            );
        }
    }
}

/// The resources whose condition holds and that are run here.
fn present<'a>(root: &'a Node, scope: &mut Scope<'_>, warnings: &mut Vec<String>) -> Vec<Resource<'a>> {
    const MEMBERS: [&str; 8] = [
        "Type",
        "Properties",
        "Condition",
        "DependsOn",
        "Metadata",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "Connectors",
    ];
    let mut found = Vec::new();
    let mut not_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut unenforced = 0;
    for (id, node) in root.get("Resources").map(Node::entries).unwrap_or_default() {
        scope.place = id.clone();
        for (name, member) in node.entries() {
            if !MEMBERS.contains(&name.as_str()) {
                let hint = did_you_mean(name, MEMBERS);
                scope.problem(member.line, format!("`{name}` is no member of a resource{hint}"));
            }
        }
        let Some(kind) = node.get("Type").and_then(Node::text) else {
            scope.problem(node.line, "has no `Type`");
            continue;
        };
        if let Some(condition) = node.get("Condition") {
            let name = condition.text().unwrap_or_default().to_owned();
            if !scope.condition(&name, condition.line) {
                continue;
            }
        }
        if UNENFORCED.contains(&kind) {
            unenforced += 1;
        } else if let Some(kind) = NOT_RUN.into_iter().find(|other| *other == kind) {
            not_run.entry(kind).or_default().push(id);
        } else if ![STREAM, TABLE, QUEUE, FUNCTION, HTTP_API, MAPPING].contains(&kind) {
            let known = [STREAM, TABLE, QUEUE, FUNCTION, HTTP_API, MAPPING];
            let hint = did_you_mean(kind, known);
            let what = format!("`{kind}` cannot be run on this machine{hint}; it runs {}", known.join(", "));
            scope.problem(node.line, what);
            continue;
        }
        found.push(Resource { id, kind, node });
    }
    if unenforced > 0 {
        warnings.push("permissions and log groups are not enforced on this machine".to_owned());
    }
    for (kind, ids) in not_run {
        warnings.push(format!("resources of type {kind} are not run on this machine: {}", ids.join(", ")));
    }
    scope.place.clear();
    found
}

/// What `Ref` and `Fn::GetAtt` give for a resource.
fn identify(resource: &Resource<'_>, scope: &mut Scope<'_>) -> Identity {
    let Resource { id, kind, node } = *resource;
    let Context { region, account_id, stack_name, sqs_endpoint, .. } = scope.context;
    let named = |property: &str, scope: &mut Scope<'_>| {
        let explicit = node.get("Properties").and_then(|properties| properties.get(property));
        scope.place = format!("{id}.{property}");
        match explicit {
            Some(node) => scope.resolve(node).as_text(),
            None => format!("{stack_name}-{id}"),
        }
    };
    let arn = |service: &str, rest: &str| format!("arn:aws:{service}:{region}:{account_id}:{rest}");
    match kind {
        STREAM => {
            let name = named("Name", scope);
            Identity { attributes: [("Arn", arn("kinesis", &format!("stream/{name}")))].into(), reference: name }
        }
        TABLE => {
            let name = named("TableName", scope);
            Identity { attributes: [("Arn", arn("dynamodb", &format!("table/{name}")))].into(), reference: name }
        }
        QUEUE => {
            let name = named("QueueName", scope);
            let url = format!("{sqs_endpoint}/{account_id}/{name}");
            let attributes = [("Arn", arn("sqs", &name)), ("QueueName", name), ("QueueUrl", url.clone())];
            Identity { reference: url, attributes: attributes.into() }
        }
        FUNCTION => {
            let name = named("FunctionName", scope);
            Identity { attributes: [("Arn", arn("lambda", &format!("function:{name}")))].into(), reference: name }
        }
        HTTP_API => Identity {
            reference: id.to_lowercase(),
            attributes: [("ApiEndpoint", format!("https://{}.local", id.to_lowercase()))].into(),
        },
        // what is not run has a name all the same, for those that refer to it
        _ => Identity {
            reference: format!("{stack_name}-{id}"),
            attributes: [("Arn", arn("local", &format!("{stack_name}-{id}")))].into(),
        },
    }
}

fn targets(resources: &[Resource<'_>], scope: &Scope<'_>) -> Targets {
    let of = |wanted: &str| {
        let matching = resources.iter().filter(|resource| resource.kind == wanted);
        matching
            .map(|resource| (scope.resources[resource.id].attributes["Arn"].clone(), resource.id.to_owned()))
            .collect()
    };
    Targets { streams: of(STREAM), queues: of(QUEUE) }
}

fn read_one(
    resource: &Resource<'_>,
    globals: Option<&Node>,
    targets: &Targets,
    scope: &mut Scope<'_>,
    pipeline: &mut Pipeline,
    problems: &mut Vec<Problem>,
) {
    let Resource { id, kind, node } = *resource;
    if UNENFORCED.contains(&kind) || NOT_RUN.contains(&kind) {
        return;
    }
    scope.place = id.to_owned();
    let line = node.line;
    let properties = node.get("Properties").map(|properties| scope.resolve(properties));
    let properties = properties.unwrap_or(Value { line, kind: ValueKind::Absent });
    let identity = scope.resources[id].clone();
    let arn = identity.attributes.get("Arn").cloned().unwrap_or_default();
    if kind == FUNCTION {
        let globals = globals.map(|globals| scope.resolve(globals));
        let binary = node.get("Metadata").and_then(|metadata| metadata.get("BuildProperties"));
        let binary = binary.and_then(|properties| properties.get("Binary")).and_then(Node::text).map(str::to_owned);
        let globals = globals.unwrap_or(Value { line, kind: ValueKind::Absent });
        let block = Block { logical_id: id, name: identity.reference, arn, binary, globals, properties };
        return functions::read(block, targets, pipeline, problems);
    }
    let mut warnings = Vec::new();
    let properties = Properties::new(id, properties, problems, &mut warnings);
    match kind {
        STREAM => pipeline.streams.push(stream(id, identity.reference, arn, properties)),
        TABLE => pipeline.tables.push(table(id, identity.reference, arn, properties)),
        QUEUE => {
            let name = identity.attributes["QueueName"].clone();
            pipeline.queues.push(queue(id, name, arn, identity.reference, targets, properties));
        }
        MAPPING => mapping(id, node, targets, scope, pipeline, properties),
        _ => properties.finish(
            &["Description", "Name", "Tags", "StageName", "PropagateTags"],
            &["AccessLogSettings", "Auth", "CorsConfiguration", "DefaultRouteSettings", "Domain", "RouteSettings"],
        ),
    }
    pipeline.warnings.append(&mut warnings);
}

fn stream(id: &str, name: String, arn: String, mut properties: Properties<'_>) -> Stream {
    properties.take("Name");
    let mut mode = properties.below("StreamModeDetails");
    let line = mode.line();
    let on_demand = match mode.text("StreamMode").as_deref() {
        None | Some("PROVISIONED") => false,
        Some("ON_DEMAND") => true,
        Some(other) => {
            mode.problem(line, "StreamMode", format!("is `{other}`; AWS takes PROVISIONED or ON_DEMAND"));
            false
        }
    };
    mode.finish(&[], &[]);
    let shards = properties.number("ShardCount", if on_demand { ON_DEMAND_SHARDS } else { 1 }, 1..=500);
    let hours = properties.number("RetentionPeriodHours", 24, 24..=8760);
    properties.finish(
        &["StreamEncryption", "Tags", "DesiredShardLevelMetrics"],
        &["MaxRecordSizeInKiB", "WarmThroughputMiBps"],
    );
    Stream { logical_id: id.to_owned(), name, arn, shards, retention: Duration::from_secs(hours * 3600) }
}

fn table(id: &str, name: String, arn: String, mut properties: Properties<'_>) -> Table {
    properties.take("TableName");
    let line = properties.line();
    let pair = |value: Value, a: &str, b: &str| {
        let ValueKind::Map(entries) = value.kind else {
            return None;
        };
        let get = |name: &str| entries.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_text());
        Some((get(a)?, get(b)?))
    };
    let kinds: BTreeMap<String, String> = properties
        .list("AttributeDefinitions")
        .into_iter()
        .filter_map(|value| pair(value, "AttributeName", "AttributeType"))
        .collect();
    let (mut hash_key, mut range_key) = (None, None);
    for value in properties.list("KeySchema") {
        let Some((name, role)) = pair(value, "AttributeName", "KeyType") else {
            continue;
        };
        let Some(kind) = kinds.get(&name).cloned() else {
            properties.problem(line, "KeySchema", format!("names `{name}`, which AttributeDefinitions does not have"));
            continue;
        };
        let key = Some(KeyAttribute { name, kind });
        match role.as_str() {
            "HASH" => hash_key = key,
            "RANGE" => range_key = key,
            other => properties.problem(line, "KeySchema", format!("has KeyType `{other}`; AWS takes HASH or RANGE")),
        }
    }
    let hash_key = hash_key.unwrap_or_else(|| {
        properties.problem(line, "KeySchema", "has no HASH key");
        KeyAttribute { name: String::new(), kind: String::new() }
    });
    let mut ttl = properties.below("TimeToLiveSpecification");
    let enabled = ttl.boolean("Enabled");
    let ttl_attribute = ttl.text("AttributeName").filter(|_| enabled);
    ttl.finish(&[], &[]);
    properties.finish(
        &[
            "BillingMode",
            "ContributorInsightsSpecification",
            "DeletionProtectionEnabled",
            "OnDemandThroughput",
            "PointInTimeRecoverySpecification",
            "ProvisionedThroughput",
            "ResourcePolicy",
            "SSESpecification",
            "TableClass",
            "Tags",
            "WarmThroughput",
        ],
        &["GlobalSecondaryIndexes", "KinesisStreamSpecification", "LocalSecondaryIndexes", "StreamSpecification"],
    );
    Table { logical_id: id.to_owned(), name, arn, hash_key, range_key, ttl_attribute }
}

fn queue(id: &str, name: String, arn: String, url: String, targets: &Targets, mut properties: Properties<'_>) -> Queue {
    properties.take("QueueName");
    let line = properties.line();
    if properties.boolean("FifoQueue") {
        properties.problem(line, "FifoQueue", "FIFO queues cannot be run on this machine");
    }
    let visibility_timeout = properties.number("VisibilityTimeout", 30, 0..=43_200);
    let retention = properties.number("MessageRetentionPeriod", 345_600, 60..=1_209_600);
    let redrive = properties.take("RedrivePolicy").and_then(|value| {
        let line = value.line;
        let mut ignored = Vec::new();
        let mut problems = Vec::new();
        let mut policy = Properties::new(&format!("{id}.RedrivePolicy"), value, &mut problems, &mut ignored);
        let target = policy.required("deadLetterTargetArn");
        let count = policy.number("maxReceiveCount", 0, 1..=1000);
        let known = targets.queue(&target, "deadLetterTargetArn", &mut policy).is_some();
        policy.finish(&[], &[]);
        for problem in problems {
            properties.problem(line, "RedrivePolicy", problem.what);
        }
        known.then_some((target, count))
    });
    properties.finish(
        &[
            "KmsDataKeyReusePeriodSeconds",
            "KmsMasterKeyId",
            "RedriveAllowPolicy",
            "ReceiveMessageWaitTimeSeconds",
            "SqsManagedSseEnabled",
            "Tags",
            "FifoQueue",
        ],
        &["DelaySeconds", "MaximumMessageSize"],
    );
    Queue { logical_id: id.to_owned(), name, arn, url, visibility_timeout, retention, redrive }
}

/// A mapping that is a resource of its own.
fn mapping(
    id: &str,
    node: &Node,
    targets: &Targets,
    scope: &mut Scope<'_>,
    pipeline: &mut Pipeline,
    mut properties: Properties<'_>,
) {
    let arn = properties.required("EventSourceArn");
    let named = properties.required("FunctionName");
    let function = scope
        .resources
        .iter()
        .find(|(_, known)| known.reference == named || known.attributes.get("Arn").is_some_and(|arn| *arn == named));
    let Some((function, _)) = function.map(|(id, identity)| (id.clone(), identity)) else {
        return properties.problem(
            node.line,
            "FunctionName",
            format!("is `{named}`, which is no function of this template"),
        );
    };
    if let Some(stream) = targets.streams.get(&arn) {
        let mapping = mappings::kinesis(id.to_owned(), &function, stream.clone(), targets, properties);
        pipeline.kinesis_mappings.push(mapping);
    } else if let Some(queue) = targets.queues.get(&arn) {
        pipeline.sqs_mappings.push(mappings::sqs(id.to_owned(), &function, queue.clone(), properties));
    } else {
        let what = format!("is `{arn}`, which is no stream or queue of this template");
        properties.problem(node.line, "EventSourceArn", what);
    }
}

/// A dead-letter queue before every queue that redrives to it.
fn order_queues(queues: &mut Vec<Queue>) {
    let mut ordered: Vec<Queue> = Vec::with_capacity(queues.len());
    let mut left = std::mem::take(queues);
    while !left.is_empty() {
        let ready = |queue: &Queue| match &queue.redrive {
            Some((target, _)) => ordered.iter().any(|done| done.arn == *target),
            None => true,
        };
        // queues that redrive to each other have no order; they are made as they come
        let at = left.iter().position(ready).unwrap_or(0);
        ordered.push(left.remove(at));
    }
    *queues = ordered;
}
