//! Recovery as a Lambda function: configuration, clients, and the loop.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, run, service_fn};
use penstock::fingerprint::Fingerprinter;
use penstock::recover::Recoverer;
use serde::Deserialize;

use crate::config::{self, Reader};
use crate::group::{GroupConfig, Ports};
use crate::metrics::Metrics;
use crate::sdk::Sdk;

/// The shortest that a stream keeps records.
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>
const RETENTION_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// A group whose give-ups are recovered.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecoveredGroup {
    group: String,
    dead_letter_queue_url: String,
}

/// Turns what event source mappings gave up into dead letters of their groups, for as long as Lambda sends notices.
///
/// # Errors
/// Every variable that is missing or bad; when the Runtime API fails.
pub async fn recover_from_env() -> Result<(), lambda_runtime::Error> {
    crate::log::start(None);
    let mut reader = Reader::new(config::process_environment as fn(&str) -> Option<String>);
    reader.required("PENSTOCK_GROUPS", "JSON: for the name of each function its `group` and `deadLetterQueueUrl`");
    let groups: BTreeMap<String, RecoveredGroup> = reader.json("PENSTOCK_GROUPS");
    let mut config = GroupConfig::of(String::new(), String::new(), &mut reader);
    reader.finish()?;
    let sdk = Sdk::from_env().await;
    let fingerprints = Fingerprinter::new(&config.fingerprint_key);
    let mut recoverers = BTreeMap::new();
    for (function, RecoveredGroup { group, dead_letter_queue_url }) in groups {
        config = GroupConfig { group: group.clone(), dead_letter_queue_url, ..config };
        let (stream, outside) = (config.stream.clone(), Ports::new(&sdk, &config));
        let (fingerprints, horizon, window_bytes) = (fingerprints.clone(), config.horizon, config.window_bytes());
        let recoverer =
            Recoverer { group, stream, fingerprints, horizon, window_bytes, retention_min: RETENTION_MIN, outside };
        let metrics = Metrics::new(&config.metrics_namespace, Some(("Group", &config.group)));
        recoverers.insert(function, (recoverer, metrics));
    }
    let recoverers = &recoverers;
    let serve = move |event: LambdaEvent<SqsEvent>| async move {
        // boxed once a notice: a deep tree of futures
        Ok::<_, lambda_runtime::Error>(Box::pin(crate::lambda::recover(recoverers, event)).await)
    };
    run(service_fn(serve)).await
}
