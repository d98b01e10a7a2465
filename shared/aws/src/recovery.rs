//! Recovery as a Lambda function: configuration, clients, the stack's groups, and the loop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, run, service_fn};
use penstock::fingerprint::Fingerprinter;
use penstock::recover::Recoverer;

use crate::config::{self, Reader};
use crate::deployment::{self, Deployment, GroupParts};
use crate::group::{GroupConfig, Ports};
use crate::metrics::Metrics;
use crate::sdk::Sdk;

/// The shortest that a stream keeps records.
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>
const RETENTION_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Turns what event source mappings gave up into dead letters of their groups, for as long as Lambda sends notices.
///
/// # Errors
/// Every variable that is missing or bad; when the Runtime API fails.
pub async fn recover_from_env() -> Result<(), lambda_runtime::Error> {
    crate::log::start(None);
    let mut reader = Reader::new(config::process_environment as fn(&str) -> Option<String>);
    let stack = reader.required("PENSTOCK_STACK", "the id of the CloudFormation stack whose outputs name the groups");
    let config = GroupConfig::of(String::new(), String::new(), &mut reader);
    reader.finish()?;
    let recoveries = &Recoveries { sdk: Sdk::from_env().await, stack, config, known: Mutex::default() };
    let serve = move |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, lambda_runtime::Error>(crate::lambda::recover(recoveries, event).await)
    };
    run(service_fn(serve)).await
}

/// What recovers for one group.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) recoverer: Recoverer<Ports>,
    pub(crate) metrics: Metrics,
}

/// What recovers for each group of the stack. Groups come and go while an environment lives.
#[derive(Debug)]
pub struct Recoveries {
    sdk: Sdk,
    stack: String,
    config: GroupConfig,
    known: Mutex<BTreeMap<String, Arc<Recovery>>>,
}

/// Why nothing recovers for a function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("the stack does not say which groups it has: {0}")]
    Stack(#[from] deployment::Error),
    #[error("no group is known whose function is `{0}`: no output of the stack describes one")]
    Function(String),
}

impl Recoveries {
    /// What recovers for the group whose function is `function`. The stack is asked about one that is not known yet.
    pub(crate) async fn of(&self, function: &str) -> Result<Arc<Recovery>, Unknown> {
        if let Some(known) = self.known().get(function) {
            return Ok(Arc::clone(known));
        }
        let deployment = Deployment::find(&self.sdk.cloudformation(), &self.stack).await?;
        let found = deployment.groups.into_values().map(|parts| (parts.function.clone(), Arc::new(self.make(parts))));
        let mut known = self.known();
        *known = found.collect();
        known.get(function).cloned().ok_or_else(|| Unknown::Function(function.to_owned()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Recovery>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, parts: GroupParts) -> Recovery {
        let config =
            GroupConfig { group: parts.group, dead_letter_queue_url: parts.dead_letters, ..self.config.clone() };
        let recoverer = Recoverer {
            group: config.group.clone(),
            stream: config.stream.clone(),
            fingerprints: Fingerprinter::new(&config.fingerprint_key),
            horizon: config.horizon,
            window_bytes: config.window_bytes(),
            retention_min: RETENTION_MIN,
            outside: Ports::new(&self.sdk, &config),
        };
        let metrics = Metrics::new(&config.metrics_namespace, Some(("Group", &config.group)));
        Recovery { recoverer, metrics }
    }
}
