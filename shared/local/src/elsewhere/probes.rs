//! What somebody else's services cannot do: tried on a stream, a table and queues that are made for it and
//! removed again.
//!
//! Each finding is one sentence that says what a user will not see there. A service that does all that is tried here may
//! still be wrong elsewhere; the contract suite tries more (`docs/localstack.md`).

use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob as Bytes;
use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementErrorCodeEnum, BatchStatementRequest, ReturnValue};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType, StreamStatus};
use aws_sdk_sqs::types::QueueAttributeName;
use penstock::SequenceNumber;
use penstock_aws::Clients;

use super::{Elsewhere, clean};
use crate::services::create::tables;
use crate::template::model::{KeyAttribute, Table};

/// No probe takes longer: what cannot be found out by then is told so.
const PROBE_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
/// Half of the hash keys are below it.
const HALF: &str = "170141183460469231731687303715884105728";
/// More small records than a shard takes in a second. <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
const MANY: usize = 1500;
/// Records of one PutRecords.
const PUT_MAX: usize = 500;

type Probed = anyhow::Result<Vec<String>>;

impl Elsewhere {
    /// What these services cannot do. An account can do all of it, and is not asked.
    pub(crate) async fn probe(&self, stack: &str) -> Vec<String> {
        if self.endpoints.kinesis.is_none() {
            return Vec::new();
        }
        let name = format!("{stack}-probe-{}", uuid::Uuid::new_v4().simple());
        let (stream, queues, table) = tokio::join!(
            within(resharding(&self.clients, &name)),
            within(queues(&self.clients, &name)),
            within(table(&self.clients, &name))
        );
        let mut found = told("Kinesis", stream);
        found.extend(told("DynamoDB", table));
        if self.has_statements.get() == Some(&false) {
            found.push(
                "this DynamoDB has no BatchExecuteStatement that works: each state is written by a call".to_owned(),
            );
        }
        found.extend(told("SQS", queues));
        // what a probe that broke off has left
        _ = clean::delete_stream(&self.clients, &name).await;
        _ = clean::delete_table(&self.clients, &name).await;
        for queue in [format!("{name}-redrive"), format!("{name}-letters")] {
            _ = clean::delete_queue(&self.clients, &queue).await;
        }
        found
    }
}

async fn within(probe: impl Future<Output = Probed>) -> Probed {
    let probed = tokio::time::timeout(PROBE_MAX, probe).await;
    probed.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", PROBE_MAX.as_secs())))
}

fn told(service: &str, probed: Probed) -> Vec<String> {
    match probed {
        Ok(found) => found.into_iter().map(|what| format!("this {service} {what}")).collect(),
        Err(error) => vec![format!("this {service} could not be tried out: {error:#}")],
    }
}

