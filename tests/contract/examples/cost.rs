//! What a group's bookkeeping costs: DynamoDB's units, as the service itself counts them, and a window's memory.
//!
//!     cargo run --release -p contract --example cost
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it measures and prints")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::{batch_execute_statement, batch_get_item, get_item, put_item, query, update_item};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use penstock::batch::{Record, ShardBatch};
use penstock::fingerprint::{Fingerprint, Fingerprinter};
use penstock::projection::Refusal;
use penstock::settle::{Handling, Projecting, Settings, Settler, Work};
use penstock::time::Timestamp;
use penstock::window::{Age, Counts, Segment, Window};
use penstock::{Event, EventHandler, Failure, HandlerContext, Position, Projection, ShardId};
use penstock_aws::{GroupConfig, Ports, StateTable, StateWrites};
use penstock_local::services::{self, Services};
use penstock_local::template::model;

const BATCHES: u64 = 20;
const EVENTS: u64 = 500;
const KEYS: u64 = 100;

/// Asks for the capacity of each call and adds it up, by operation.
#[derive(Debug, Clone, Default)]
struct Meter(Arc<Mutex<BTreeMap<&'static str, (u64, f64)>>>);

macro_rules! metered {
    ($($name:literal, $module:ident, $input:ident, $output:ident;)*) => {
        impl Intercept for Meter {
            fn name(&self) -> &'static str {
                "meter"
            }
            fn modify_before_serialization(
                &self,
                context: &mut BeforeSerializationInterceptorContextMut<'_>,
                _: &RuntimeComponents,
                _: &mut ConfigBag,
            ) -> Result<(), BoxError> {
                $(if let Some(input) = context.input_mut().downcast_mut::<$module::$input>() {
                    input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
                })*
                Ok(())
            }
            fn read_after_deserialization(
                &self,
                context: &AfterDeserializationInterceptorContextRef<'_>,
                _: &RuntimeComponents,
                _: &mut ConfigBag,
            ) -> Result<(), BoxError> {
                if let Ok(output) = context.output_or_error() {
                    $(if let Some(output) = output.downcast_ref::<$module::$output>() {
                        let units = output.consumed_capacity.units();
                        let mut sums = self.0.lock().unwrap();
                        let sum = sums.entry($name).or_default();
                        *sum = (sum.0 + 1, sum.1 + units);
                    })*
                }
                Ok(())
            }
        }
    };
}

/// A call on one item tells of its capacity, and one on many of that of each table.
trait Units {
    fn units(&self) -> f64;
}

impl Units for Option<ConsumedCapacity> {
    fn units(&self) -> f64 {
        self.as_ref().and_then(ConsumedCapacity::capacity_units).expect("the service counts")
    }
}

impl Units for Option<Vec<ConsumedCapacity>> {
    fn units(&self) -> f64 {
        self.iter().flatten().map(|table| table.capacity_units().expect("the service counts")).sum()
    }
}

metered! {
    "UpdateItem", update_item, UpdateItemInput, UpdateItemOutput;
    "PutItem", put_item, PutItemInput, PutItemOutput;
    "GetItem", get_item, GetItemInput, GetItemOutput;
    "Query", query, QueryInput, QueryOutput;
    "BatchGetItem", batch_get_item, BatchGetItemInput, BatchGetItemOutput;
    "BatchExecuteStatement", batch_execute_statement, BatchExecuteStatementInput, BatchExecuteStatementOutput;
}

struct Nothing;

