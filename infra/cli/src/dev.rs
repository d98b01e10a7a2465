//! `penstock dev`: the pipeline of `template.yaml`, up until Ctrl-C, or for as long as the demo takes.

mod exports;
mod services;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use penstock_admin::Operator;
use penstock_aws::Clients;
use penstock_local::gateway;
use penstock_local::lambda::OnTimeout;
use penstock_local::metrics::StateChange;
use penstock_local::{Profile, Stack};

use crate::alarm;
use crate::record::Record;
use crate::terminal::{harmless, note, say};

/// The port that `penstock dev` listens on unless told otherwise.
pub(crate) const PORT: u16 = 7070;

/// The exit code after Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// How a line begins that is metrics.
const METRICS: &str = "{\"_aws\":";

/// Options of `penstock dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Send the sample orders, watch the groups settle them, check that the sums add up, and stop
    #[arg(long)]
    demo: bool,
    /// The port of the HTTP API on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Keep everything in this folder across restarts; without it everything is in memory
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The template
    #[arg(long, default_value = "template.yaml")]
    template: PathBuf,
    #[command(flatten)]
    services: services::Services,
    /// Write the variables that point an AWS SDK, the AWS CLI or a debugger at the services into this file, as `export` lines
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// Hand requests on to the function as this edge of AWS does
    #[arg(long, value_enum, default_value_t = Edge::HttpApi)]
    edge: Edge,
    /// Set a parameter of the template
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Build and run the functions as they are deployed; slower to build
    #[arg(long)]
    release: bool,
    /// Show every line that the functions log: during the demo too, and those that are metrics
    #[arg(long)]
    verbose: bool,
    /// Let the periods of the template's alarms pass N times faster: a period of a minute then lasts 60/N seconds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60))]
    alarm_speed: u32,
    /// Let no invocation of a function take longer, whatever the template allows: to see what a function that hangs does
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout_max: Option<u64>,
}

/// What stands before the function.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Edge {
    /// An HTTP API, payload 2.0, as the template has it
    HttpApi,
    /// A REST API, payload 1.0
    RestApi,
    /// A function URL, payload 2.0
    FunctionUrl,
}

impl From<Edge> for gateway::Edge {
    fn from(edge: Edge) -> Self {
        match edge {
            Edge::HttpApi => Self::HttpApi,
            Edge::RestApi => Self::RestApi,
            Edge::FunctionUrl => Self::FunctionUrl,
        }
    }
}

pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What this process was told about telemetry, for the functions: they inherit nothing else.
fn telemetry() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with("OTEL_")).collect()
}