/// Splits a shard, reads both generations, and puts more than a shard takes.
async fn resharding(clients: &Clients, name: &str) -> Probed {
    let kinesis = &clients.kinesis;
    let mut found = Vec::new();
    kinesis.create_stream().stream_name(name).shard_count(1).send().await?;
    active(clients, name).await?;
    let put = async || kinesis.put_record().stream_name(name).partition_key("p").data(Blob::new("p")).send().await;
    let before = put().await?;
    tokio::time::sleep(POLL).await;
    put().await?;
    let parent = before.shard_id().to_owned();

    let iterator = kinesis.get_shard_iterator().stream_name(name).shard_id(&parent);
    let mut iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
    if let Some(here) = iterator.take() {
        let page = kinesis.get_records().shard_iterator(here).limit(1).send().await?;
        if page.millis_behind_latest.unwrap_or(0) == 0 {
            found.push("says of every read that it has reached the tip (MillisBehindLatest is 0)".to_owned());
        }
        iterator = page.next_shard_iterator;
    }

    let first: SequenceNumber = before.sequence_number().parse()?;
    let behind =
        kinesis.get_shard_iterator().stream_name(name).shard_id(&parent).starting_sequence_number(first.as_str());
    let behind = behind.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).send().await;
    let read = match behind.ok().and_then(|behind| behind.shard_iterator) {
        Some(behind) => kinesis.get_records().shard_iterator(behind).send().await?.records.len(),
        None => 0,
    };
    if read != 1 {
        found.push(format!(
            "gives {read} records behind a sequence number where one is (its numbers look like {}): a restart of `dev` does not \
             read on, and `status` and `recover` are wrong",
            before.sequence_number()
        ));
    }

    let split =
        kinesis.split_shard().stream_name(name).shard_to_split(&parent).new_starting_hash_key(HALF).send().await;
    if let Err(error) = split {
        found.push(format!("does not split shards: {}", code(&error)));
        return Ok(found);
    }
    active(clients, name).await?;
    match generations(clients, iterator).await? {
        Parent::Ends { names_children: true } => {}
        Parent::Ends { names_children: false } => {
            found.push("does not name the children of a shard that has ended; they are found by listing".to_owned());
        }
        Parent::NeverEnds => {
            found.push(
                "lets a shard that was split never end, so its children are not read: do not reshard there".to_owned(),
            );
        }
        Parent::Unreadable(code) => {
            found.push(format!(
                "cannot be read where a shard was split ({code}), and loses what was on it: do not reshard there"
            ));
        }
    }
    let after = put().await?;
    let number = |text: &str| text.parse::<SequenceNumber>();
    if after.shard_id() == parent {
        found.push("puts records on a shard that was split, and not on its children: do not reshard there".to_owned());
    } else if number(after.sequence_number())? <= number(before.sequence_number())? {
        found.push(
            "begins its sequence numbers anew on each shard: after a split a group takes new events for old ones"
                .to_owned(),
        );
    }
    if !throttles(clients, name).await? {
        found.push("takes more than 1,000 records a second on a shard: backpressure cannot be seen".to_owned());
    }
    kinesis.delete_stream().stream_name(name).send().await?;
    Ok(found)
}

/// What became of a shard that was split.
enum Parent {
    Ends { names_children: bool },
    NeverEnds,
    Unreadable(String),
}

