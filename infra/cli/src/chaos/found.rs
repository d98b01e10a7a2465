//! What there is in the end: on the stream, in the state table, in the queues. Read from the services, not from the
//! functions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use aws_sdk_kinesis::types::ShardIteratorType;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use penstock::batch::{Delivery, Record, ShardBatch};
use penstock::fingerprint::{Fingerprint, Fingerprinter};
use penstock::time::Timestamp;
use penstock::window::{Counts, Wanted};
use penstock::{HandlerContext, ShardId};
use penstock_admin::dead_letters::peek;
use penstock_aws::WindowTable;
use penstock_local::{Group, Stack};
use serde::Deserialize;

use super::load::Place;
use super::model::Told;

/// The group whose state table is compared.
pub(super) const PROJECTION: &str = "order-status";

/// The group whose side effects are compared.
pub(super) const HANDLER: &str = "order-alerts";

/// The queue that the side effects are in, by its logical id.
const ALERTS: &str = "Alerts";

/// The stream's contents.
#[derive(Debug, Default)]
pub(super) struct OnStream {
    /// Each key's events in the order of the stream, copies included.
    pub(super) events: HashMap<String, Vec<Told>>,
    /// Every event's id and place.
    pub(super) places: HashSet<(String, Place)>,
    /// Each event's name in a window and the positions of its copies, by its key and its id.
    pub(super) copies: HashMap<(String, String), (Fingerprint, Vec<String>)>,
    /// Events by the key that the handler sends their side effects under.
    pub(super) by_effect: HashMap<String, (String, String)>,
    /// How many events there are.
    pub(super) count: u64,
    /// What is on it and is no event.
    pub(super) strange: Vec<String>,
}

/// A state as the projection stores it.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    /// Where the order is.
    pub(super) status: String,
    /// What it costs.
    pub(super) total_cents: i64,
    /// Event types and event ids.
    pub(super) history: Vec<(String, String)>,
}

/// A dead letter, by what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Letter {
    /// The order.
    pub(super) key: String,
    /// The event.
    pub(super) id: String,
    /// Why.
    pub(super) code: String,
}

/// What a group has to show.
#[derive(Debug)]
pub(super) struct Settled {
    /// Its name.
    pub(super) group: String,
    /// What it says that it settled.
    pub(super) counts: Counts,
    /// The names of the events that it says it handled.
    pub(super) handled: HashSet<Fingerprint>,
    /// Its dead letters.
    pub(super) letters: BTreeSet<Letter>,
    /// Places that its dead letters are from.
    pub(super) places: u64,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct Found {
    /// The stream.
    pub(super) stream: OnStream,
    /// The states by key.
    pub(super) states: BTreeMap<String, State>,
    /// The groups.
    pub(super) groups: Vec<Settled>,
    /// The side effects in the order of their queue, by their idempotency keys.
    pub(super) effects: Vec<String>,
}

impl Found {
    /// Reads everything. `effects` is what earlier calls have taken out of the queue, which is not put back.
    pub(super) async fn read(stack: &Stack, effects: &mut Vec<String>) -> anyhow::Result<Self> {
        let projection = stack.group(PROJECTION).with_context(|| format!("the template has no group {PROJECTION}"))?;
        take_effects(stack, effects).await?;
        let shards = shards(stack, projection).await?;
        let mut groups = Vec::new();
        for group in stack.groups() {
            groups.push(Settled::read(stack, group, &shards).await?);
        }
        Ok(Self {
            stream: OnStream::read(stack, projection, shards).await?,
            states: states(stack, projection).await?,
            groups,
            effects: effects.clone(),
        })
    }
}

impl Settled {
    async fn read(stack: &Stack, group: &Group, shards: &[String]) -> anyhow::Result<Self> {
        let messages = peek(&stack.clients().sqs, &group.dead_letter_queue, usize::MAX).await?.letters;
        let places: BTreeSet<_> = messages.iter().map(|m| (&m.shard, &m.sequence, m.index)).collect();
        let places = places.len() as u64;
        let mut letters = BTreeSet::new();
        for message in &messages {
            let bytes = BASE64_STANDARD.decode(&message.data_base64).context("a dead letter's bytes are not base64")?;
            let event: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            letters.insert(Letter {
                key: message.partition_key.clone(),
                id: event["id"].as_str().unwrap_or_default().to_owned(),
                code: message.code.as_str().to_owned(),
            });
        }
        let counts = stack.settled(group).await?;
        Ok(Self { group: group.name.clone(), counts, handled: handled(stack, group, shards).await?, letters, places })
    }
}

impl OnStream {
    /// Reads the whole stream, parents before their children: a child's id is higher.
    async fn read(stack: &Stack, group: &Group, shards: Vec<String>) -> anyhow::Result<Self> {
        let stream = variable(group, "PENSTOCK_STREAM")?;
        let names = Fingerprinter::new(variable(group, "PENSTOCK_FINGERPRINT_KEY")?);
        let client = &stack.clients().kinesis;
        let mut found = Self::default();
        for shard in shards {
            let request = client.get_shard_iterator().stream_name(stream).shard_id(&shard);
            let start = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
            let mut iterator = start.with_context(|| format!("cannot read shard {shard}"))?.shard_iterator;
            while let Some(current) = iterator {
                let page = client.get_records().shard_iterator(current).send().await;
                let page = page.with_context(|| format!("cannot read shard {shard}"))?;
                found.add(&shard, page.records(), &names)?;
                iterator = page.next_shard_iterator.filter(|_| !page.records.is_empty());
            }
        }
        Ok(found)
    }

