//! The suite against the real SDK over the embedded services: the adapters, the protocols, and the services themselves.
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::time::Duration;

use aws_sdk_kinesis::types::StreamStatus;
use contract::World;
use penstock::ShardId;
use penstock::dead_letter::{DeadLetter, assemble};
use penstock::hash::HashRange;
use penstock::ports::{Shards, States, Stream};
use penstock_aws::{GroupConfig, KinesisStream, Ports, StateTable};
use penstock_local::services::{self, Services};
use penstock_local::template::model;

const ACCOUNT: &str = "000000000000";
const REGION: &str = "eu-central-1";

struct Embedded(Services);

impl Embedded {
    async fn start() -> Self {
        let services = Services::start(services::Options {
            state_dir: None,
            account_id: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            ports: services::Ports::default(),
            metrics: penstock_local::metrics::MetricStore::default(),
        });
        let services = services.await.unwrap();
        let stream = model::Stream {
            logical_id: "stream".to_owned(),
            name: "stream".to_owned(),
            arn: format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/stream"),
            shards: 1,
            retention: Duration::from_secs(24 * 3600),
        };
        let key = |name: &str| model::KeyAttribute { name: name.to_owned(), kind: "S".to_owned() };
        let table = |name: &str, range: Option<&str>| model::Table {
            logical_id: name.to_owned(),
            name: name.to_owned(),
            arn: format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"),
            hash_key: key("pk"),
            range_key: range.map(key),
            ttl_attribute: None,
        };
        let queue = |name: &str| model::Queue {
            logical_id: name.to_owned(),
            name: name.to_owned(),
            arn: format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
            url: String::new(),
            visibility_timeout: 30,
            retention: 86_400,
            redrive: None,
        };
        let tables = [table("progress", None), table("window", Some("sk")), table("state", None)];
        services.create(&[stream], &tables, &[queue("g"), queue("h"), queue("one"), queue("other")]).await.unwrap();
        Self(services)
    }

    fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.0.sqs_url())
    }
}

impl World for Embedded {
    type Group = Ports;

    fn group(&self, name: &str) -> Ports {
        let config = GroupConfig {
            log_share: 0.0,
            metrics_namespace: String::new(),
            group: name.to_owned(),
            stream: "stream".to_owned(),
            progress_table: "progress".to_owned(),
            window_table: "window".to_owned(),
            dead_letter_queue_url: self.queue_url(name),
            fingerprint_key: "contract".to_owned(),
            horizon: Duration::from_secs(900),
            attempts_max: 3,
            concurrency: 8,
            memory_mb: 512,
        };
        let clients = self.0.clients();
        Ports::of_clients(clients.kinesis.clone(), clients.dynamodb.clone(), clients.sqs.clone(), &config)
    }

    fn states(&self) -> impl States {
        StateTable::new(self.0.clients().dynamodb.clone(), "state")
    }

    fn stream(&self) -> impl Stream {
        KinesisStream::new(self.0.clients().kinesis.clone(), "stream")
    }

    async fn split(&self, shard: &ShardId) {
        let HashRange { start, end } = self.group("g").lineage(shard).await.unwrap().unwrap().range;
        let middle = start.0 + (end.0 - start.0) / 2 + 1;
        let kinesis = &self.0.clients().kinesis;
        let request = kinesis.split_shard().stream_name("stream").shard_to_split(shard.as_str());
        request.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        loop {
            let summary = kinesis.describe_stream_summary().stream_name("stream").send().await.unwrap();
            let summary = summary.stream_description_summary.unwrap();
            if summary.stream_status == StreamStatus::Active {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn letters(&self, group: &str) -> Vec<DeadLetter> {
        let (sqs, url) = (&self.0.clients().sqs, self.queue_url(group));
        let mut bodies = Vec::new();
        loop {
            let page = sqs.receive_message().queue_url(&url).max_number_of_messages(10).send().await.unwrap();
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

contract::suite!(Embedded::start());