impl EventHandler for Nothing {
    async fn handle(&self, _: &Event, _: &HandlerContext<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

struct Count;

impl Projection for Count {
    type State = u64;
    fn fold(&self, state: Option<u64>, _: &Event) -> Result<u64, Refusal> {
        Ok(state.unwrap_or(0) + 1)
    }
}

fn batch(first: u64, events: u64) -> ShardBatch {
    let record = |n: u64| {
        let data = format!(r#"{{"specversion":"1.0","id":"{n}","source":"/cost","type":"t"}}"#);
        let sequence = format!("49680497862775739260483894113445589547591{:015}", n + 1);
        Record {
            sequence: sequence.parse().unwrap(),
            arrival: Timestamp(now()),
            partition_key: format!("key-{}", n % KEYS),
            data: data.into(),
        }
    };
    ShardBatch { shard: ShardId::new("shardId-000000000000"), records: (first..first + events).map(record).collect() }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

async fn settle<W: Work>(group: &str, meter: &Meter, settler: &Settler<W, Ports>, first: u64, sizes: &[u64]) {
    meter.0.lock().unwrap().clear();
    let mut next = first;
    for size in sizes {
        let settled = Box::pin(settler.settle(&batch(next, *size), Timestamp(now() + 60_000))).await.unwrap();
        assert_eq!(settled.counts.handled, *size);
        next += size;
    }
    let sums = meter.0.lock().unwrap().clone();
    let (mut writes, mut reads) = (0.0, 0.0);
    for (operation, (calls, units)) in &sums {
        println!("{group:<22} {operation:<21} {calls:>5} calls {units:>8.1} units");
        if matches!(*operation, "UpdateItem" | "PutItem" | "BatchExecuteStatement") {
            writes += units
        } else {
            reads += units
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let thousands = (next - first) as f64 / 1000.0;
    println!(
        "{group:<22} for 1,000 events: {:.1} write units, {:.1} read units\n",
        writes / thousands,
        reads / thousands
    );
}

/// Resident bytes of this process (Linux).
fn resident() -> u64 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn window(events_a_second: u64) {
    let events = events_a_second * 15 * 60;
    let before = resident();
    let mut window = Window::new(Age::Arrival);
    for part in 0..events / EVENTS {
        let fingerprint = |n: u64| Fingerprint((part * EVENTS + n).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let now = Timestamp(1_700_000_000_000);
        window.add(&segment(part, now, now, (0..EVENTS).map(fingerprint).collect()));
    }
    let bytes = resident() - before;
    println!(
        "window of 15 minutes at {events_a_second} events/s: {} events, {} MiB, {} bytes an event",
        window.len(),
        bytes >> 20,
        bytes / events
    );
}

/// Four hours of backlog, worked off: what the window takes at its largest.
fn backlog(events_a_second: u64) {
    let (hours, horizon) = (4, Duration::from_secs(900));
    let (arrived, now) = (Timestamp(1_700_000_000_000), Timestamp(1_700_000_000_000 + hours * 3_600_000));
    let mut window = Window::new(Age::Arrival);
    let (mut names, mut bytes) = (0, 0);
    for part in 0..hours * 3600 * events_a_second / EVENTS {
        let arrival = arrived.plus(Duration::from_millis(part * EVENTS * 1000 / events_a_second));
        window.sweep(arrival.minus(horizon), horizon / 8);
        let fingerprint = |n: u64| Fingerprint((part * EVENTS + n).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        window.add(&segment(part, arrival, now, (0..EVENTS).map(fingerprint).collect()));
        (names, bytes) = (names.max(window.len()), bytes.max(window.bytes()));
    }
    println!("{hours} hours of backlog at {events_a_second} events/s: at most {names} names, {} MiB", bytes >> 20);
}

fn segment(part: u64, arrival: Timestamp, at: Timestamp, handled: Vec<Fingerprint>) -> Segment {
    Segment {
        epoch: part + 1,
        part: 0,
        at,
        arrival,
        through: Position::start(),
        handled,
        ahead: Vec::new(),
        top: Position::start(),
        counts: Counts::default(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    window(1000);
    window(5000);
    backlog(1000);
    backlog(5000);
    println!();
    let services = Services::start(services::Options {
        state_dir: None,
        account_id: "000000000000".to_owned(),
        region: "eu-central-1".to_owned(),
        ports: services::Ports::default(),
        metrics: penstock_local::metrics::MetricStore::default(),
    });
    let services = services.await.unwrap();
    let key = |name: &str| model::KeyAttribute { name: name.to_owned(), kind: "S".to_owned() };
    let table = |name: &str, range: Option<&str>| model::Table {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        arn: format!("arn:aws:dynamodb:eu-central-1:000000000000:table/{name}"),
        hash_key: key("pk"),
        range_key: range.map(key),
        ttl_attribute: None,
    };
    let stream = model::Stream {
        logical_id: "stream".to_owned(),
        name: "stream".to_owned(),
        arn: "arn:aws:kinesis:eu-central-1:000000000000:stream/stream".to_owned(),
        shards: 1,
        retention: Duration::from_secs(24 * 3600),
    };
    let tables = [table("progress", None), table("window", Some("sk")), table("state", None)];
    services.create(&[stream], &tables, &[]).await.unwrap();

    let meter = Meter::default();
    let clients = services.clients();
    let config = clients.dynamodb.config().to_builder().interceptor(meter.clone()).build();
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(config);
    let ports = |group: &str| {
        let config = GroupConfig {
            log_share: 0.0,
            metrics_namespace: String::new(),
            group: group.to_owned(),
            stream: "stream".to_owned(),
            progress_table: "progress".to_owned(),
            window_table: "window".to_owned(),
            dead_letter_queue_url: String::new(),
            fingerprint_key: "cost".to_owned(),
            horizon: Duration::from_secs(900),
            attempts_max: 3,
            patience: Duration::from_secs(60),
            concurrency: 64,
            memory_mb: 512,
            state_writes: StateWrites::Batches,
        };
        Ports::of_clients(clients.kinesis.clone(), dynamodb.clone(), clients.sqs.clone(), &config)
    };
    let settings = |group: &str| Settings::new(group, "stream");
    let projection = || {
        let states = StateTable::new(dynamodb.clone(), "state", StateWrites::Batches);
        let work = Projecting::new(Count, states, 1 << 20);
        Settler::new(settings("projection"), Fingerprinter::new("cost"), work, ports("projection"))
    };
    println!("{BATCHES} batches of {EVENTS} events, {KEYS} keys\n");
    let sizes = [EVENTS; BATCHES as usize];
    let handler = Settler::new(settings("handler"), Fingerprinter::new("cost"), Handling(Nothing), ports("handler"));
    settle("handler", &meter, &handler, 0, &sizes).await;
    settle("projection", &meter, &projection(), 0, &sizes).await;

    println!("one batch of 1,000 events, {KEYS} keys\n");
    let forgetful = projection();
    let first = BATCHES * EVENTS;
    // the first batch of a process reads the windows as well
    settle("handler", &meter, &handler, first, &[1000]).await;
    settle("states loaded", &meter, &forgetful, first, &[1000]).await;
    settle("states remembered", &meter, &forgetful, first + 1000, &[1000]).await;
}