async fn generations(clients: &Clients, mut iterator: Option<String>) -> anyhow::Result<Parent> {
    let mut names_children = false;
    for _ in 0..10 {
        let Some(here) = iterator else { return Ok(Parent::Ends { names_children }) };
        match clients.kinesis.get_records().shard_iterator(here).send().await {
            Ok(page) => {
                names_children |= !page.child_shards().is_empty();
                iterator = page.next_shard_iterator;
            }
            Err(error) => return Ok(Parent::Unreadable(code(&error))),
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(Parent::NeverEnds)
}

async fn active(clients: &Clients, name: &str) -> anyhow::Result<()> {
    loop {
        let summary = clients.kinesis.describe_stream_summary().stream_name(name).send().await?;
        let status = summary.stream_description_summary.map(|summary| summary.stream_status);
        if status == Some(StreamStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn throttles(clients: &Clients, name: &str) -> anyhow::Result<bool> {
    for _ in 0..MANY / PUT_MAX {
        let entry = PutRecordsRequestEntry::builder().partition_key("p").explicit_hash_key("0").data(Blob::new("p"));
        let entries = vec![entry.build()?; PUT_MAX];
        let put = clients.kinesis.put_records().stream_name(name).set_records(Some(entries)).send().await?;
        if put.failed_record_count.unwrap_or(0) > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes what the window and the states are made of.
async fn table(clients: &Clients, name: &str) -> Probed {
    let dynamodb = &clients.dynamodb;
    let key = KeyAttribute { name: "pk".to_owned(), kind: "S".to_owned() };
    let table = Table {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        arn: String::new(),
        hash_key: key,
        range_key: None,
        ttl_attribute: None,
    };
    tables::ensure(dynamodb, &table, "").await?;
    let mut found = Vec::new();
    let put = dynamodb.put_item().table_name(name).item("pk", AttributeValue::S("p".to_owned()));
    // a segment of no names, and a state of which nothing was refused
    if let Err(error) = put.item("b", AttributeValue::B(Bytes::new([]))).send().await {
        found.push(format!("refuses an empty binary ({}): no group can settle anything on it", code(&error)));
    }
    let update = dynamodb.update_item().table_name(name).key("pk", AttributeValue::S("q".to_owned()));
    let update =
        update.update_expression("ADD n :one").expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
    let updated = update.return_values(ReturnValue::AllNew).send().await;
    let counted = updated.ok().and_then(|updated| updated.attributes?.get("n").cloned());
    if counted != Some(AttributeValue::N("1".to_owned())) {
        found.push("does not count up and say to what: no group can begin a run on it".to_owned());
    }
    Ok(found)
}

/// Whether a DynamoDB judges the conditional statements of a call, tried on an item that is not there.
pub(super) async fn has_statements(clients: &Clients, table: &str) -> bool {
    let update = format!(r#"UPDATE "{table}" SET "a" = ? SET "b" = ? WHERE "pk" = ? AND "revision" = ?"#);
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let values = vec![text("a"), text("b"), text("penstock-probe"), AttributeValue::N("1".to_owned())];
    let statement = BatchStatementRequest::builder().statement(update).set_parameters(Some(values)).build();
    let Ok(statement) = statement else { return false };
    let answer = clients.dynamodb.batch_execute_statement().statements(statement).send().await;
    let responses = answer.ok().and_then(|answer| answer.responses).unwrap_or_default();
    let code = responses.first().and_then(|response| response.error.as_ref()?.code.clone());
    code == Some(BatchStatementErrorCodeEnum::ConditionalCheckFailed)
}

/// Receives a message too often, and moves it back.
async fn queues(clients: &Clients, name: &str) -> Probed {
    let sqs = &clients.sqs;
    let mut found = Vec::new();
    let letters = sqs.create_queue().queue_name(format!("{name}-letters")).send().await?.queue_url.unwrap_or_default();
    let arn = arn(clients, &letters).await?;
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}"#);
    let queue = sqs.create_queue().queue_name(format!("{name}-redrive"));
    let queue = queue.attributes(QueueAttributeName::RedrivePolicy, policy).send().await?.queue_url.unwrap_or_default();
    sqs.send_message().queue_url(&queue).message_body("p").send().await?;
    for _ in 0..5 {
        sqs.receive_message().queue_url(&queue).visibility_timeout(0).send().await?;
        tokio::time::sleep(POLL).await;
    }
    if !has_message(clients, &letters).await? {
        found.push("does not move a message that was received too often to its dead-letter queue".to_owned());
        sqs.send_message().queue_url(&letters).message_body("p").send().await?;
    }
    let target = self::arn(clients, &queue).await?;
    match sqs.start_message_move_task().source_arn(arn).destination_arn(target).send().await {
        Err(error) => {
            let what = "refuses to move messages back to their queue";
            found.push(format!("{what} ({}): `dlq redrive` receives and sends them one by one", code(&error)));
        }
        Ok(_) => {
            let mut moved = false;
            for _ in 0..20 {
                moved = has_message(clients, &queue).await?;
                if moved {
                    break;
                }
                tokio::time::sleep(POLL).await;
            }
            if !moved {
                found.push("takes a task to move messages back and moves none: `dlq redrive` does nothing".to_owned());
            }
        }
    }
    Ok(found)
}

async fn has_message(clients: &Clients, url: &str) -> anyhow::Result<bool> {
    let counts =
        [QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible];
    let asked =
        clients.sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(counts.to_vec())).send().await?;
    Ok(asked.attributes.unwrap_or_default().values().any(|count| count != "0"))
}

async fn arn(clients: &Clients, url: &str) -> anyhow::Result<String> {
    let name = QueueAttributeName::QueueArn;
    let asked = clients.sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await?;
    Ok(asked.attributes.and_then(|attributes| attributes.get(&name).cloned()).unwrap_or_default())
}

fn code<E: aws_sdk_kinesis::error::ProvideErrorMetadata>(error: &E) -> String {
    error.code().unwrap_or("an error without a code").to_owned()
}
