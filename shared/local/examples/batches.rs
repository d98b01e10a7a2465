//! What a batch of 500 events of 100 keys takes of a group's function: calls to AWS, units, CPU time and time (Linux).
//!
//!     cargo build --release -p order-status -p order-alerts
//!     cargo run --release -p penstock-local --example batches target/release/order-status target/release/order-alerts
//!
//! Each binary is a process behind a Runtime API, before services that run here. Batches go to the binaries in turn and the
//! medians are printed, so two builds of a function can be compared. A second process of each has a relay before the
//! services, which counts; times are of the first.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it measures and prints")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use penstock_local::count::{Counter, relay};
use penstock_local::lambda::{Function, FunctionConfig, Invocation, OnTimeout};
use penstock_local::metrics::MetricStore;
use penstock_local::services::{Options, Ports, Services};
use penstock_local::template::model;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const BATCHES: u64 = 30;
const KEYS: u64 = 100;
const EVENTS_OF_A_KEY: usize = 5;

/// What a batch meets: the part of an order's life that it brings, and whether that is measured.
const PHASES: [(&str, &[&str]); 4] = [
    ("states that are not there", &["placed", "paid", "shipped", "delivered"]),
    // begins orders for the phases below
    ("", &["placed"]),
    ("states loaded", &["paid"]),
    ("states remembered", &["shipped"]),
];

/// The phase that each process is started anew before, so that it remembers nothing.
const FORGETFUL: usize = 2;

/// A binary that is measured.
struct Subject {
    binary: String,
    function: Function,
    counter: Option<Counter>,
    /// Of each batch of the phase.
    batches: Vec<Batch>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    calls: f64,
    write_units: f64,
    read_units: f64,
    cpu_ms: f64,
    wall_ms: f64,
}

impl Subject {
    fn new(binary: &str, environment: &BTreeMap<String, String>, counter: Option<Counter>) -> Self {
        let config = FunctionConfig {
            name: "measured".to_owned(),
            arn: "arn:aws:lambda:eu-central-1:000000000000:function:measured".to_owned(),
            binary: Path::new(binary).to_owned(),
            timeout: Duration::from_secs(60),
            memory_mb: 512,
            environment: environment.clone(),
            max_concurrency: 1,
            on_timeout: OnTimeout::Kill,
        };
        let function = Function::new(config, Arc::new(|_: &str| {}), &MetricStore::default()).unwrap();
        Self { binary: binary.to_owned(), function, counter, batches: Vec::new() }
    }

