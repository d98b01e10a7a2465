//! The services as their users have them: real SDK clients over HTTP.

mod create;
mod kinesis;
mod metrics;
mod sqs;
mod state;

use std::path::Path;
use std::time::Duration;

use crate::template::model::{KeyAttribute, Queue, Stream, Table};

use crate::services::{Options, Ports, Services};

const ACCOUNT: &str = "000000000000";
const REGION: &str = "eu-central-1";

fn options(state_dir: Option<&Path>) -> Options {
    Options {
        state_dir: state_dir.map(Path::to_owned),
        account_id: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        ports: Ports::default(),
        metrics: crate::metrics::MetricStore::default(),
    }
}

async fn start(state_dir: Option<&Path>) -> Services {
    Services::start(options(state_dir)).await.unwrap()
}

fn stream(name: &str, shards: u32) -> Stream {
    Stream {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        arn: format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"),
        shards,
        retention: Duration::from_secs(48 * 3600),
    }
}

fn table(name: &str, range_key: Option<&str>) -> Table {
    let key = |name: &str| KeyAttribute { name: name.to_owned(), kind: "S".to_owned() };
    Table {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        arn: format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"),
        hash_key: key("pk"),
        range_key: range_key.map(key),
        ttl_attribute: Some("expires".to_owned()),
    }
}

fn queue(name: &str, redrive: Option<(&str, u32)>) -> Queue {
    Queue {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        arn: queue_arn(name),
        url: String::new(),
        visibility_timeout: 60,
        retention: 86_400,
        message_max: 1_048_576,
        redrive: redrive.map(|(target, count)| (queue_arn(target), count)),
    }
}

fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

fn queue_url(services: &Services, name: &str) -> String {
    format!("{}/{ACCOUNT}/{name}", services.sqs_url())
}
