//! `penstock queue`: what waits in a queue of the stack.

use std::process::ExitCode;

use anyhow::Context;

use crate::target::Target;
use crate::terminal::{harmless, json_line, many, note, say};

/// Options of `penstock queue`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The name of the queue's output, with or without `QueueUrl`
    name: String,
    /// Show so many messages at most; while it looks, nobody else sees those, and each look counts as a receive
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print each message's body as one JSON string
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Prints the bodies of messages.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let operator = options.target.operator().await?;
    let queues = &operator.deployment().queues;
    let name = options.name.strip_suffix("QueueUrl").unwrap_or(&options.name);
    let url = queues.get(name).with_context(|| {
        let known: Vec<_> = queues.keys().map(String::as_str).collect();
        format!("no output of the stack is the URL of a queue `{name}`; there are {}", known.join(", "))
    })?;
    let (bodies, more) = operator.bodies(url, options.limit as usize).await?;
    for body in &bodies {
        say(&if options.json { json_line(body)? } else { harmless(body) });
    }
    let more = if more { ", and there are more: see --limit" } else { "" };
    note(&format!("{} in {name}{more}", many(bodies.len(), "message")));
    Ok(ExitCode::SUCCESS)
}
