//! Logs: JSON lines as CloudWatch likes them, or text for a terminal.

use tracing_subscriber::EnvFilter;

/// Starts logging to standard output. `PENSTOCK_LOG` takes a level or a filter (`info`,
/// `penstock=debug,warn`); `AWS_LAMBDA_LOG_FORMAT=Text`, which Lambda sets from `LoggingConfig`, asks for text.
pub fn start() {
    let get = crate::config::process_environment;
    let filter = get("PENSTOCK_LOG")
        .or_else(|| get("AWS_LAMBDA_LOG_LEVEL"))
        .unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(filter.to_lowercase()).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let started = if get("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("text")) {
        builder.with_target(false).without_time().compact().try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init()
    };
    // a second start, as tests do it, keeps the first
    drop(started);
}
