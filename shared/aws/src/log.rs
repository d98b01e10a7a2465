//! Logs: JSON lines as CloudWatch likes them, or text for a terminal.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// What a command logs unless it is asked for more. The embedded DynamoDB warns of every condition that does not hold,
/// which is how the protocol works.
const COMMAND_FILTER: &str = "warn,dynoxide=error";

/// Starts logging warnings to standard error as plain text, for a command. `PENSTOCK_LOG` asks for more.
pub fn start_for_command() {
    let filter = crate::config::process_environment("PENSTOCK_LOG").unwrap_or_else(|| COMMAND_FILTER.to_owned());
    let filter = EnvFilter::try_new(filter.to_lowercase()).unwrap_or_else(|_| EnvFilter::new(COMMAND_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    drop(builder.event_format(Plain).try_init());
}

/// Starts logging to standard output. `PENSTOCK_LOG` takes a level or a filter (`info`,
/// `penstock=debug,warn`); `AWS_LAMBDA_LOG_FORMAT=Text`, which Lambda sets from `LoggingConfig`, asks for text.
pub fn start() {
    let get = crate::config::process_environment;
    let filter = get("PENSTOCK_LOG").or_else(|| get("AWS_LAMBDA_LOG_LEVEL")).unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(filter.to_lowercase()).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let started = if get("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("text")) {
        builder.event_format(Plain).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    // a second start, as tests do it, keeps the first
    drop(started);
}

/// A line for a terminal: level, message, fields. The spans are left out: the runtime's repeat the request id on every line.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(to, "{:>5} ", event.metadata().level())?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}
