//! The functions of a stack.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::telemetry::Telemetry;
use crate::count::{Relay, relay};
use crate::lambda::{Function, FunctionConfig};
use crate::metrics::MetricStore;
use crate::metrics::emf::EmfReader;
use crate::platform::Platform;
use crate::template::Pipeline;

/// Environments of one function at once, unless it reserves fewer: each is a process. AWS's default is 1,000 an account.
const CONCURRENCY_MAX: u32 = 50;

/// Every function of the template, ready to be invoked; what it logs is read for metrics too.
pub(super) fn start(
    pipeline: &Pipeline,
    platform: &Platform,
    binaries: &Path,
    options: &Options,
    telemetry: &Telemetry,
    metrics: &MetricStore,
    relays: &BTreeMap<String, Relay>,
) -> anyhow::Result<BTreeMap<String, Function>> {
    let mut functions = BTreeMap::new();
    let reader = Arc::new(EmfReader::new(metrics.clone()));
    for function in &pipeline.functions {
        let mut environment = platform.environment();
        // people read it here, and not CloudWatch
        environment.insert("AWS_LAMBDA_LOG_FORMAT".to_owned(), "Text".to_owned());
        environment.extend(function.environment.clone());
        telemetry.complete(&mut environment);
        if let Some(relay) = relays.get(&function.logical_id) {
            environment.extend(relay.clone());
            // whoever counts wants the bytes that CloudWatch would be given
            environment.insert("AWS_LAMBDA_LOG_FORMAT".to_owned(), "JSON".to_owned());
        }
        let config = FunctionConfig {
            name: function.name.clone(),
            arn: function.arn.clone(),
            binary: binaries.join(&function.binary),
            timeout: options.timeout_max.map_or(function.timeout, |max| max.min(function.timeout)),
            memory_mb: function.memory_mb,
            environment,
            max_concurrency: function.reserved_concurrency.unwrap_or(CONCURRENCY_MAX) as usize,
            on_timeout: options.on_timeout,
        };
        let (name, log, reader) = (function.binary.clone(), options.log.clone(), Arc::clone(&reader));
        let sink = Arc::new(move |line: &str| {
            reader.read(&name, line);
            log(&name, line);
        });
        let started = Function::new(config, sink, metrics)?;
        functions.insert(function.logical_id.clone(), started);
    }
    Ok(functions)
}

/// A relay for each function, by its logical id, if calls are to be counted.
pub(super) async fn relays(
    pipeline: &Pipeline,
    platform: &Platform,
    options: &Options,
    stop: &CancellationToken,
) -> anyhow::Result<BTreeMap<String, Relay>> {
    let mut relays = BTreeMap::new();
    if let Some(counter) = &options.count {
        // a relay changes what others would have signed
        ensure!(options.services.is_none(), "calls to somebody else's services cannot be counted");
        for function in &pipeline.functions {
            let relay = relay(counter, &function.binary, &platform.environment(), stop).await?;
            relays.insert(function.logical_id.clone(), relay);
        }
    }
    Ok(relays)
}