    fn add(
        &mut self,
        shard: &str,
        records: &[aws_sdk_kinesis::types::Record],
        names: &Fingerprinter,
    ) -> anyhow::Result<()> {
        let records = records.iter().map(|record| {
            Ok(Record {
                sequence: record.sequence_number().parse()?,
                arrival: Timestamp(0),
                partition_key: record.partition_key().unwrap_or_default().to_owned(),
                data: record.data().clone().into_inner().into(),
            })
        });
        let records = records.collect::<anyhow::Result<_>>().context("a record has no sequence number")?;
        let batch = ShardBatch { shard: ShardId::new(shard), records };
        for delivery in batch.deliveries(names) {
            self.count += 1;
            self.add_event(&batch.shard, &delivery, names);
        }
        Ok(())
    }

    fn add_event(&mut self, shard: &ShardId, delivery: &Delivery, names: &Fingerprinter) {
        let Ok(content) = &delivery.content else {
            self.strange.push(format!("{} of {shard} is no event", delivery.position));
            return;
        };
        let (event, key) = (&content.event, delivery.key.as_str().to_owned());
        let data: serde_json::Value = event.data_as().unwrap_or_default();
        let about = HandlerContext {
            group: HANDLER,
            shard,
            position: &delivery.position,
            arrival: delivery.arrival,
            attempt: 1,
            epoch: 0,
            deadline: Timestamp(0),
            fingerprints: names,
        };
        let id = event.id().to_owned();
        self.by_effect.insert(about.idempotency_key(event), (key.clone(), id.clone()));
        let sequence = delivery.position.sequence.as_str().to_owned();
        let copies = self.copies.entry((key.clone(), id.clone()));
        let (_, positions) = copies.or_insert_with(|| (content.fingerprint, Vec::new()));
        positions.push(format!("{} of {shard}", delivery.position));
        self.places.insert((id.clone(), Place { shard: shard.as_str().to_owned(), sequence }));
        self.events.entry(key).or_default().push(Told {
            id,
            kind: event.kind().to_owned(),
            total_cents: data["total_cents"].as_i64(),
            reason: data["reason"].as_str().map(str::to_owned),
        });
    }
}

fn variable<'a>(group: &'a Group, name: &str) -> anyhow::Result<&'a str> {
    let value = group.environment.get(name).map(String::as_str);
    value.with_context(|| format!("the group {} has no {name}", group.name))
}

/// The stream's shards, parents before their children.
async fn shards(stack: &Stack, group: &Group) -> anyhow::Result<Vec<String>> {
    let stream = variable(group, "PENSTOCK_STREAM")?;
    let client = &stack.clients().kinesis;
    let mut request = client.list_shards().stream_name(stream);
    let mut shards = Vec::new();
    loop {
        let page = request.send().await.context("cannot list the shards")?;
        shards.extend(page.shards().iter().map(|shard| shard.shard_id().to_owned()));
        match page.next_token {
            Some(token) => request = client.list_shards().next_token(token),
            None => break,
        }
    }
    shards.sort();
    Ok(shards)
}

/// The names of all events that a group's windows say were handled.
async fn handled(stack: &Stack, group: &Group, shards: &[String]) -> anyhow::Result<HashSet<Fingerprint>> {
    let (table, stream) = (variable(group, "PENSTOCK_WINDOW_TABLE")?, variable(group, "PENSTOCK_STREAM")?);
    // all there is: what is past the horizon has been handled too
    let windows = WindowTable::new(stack.clients().dynamodb.clone(), table, &group.name, stream, Duration::ZERO);
    let mut handled = HashSet::new();
    for shard in shards {
        let segments = windows.load(&ShardId::new(shard), &Wanted::all(0)).await;
        let segments = segments.with_context(|| format!("cannot read the window of {shard}"))?;
        handled.extend(segments.into_iter().flat_map(|segment| segment.handled));
    }
    Ok(handled)
}

async fn states(stack: &Stack, group: &Group) -> anyhow::Result<BTreeMap<String, State>> {
    let table = variable(group, "PENSTOCK_STATE_TABLE")?;
    let request = stack.clients().dynamodb.scan().table_name(table).consistent_read(true);
    let mut pages = request.into_paginator().items().send();
    let mut states = BTreeMap::new();
    while let Some(item) = pages.next().await {
        let item = item.context("cannot read the state table")?;
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
        // a key whose every event was refused has an item without a state
        if let (Some(key), Some(state)) = (text("pk"), text("state")) {
            let state = serde_json::from_str(state).with_context(|| format!("the state of {key} cannot be read"))?;
            states.insert(key.clone(), state);
        }
    }
    Ok(states)
}

/// What an alert is recognised by.
#[derive(Deserialize)]
struct Alert {
    idempotency_key: String,
}

/// Takes the side effects out of their queue, in its order.
async fn take_effects(stack: &Stack, effects: &mut Vec<String>) -> anyhow::Result<()> {
    let queue = stack.pipeline().queues.iter().find(|queue| queue.logical_id == ALERTS);
    let url = &queue.with_context(|| format!("the template has no queue {ALERTS}"))?.url;
    let sqs = &stack.clients().sqs;
    loop {
        let page = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await;
        let messages = page.context("cannot read the alerts")?.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(());
        }
        for message in messages {
            let alert: Alert =
                serde_json::from_str(message.body().unwrap_or_default()).context("an alert cannot be read")?;
            effects.push(alert.idempotency_key);
            let handle = message.receipt_handle().unwrap_or_default();
            sqs.delete_message()
                .queue_url(url)
                .receipt_handle(handle)
                .send()
                .await
                .context("cannot delete an alert")?;
        }
    }
}
