//! Logs: JSON lines as CloudWatch likes them, or text for a terminal.
//!
//! One line for each decision that is not the normal one, one a batch or a request, and a share of what went well. No
//! payloads. Whatever a value is, it stays inside its line.

mod fields;
mod lines;

use std::sync::Arc;

use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::trace::{SpanLayer, Traces};
use lines::{Json, Plain};

/// What a command logs unless it is asked for more. The embedded DynamoDB warns of every condition that does not hold,
/// which is how the protocol works; the SDK warns of each place where it finds no credentials, and the command says that itself.
const COMMAND_FILTER: &str = "warn,dynoxide=error,aws_config=off";

/// Starts logging warnings to standard error as plain text, for a command. `PENSTOCK_LOG` asks for more.
pub fn start_for_command() {
    let filter = crate::config::process_environment("PENSTOCK_LOG").unwrap_or_else(|| COMMAND_FILTER.to_owned());
    let filter = EnvFilter::try_new(filter.to_lowercase()).unwrap_or_else(|_| EnvFilter::new(COMMAND_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    drop(builder.event_format(Plain).try_init());
}

/// Starts logging to standard output, and collecting spans for `traces`. `PENSTOCK_LOG` takes a level or a filter (`info`,
/// `penstock=debug,warn`); `AWS_LAMBDA_LOG_FORMAT=Text`, which Lambda sets from `LoggingConfig`, asks for text.
pub fn start(traces: Option<&Arc<Traces>>) {
    let get = crate::config::process_environment;
    let filter = get("PENSTOCK_LOG").or_else(|| get("AWS_LAMBDA_LOG_LEVEL")).unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(filter.to_lowercase()).unwrap_or_else(|_| EnvFilter::new("info"));
    // a line says all there is to say: spans are for traces
    let events = filter_fn(|metadata: &Metadata<'_>| metadata.is_event());
    let filter = FilterExt::<Registry>::and(filter, events);
    let lines = tracing_subscriber::fmt::Layer::<Registry>::default().with_ansi(false);
    let text = get("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("text"));
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![match text {
        true => lines.event_format(Plain).with_filter(filter).boxed(),
        false => lines.event_format(Json).with_filter(filter).boxed(),
    }];
    if let Some(traces) = traces {
        layers.push(SpanLayer(Arc::clone(traces)).with_filter(filter_fn(SpanLayer::concerns)).boxed());
    }
    let started = tracing_subscriber::registry().with(layers).try_init();
    // a second start, as tests do it, keeps the first
    drop(started);
}
