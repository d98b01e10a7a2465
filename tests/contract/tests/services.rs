//! The suite against the real SDK: the adapters, the protocols, and the services themselves. Over the embedded services, or
//! over those at `PENSTOCK_ENDPOINT`, where each check leaves what it has made: give it an emulator that is thrown away.
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::types::StreamStatus;
use contract::World;
use penstock::ShardId;
use penstock::dead_letter::{DeadLetter, assemble};
use penstock::hash::HashRange;
use penstock::ports::{Shards, States, Stream};
use penstock_aws::config::process_environment;
use penstock_aws::{Clients, GroupConfig, KinesisStream, Ports, SchemaTable, StateTable, StateWrites};
use penstock_local::Endpoints;
use penstock_local::services::{self, Services};
use penstock_local::template::model;
use penstock_schema::registry::Registry;

const ACCOUNT: &str = "000000000000";
const REGION: &str = "eu-central-1";

struct Served {
    clients: Clients,
    /// What the names here begin with: an endpoint serves many checks.
    prefix: String,
    queues: BTreeMap<String, String>,
    _embedded: Option<Services>,
}

impl Served {
    async fn start() -> Self {
        let Some(endpoint) = process_environment("PENSTOCK_ENDPOINT") else {
            let services = Services::start(services::Options {
                state_dir: None,
                account_id: ACCOUNT.to_owned(),
                region: REGION.to_owned(),
                ports: services::Ports::default(),
                metrics: penstock_local::metrics::MetricStore::default(),
            });
            let services = services.await.unwrap();
            return Self::over(services.clients().clone(), String::new(), Some(services)).await;
        };
        let clients = Clients::from_environment(&Endpoints::emulated(&endpoint).environment());
        Self::over(clients, format!("c{}-", uuid::Uuid::new_v4().simple()), None).await
    }

    async fn over(clients: Clients, prefix: String, embedded: Option<Services>) -> Self {
        let stream = model::Stream {
            logical_id: "stream".to_owned(),
            name: format!("{prefix}stream"),
            arn: format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{prefix}stream"),
            shards: 1,
            retention: Duration::from_secs(24 * 3600),
        };
        let key = |name: &str| model::KeyAttribute { name: name.to_owned(), kind: "S".to_owned() };
        let table = |name: &str, range: Option<&str>| model::Table {
            logical_id: name.to_owned(),
            name: format!("{prefix}{name}"),
            arn: format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{prefix}{name}"),
            hash_key: key("pk"),
            range_key: range.map(key),
            ttl_attribute: None,
        };
        let queue = |name: &str| model::Queue {
            logical_id: name.to_owned(),
            name: format!("{prefix}{name}"),
            arn: format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{prefix}{name}"),
            url: String::new(),
            visibility_timeout: 30,
            retention: 86_400,
            message_max: 1_048_576,
            redrive: None,
        };
        let tables =
            [table("progress", None), table("window", Some("sk")), table("state", None), table("schemas", Some("sk"))];
        let names = ["g", "h", "one", "other"];
        services::create(&clients, "", (&[stream], &tables, &names.map(queue))).await.unwrap();
        let mut queues = BTreeMap::new();
        for name in names {
            let found = clients.sqs.get_queue_url().queue_name(format!("{prefix}{name}")).send().await.unwrap();
            queues.insert(name.to_owned(), found.queue_url.unwrap());
        }
        Self { clients, prefix, queues, _embedded: embedded }
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// As a function reads it: some emulators have no `BatchExecuteStatement`.
fn state_writes() -> StateWrites {
    match process_environment("PENSTOCK_STATE_WRITES").as_deref() {
        Some("single") => StateWrites::Single,
        _ => StateWrites::Batches,
    }
}

impl World for Served {
    type Group = Ports;

    fn group(&self, name: &str) -> Ports {
        let config = GroupConfig {
            log_share: 0.0,
            metrics_namespace: String::new(),
            group: name.to_owned(),
            stream: self.named("stream"),
            progress_table: self.named("progress"),
            window_table: self.named("window"),
            dead_letter_queue_url: self.queues[name].clone(),
            fingerprint_key: "contract".to_owned(),
            horizon: Duration::from_secs(900),
            attempts_max: 3,
            patience: Duration::from_secs(60),
            concurrency: 8,
            memory_mb: 512,
            state_writes: state_writes(),
        };
        let clients = &self.clients;
        Ports::of_clients(clients.kinesis.clone(), clients.dynamodb.clone(), clients.sqs.clone(), &config)
    }

    fn states(&self) -> impl States {
        StateTable::new(self.clients.dynamodb.clone(), self.named("state"), state_writes())
    }

    fn schemas(&self) -> impl Registry {
        SchemaTable::new(self.clients.dynamodb.clone(), self.named("schemas"))
    }

    fn stream(&self) -> impl Stream {
        KinesisStream::new(self.clients.kinesis.clone(), self.named("stream"))
    }

    async fn split(&self, shard: &ShardId) {
        let HashRange { start, end } = self.group("g").lineage(shard).await.unwrap().unwrap().range;
        let middle = start.0 + (end.0 - start.0) / 2 + 1;
        let (kinesis, name) = (&self.clients.kinesis, self.named("stream"));
        let request = kinesis.split_shard().stream_name(&name).shard_to_split(shard.as_str());
        request.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        loop {
            let summary = kinesis.describe_stream_summary().stream_name(&name).send().await.unwrap();
            let summary = summary.stream_description_summary.unwrap();
            if summary.stream_status == StreamStatus::Active {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn letters(&self, group: &str) -> Vec<DeadLetter> {
        let (sqs, url) = (&self.clients.sqs, &self.queues[group]);
        let mut bodies = Vec::new();
        loop {
            let page = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await.unwrap();
            let messages = page.messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            bodies.extend(messages.into_iter().filter_map(|message| message.body));
        }
        let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
        let (assembled, unreadable) = assemble(&bodies, group);
        assert_eq!(unreadable, []);
        assembled.into_iter().map(|assembled| assembled.letter).collect()
    }
}

contract::suite!(Served::start());