    async fn measure(&mut self, payload: Bytes) {
        let cpu = self.cpu_ms();
        let began = Instant::now();
        let answer = self.function.invoke(payload).await;
        let wall_ms = began.elapsed().as_secs_f64() * 1000.0;
        let Invocation::Returned(answer) = answer else { panic!("{}: {answer:?}", self.binary) };
        assert_eq!(answer, r#"{"batchItemFailures":[]}"#, "{}", self.binary);
        // what it does after it has answered is its own as well
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut batch = Batch { cpu_ms: self.cpu_ms() - cpu, wall_ms, ..Batch::default() };
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        for (call, count) in self.counter.iter().flat_map(Counter::take) {
            assert_eq!((call.service == "SQS", count.refused), (false, 0), "nothing of it goes wrong: {call:?}");
            batch.calls += count.calls as f64;
            batch.write_units += count.write_units;
            batch.read_units += count.read_units;
        }
        self.batches.push(batch);
    }

    /// CPU time of its process; nothing before there is one.
    fn cpu_ms(&self) -> f64 {
        let Some(process) = self.function.processes().into_iter().next() else { return 0.0 };
        let threads = std::fs::read_dir(format!("/proc/{}/task", process.pid)).unwrap();
        let nanoseconds = threads.map(|thread| {
            let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
            text.split(' ').next().unwrap().parse::<f64>().unwrap()
        });
        nanoseconds.sum::<f64>() / 1e6
    }

    fn median(&self, of: impl Fn(&Batch) -> f64) -> f64 {
        let mut values: Vec<f64> = self.batches.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

/// A batch of the stream: of each of its orders the `steps`, and then events that concern no order.
fn batch(number: u64, set: u64, steps: &[&str]) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut records = Vec::new();
    for event in 0..EVENTS_OF_A_KEY {
        let kind = steps.get(event).map_or("shop.stock.counted".to_owned(), |step| format!("shop.order.{step}"));
        for key in 0..KEYS {
            let order = format!("ORDER-{:06}", set * KEYS + key);
            let place = records.len() + 1;
            let data = json!({
                "specversion": "1.0", "id": format!("90917230-3949-4cec-{number:04}-{place:012}"),
                "source": "shop/web", "type": kind, "subject": order, "time": "2026-11-02T07:00:41.330Z",
                "partitionkey": order, "datacontenttype": "application/json",
                "data": {"order_id": order, "customer_id": "CUST-00263", "currency": "EUR", "total_cents": 2830,
                    "items": [{"sku": "SKU-FILTER-PAPER", "quantity": 1, "unit_price_cents": 450}]},
            });
            let sequence = format!("49680497862775739260483894113445589547591{number:07}{place:08}");
            records.push(json!({
                "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventName": "aws:kinesis:record",
                "eventID": format!("shardId-000000000000:{sequence}"),
                "awsRegion": "eu-central-1",
                "kinesis": {"kinesisSchemaVersion": "1.0", "partitionKey": order, "sequenceNumber": sequence,
                    "approximateArrivalTimestamp": now, "data": BASE64_STANDARD.encode(data.to_string())},
            }));
        }
    }
    json!({ "Records": records }).to_string().into()
}

async fn services() -> Services {
    let options = Options {
        state_dir: None,
        account_id: "000000000000".to_owned(),
        region: "eu-central-1".to_owned(),
        ports: Ports::default(),
        metrics: MetricStore::default(),
    };
    let services = Services::start(options).await.unwrap();
    let stream = model::Stream {
        logical_id: "stream".to_owned(),
        name: "stream".to_owned(),
        arn: "arn:aws:kinesis:eu-central-1:000000000000:stream/stream".to_owned(),
        shards: 1,
        retention: Duration::from_secs(24 * 3600),
    };
    services.create(&[stream], &[table("progress", None), table("window", Some("sk"))], &[]).await.unwrap();
    services
}

fn table(name: &str, range: Option<&str>) -> model::Table {
    let key = |name: &str| model::KeyAttribute { name: name.to_owned(), kind: "S".to_owned() };
    model::Table {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        arn: format!("arn:aws:dynamodb:eu-central-1:000000000000:table/{name}"),
        hash_key: key("pk"),
        range_key: range.map(key),
        ttl_attribute: None,
    }
}

/// What a group wants to know: each is a group of its own, with states of its own.
fn environment(services: &Services, group: &str) -> BTreeMap<String, String> {
    let state = format!("state-{group}");
    let own = [
        ("PENSTOCK_STREAM", "stream"),
        ("PENSTOCK_GROUP", group),
        ("PENSTOCK_PROGRESS_TABLE", "progress"),
        ("PENSTOCK_WINDOW_TABLE", "window"),
        ("PENSTOCK_STATE_TABLE", &state),
        ("PENSTOCK_DEAD_LETTER_QUEUE_URL", "http://nobody/dead-letters"),
        ("PENSTOCK_FINGERPRINT_KEY", "batches"),
        ("ALERTS_QUEUE_URL", "http://nobody/alerts"),
    ];
    let mut environment = services.environment();
    environment.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment
}

#[tokio::main]
async fn main() {
    let services = services().await;
    let stop = CancellationToken::new();
    let (mut timed, mut counted) = (Vec::new(), Vec::new());
    for (number, binary) in std::env::args().skip(1).enumerate() {
        let groups = [format!("timed-{number}"), format!("counted-{number}")];
        let tables = groups.each_ref().map(|group| table(&format!("state-{group}"), None));
        services.create(&[], &tables, &[]).await.unwrap();
        let [direct, mut relayed] = groups.each_ref().map(|group| environment(&services, group));
        let counter = Counter::default();
        relayed.extend(relay(&counter, "function", &relayed, &stop).await.unwrap());
        timed.push(Subject::new(&binary, &direct, None));
        counted.push(Subject::new(&binary, &relayed, Some(counter)));
    }
    let mut number = 0;
    for (phase, (name, steps)) in PHASES.into_iter().enumerate() {
        if phase == FORGETFUL {
            for subject in timed.iter().chain(&counted) {
                subject.function.shutdown().await;
            }
        }
        for round in 0..BATCHES {
            number += 1;
            let set = if name == PHASES[0].0 { round } else { BATCHES + round };
            let payload = batch(number, set, steps);
            for subject in timed.iter_mut().chain(&mut counted) {
                subject.measure(payload.clone()).await;
            }
        }
        for (timed, counted) in timed.iter_mut().zip(&mut counted) {
            if !name.is_empty() {
                println!(
                    "{}, {name}: {} calls, {} write units, {} read units, {:.2} ms of CPU, {:.1} ms",
                    timed.binary,
                    counted.median(|batch| batch.calls),
                    counted.median(|batch| batch.write_units),
                    counted.median(|batch| batch.read_units),
                    timed.median(|batch| batch.cpu_ms),
                    timed.median(|batch| batch.wall_ms),
                );
            }
            (timed.batches, counted.batches) = Default::default();
        }
    }
    for subject in timed.iter().chain(&counted) {
        subject.function.shutdown().await;
    }
    stop.cancel();
}