/// Runs the command.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let root = crate::project()?;
    let template = root.join(&options.template);
    let demo = options.demo;
    let verbose = options.verbose;
    let quiet = demo && !verbose;
    let stack = penstock_local::Options {
        root: root.clone(),
        template,
        parameters: options.parameters.iter().cloned().collect(),
        state: options.state.clone(),
        stack_name: options.services.stack.clone(),
        services: options.services.endpoints().await?,
        clean: options.services.clean,
        service_ports: options.services.ports()?,
        edge: options.edge.into(),
        port: options.port,
        profile: if options.release { Profile::Release } else { Profile::Dev },
        binaries: None,
        timeout_max: options.timeout_max.map(Duration::from_secs),
        on_timeout: OnTimeout::Kill,
        alarm_speed: options.alarm_speed,
        telemetry: Some(telemetry()),
        count: None,
        on_alarm: std::sync::Arc::new(move |change: &StateChange| {
            if !demo {
                alarm::lines(change).iter().for_each(|line| note(line));
            }
        }),
        log: std::sync::Arc::new(move |function: &str, line: &str| {
            // metrics are read, and not for people
            if !quiet && (verbose || !line.starts_with(METRICS)) {
                note(&format!("{function:<14} | {line}"));
            }
        }),
        progress: std::sync::Arc::new(|step: &str| note(step)),
    };
    if let Some(endpoints) = &stack.services {
        not_shared(endpoints, &stack.stack_name).await?;
    }
    // one listener from the start to the end, or a signal in between would be lost
    let mut interrupted = std::pin::pin!(interrupted());
    let mut stack = tokio::select! {
        stack = Stack::start(stack) => stack?,
        result = &mut interrupted => {
            result?;
            note("interrupted before it was up: nothing was accepted");
            if options.services.clean {
                note("streams, tables and queues that were made by then are still there; the next start with --clean removes them");
            }
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    for warning in &stack.pipeline().warnings {
        note(&format!("note: {warning}"));
    }
    // whatever happens from here on, what was started is stopped
    let running = async {
        let (id, endpoint) = (stack.id().to_owned(), stack.endpoint().to_owned());
        let record = Record { id, endpoint, environment: stack.environment(), stack: options.services.stack.clone() };
        if let Some(file) = &options.env {
            exports::write(file, &record.environment)?;
        }
        // somebody's own credentials are not for the screen
        let exports = exports::are_made_up(&record.environment).then(|| exports::lines(&record.environment));
        let _published = record.publish(stack.port())?;
        let operator = Operator::find(Clients::from_environment(&record.environment), &record.stack).await;
        if demo {
            Box::pin(crate::demo::run(&stack, &root, &operator?, interrupted)).await
        } else {
            publish_schemas(operator, &root).await;
            serve(&mut stack, exports, interrupted).await
        }
    };
    let result = running.await;
    let stopped = stack.shutdown().await;
    let code = result?;
    stopped?;
    Ok(code)
}

/// Publishes the project's schemas. Without them the pipeline works all the same.
async fn publish_schemas<E>(operator: Result<Operator, E>, root: &Path)
where
    anyhow::Error: From<E>,
{
    let published = async { crate::schema::publish_own(&operator?, root).await };
    match published.await {
        Ok(told) => told.iter().for_each(|line| note(line)),
        Err(error) => note(&harmless(&format!("the schemas are not published: {error:#}"))),
    }
}

/// Two pipelines on the same streams and tables would take turns at fencing each other off.
async fn not_shared(endpoints: &penstock_local::Endpoints, stack: &str) -> anyhow::Result<()> {
    let wanted = endpoints.environment();
    for (port, other) in Record::others().await {
        let same = ["AWS_ENDPOINT_URL_KINESIS", "AWS_REGION", "AWS_ACCESS_KEY_ID"]
            .iter()
            .all(|name| other.environment.get(*name) == wanted.get(*name));
        if same && other.stack == stack {
            anyhow::bail!(
                "the `penstock dev` on port {port} uses the stack `{stack}` there already; give this one another name with --stack"
            );
        }
    }
    Ok(())
}

async fn serve(
    stack: &mut Stack,
    exports: Option<String>,
    interrupted: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<ExitCode> {
    let endpoint = stack.endpoint();
    let names: Vec<_> = stack.groups().iter().map(|group| group.name.as_str()).collect();
    let flag = if stack.port() == PORT { String::new() } else { format!(" --port {}", stack.port()) };
    say(&format!("listening on {endpoint}, consumer groups: {}", names.join(", ")));
    say("");
    say("post an event:");
    say(&format!("  curl -i {endpoint}/v1/events -H 'content-type: application/cloudevents+json' \\"));
    say(
        r#"    -d '{"specversion":"1.0","id":"1","source":"shop/web","type":"shop.order.placed","subject":"ORDER-1","data":{"order_id":"ORDER-1","customer_id":"CUST-1","currency":"EUR","total_cents":1999,"items":[{"sku":"SKU-1","quantity":1,"unit_price_cents":1999}]}}'"#,
    );
    say("see what became of it:");
    say(&format!("  cargo penstock state{flag} order-status ORDER-1"));
    say(&format!("  cargo penstock trace{flag} 1"));
    say("send the samples:");
    say(&format!("  cargo penstock send{flag} events/samples/orders.ndjson"));
    say("see how the groups are doing, what rings, and all metrics:");
    say(&format!("  cargo penstock status{flag}"));
    say(&format!("  cargo penstock alarms{flag}"));
    say(&format!("  curl {endpoint}/_penstock/metrics"));
    if let Some(exports) = exports {
        say("point the AWS CLI, boto3 or an IDE at its services (--env FILE writes these lines):");
        exports.lines().for_each(|line| say(&format!("  {line}")));
    }
    say("");
    say("Ctrl-C stops it");
    tokio::select! {
        result = interrupted => result?,
        error = stack.failed() => return Err(error),
    }
    note("stopping");
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C, or for SIGTERM where there is one.
pub(crate) async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
