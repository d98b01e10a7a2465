//! What keeps data: streams, tables and queues, with the bounds that AWS gives their settings.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::services::MESSAGE_MAX;

use super::identity::Identity;
use super::mappings::Targets;
use super::model::{KeyAttribute, Queue, Stream, Table};
use super::problem::quoted;
use super::properties::Properties;

/// Shards that an ON_DEMAND stream starts with:
/// <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>.
const ON_DEMAND_SHARDS: u32 = 4;

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>
pub(super) fn stream(id: &str, identity: &Identity, mut properties: Properties<'_>) -> Stream {
    properties.take("Name");
    let mut mode = properties.below("StreamModeDetails");
    let on_demand = mode.one_of("StreamMode", &["PROVISIONED", "ON_DEMAND"]).as_deref() == Some("ON_DEMAND");
    mode.finish(&[], &[]);
    if on_demand && properties.has("ShardCount") {
        properties.problem("ShardCount", "is there, which AWS refuses for an ON_DEMAND stream; leave it out");
    }
    let shards = properties.number("ShardCount", if on_demand { ON_DEMAND_SHARDS } else { 1 }, 1..=500);
    let hours = properties.number("RetentionPeriodHours", 24, 24..=8760);
    properties.finish(
        &["DesiredShardLevelMetrics", "StreamEncryption", "Tags", "WarmThroughputMiBps"],
        &["MaxRecordSizeInKiB", "RecordDistributionStrategy"],
    );
    Stream {
        logical_id: id.to_owned(),
        name: identity.name.clone(),
        arn: identity.arn().to_owned(),
        shards,
        retention: Duration::from_secs(hours * 3600),
    }
}

/// Nothing, and a problem, if it has no partition key.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>
pub(super) fn table(id: &str, identity: &Identity, mut properties: Properties<'_>) -> Option<Table> {
    properties.take("TableName");
    properties.one_of("BillingMode", &["PAY_PER_REQUEST", "PROVISIONED"]);
    let (hash_key, range_key) = keys(&mut properties);
    let mut ttl = properties.below("TimeToLiveSpecification");
    let enabled = ttl.boolean("Enabled", false);
    if enabled && !ttl.has("AttributeName") {
        ttl.problem("AttributeName", "is missing");
    }
    let ttl_attribute = ttl.text("AttributeName").filter(|_| enabled);
    ttl.finish(&[], &[]);
    properties.finish(
        &[
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
        &[
            "GlobalSecondaryIndexes",
            "ImportSourceSpecification",
            "KinesisStreamSpecification",
            "LocalSecondaryIndexes",
            "StreamSpecification",
            "VectorIndexes",
        ],
    );
    let (name, arn) = (identity.name.clone(), identity.arn().to_owned());
    Some(Table { logical_id: id.to_owned(), name, arn, hash_key: hash_key?, range_key, ttl_attribute })
}

fn keys(properties: &mut Properties<'_>) -> (Option<KeyAttribute>, Option<KeyAttribute>) {
    let indexed = properties.has("GlobalSecondaryIndexes") || properties.has("LocalSecondaryIndexes");
    let kinds: BTreeMap<String, String> = properties
        .each("AttributeDefinitions", |mut definition| {
            let name = definition.required("AttributeName");
            if !definition.has("AttributeType") {
                definition.problem("AttributeType", "is missing");
            }
            let kind = definition.one_of("AttributeType", &["S", "N", "B"]);
            definition.finish(&[], &[]);
            // a type that is wrong has been told of; the attribute is defined all the same
            Some((name?, kind.unwrap_or_default()))
        })
        .into_iter()
        .collect();
    let schema = properties.each("KeySchema", |mut key| {
        let name = key.required("AttributeName");
        if !key.has("KeyType") {
            key.problem("KeyType", "is missing");
        }
        let role = key.one_of("KeyType", &["HASH", "RANGE"]);
        key.finish(&[], &[]);
        Some((name?, role?))
    });
    for name in kinds.keys().filter(|name| !indexed && !schema.iter().any(|(key, _)| key == *name)) {
        let what = format!("has {}, which is no key; AWS takes the attributes of keys only", quoted(name));
        properties.problem("AttributeDefinitions", what);
    }
    let (mut hash_key, mut range_key) = (None, None);
    for (name, role) in schema {
        let Some(kind) = kinds.get(&name).cloned() else {
            let what = format!("names {}, which AttributeDefinitions does not have", quoted(&name));
            properties.problem("KeySchema", what);
            continue;
        };
        let key = if role == "HASH" { &mut hash_key } else { &mut range_key };
        if key.replace(KeyAttribute { name, kind }).is_some() {
            properties.problem("KeySchema", format!("has two keys of type {role}"));
        }
    }
    if hash_key.is_none() {
        properties.problem("KeySchema", "has no HASH key");
    }
    (hash_key, range_key)
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>
pub(super) fn queue(id: &str, identity: &Identity, targets: &Targets, mut properties: Properties<'_>) -> Queue {
    properties.take("QueueName");
    if properties.boolean("FifoQueue", false) {
        properties.problem("FifoQueue", "FIFO queues cannot be run on this machine");
    } else if identity.name.contains('.') {
        properties.problem("QueueName", "has a dot, which only the names of FIFO queues have");
    }
    let visibility_timeout = properties.number("VisibilityTimeout", 30, 0..=43_200);
    let retention = properties.number("MessageRetentionPeriod", 345_600, 60..=1_209_600);
    properties.number("ReceiveMessageWaitTimeSeconds", 0, 0..=20);
    let redrive = properties.has("RedrivePolicy").then(|| redrive(identity.arn(), targets, &mut properties)).flatten();
    let size = properties.number("MaximumMessageSize", MESSAGE_MAX, 1024..=MESSAGE_MAX);
    if size != MESSAGE_MAX {
        properties.warn(format_args!("messages of up to {MESSAGE_MAX} bytes are taken on this machine"));
    }
    properties.finish(
        &["KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "RedriveAllowPolicy", "SqsManagedSseEnabled", "Tags"],
        &["DelaySeconds"],
    );
    Queue {
        logical_id: id.to_owned(),
        name: identity.name.clone(),
        arn: identity.arn().to_owned(),
        url: identity.reference.clone(),
        visibility_timeout,
        retention,
        message_max: size,
        redrive,
    }
}

fn redrive(own: &str, targets: &Targets, properties: &mut Properties<'_>) -> Option<(String, u32)> {
    let mut policy = properties.below("RedrivePolicy");
    let target = policy.required("deadLetterTargetArn");
    if !policy.has("maxReceiveCount") {
        policy.problem("maxReceiveCount", "is missing");
    }
    let count = policy.number("maxReceiveCount", 1, 1..=1000);
    if let Some(target) = &target {
        targets.queue(target, "deadLetterTargetArn", &mut policy);
        if target == own {
            policy.problem("deadLetterTargetArn", "is the queue itself");
        }
    }
    policy.finish(&[], &[]);
    Some((target?, count))
}

/// A dead-letter queue before every queue that redrives to it.
pub(super) fn order_queues(queues: &mut Vec<Queue>) {
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
