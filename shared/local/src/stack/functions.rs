//! The functions of a stack.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Options;
use super::telemetry::Telemetry;
use crate::count::Relay;
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
