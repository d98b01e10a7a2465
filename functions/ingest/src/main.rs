//! The `ingest` function: its configuration, its clients, and the loop.

use std::time::Duration;

use ingest::Ingest;
use ingest::schemas::Schemas;
use lambda_runtime::{LambdaEvent, run, service_fn};
use penstock::Limits;
use penstock::producer::Producer;
use penstock_aws::clock::{SystemClock, jitter};
use penstock_aws::config::{Reader, process_environment};
use penstock_aws::metrics::Metrics;
use penstock_aws::{KinesisStream, SchemaTable, Sdk};
use penstock_schema::policy::Undeclared;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let mut env = Reader::new(process_environment);
    let stream = env.required("PENSTOCK_STREAM", "the name of the Kinesis stream");
    let keys = env.json("PENSTOCK_PARTITION_KEYS");
    let put_seconds = env.number("PENSTOCK_PUT_SECONDS", 5, 1..=28);
    let schemas_table = env.optional("PENSTOCK_SCHEMAS_TABLE");
    let undeclared_types = match env.choice("PENSTOCK_UNDECLARED_TYPES", ["pass", "reject"]) {
        "reject" => Undeclared::Reject,
        _ => Undeclared::Pass,
    };
    let log_share = env.number("PENSTOCK_LOG_SHARE", 0.001, 0.0..=1.0);
    let metrics = Metrics::new(&penstock_aws::metrics::namespace(&env), None);
    let traces = penstock_aws::trace::start("ingest");
    env.finish()?;

    let sdk = Sdk::from_env().await;
    let stream = KinesisStream::new(sdk.kinesis_for_puts(), stream);
    let producer = Producer::new(stream, SystemClock, jitter as fn() -> f64);
    let registry = schemas_table.map(|table| SchemaTable::new(sdk.dynamodb(), table));
    let schemas = Schemas::new(registry, undeclared_types);
    let ingest = Ingest::new(producer, SystemClock, keys, schemas, Limits::DEFAULT).telling(metrics, traces, log_share);
    let ingest = &ingest.waiting(Duration::from_secs(put_seconds));
    // boxed once a request: the compiler would otherwise lay out the SDK's futures as part of this one
    let answer =
        async |event: LambdaEvent<_>| Box::pin(ingest.handle(event)).await.map_err(lambda_runtime::Error::from);
    run(service_fn(answer)).await
}
