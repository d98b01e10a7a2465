//! `penstock state`: what a projection keeps for a key.

use std::process::ExitCode;

use crate::target::Target;
use crate::terminal::{self, json_line, note, say};

/// Options of `penstock state`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The consumer group
    group: String,
    /// The partition key, an order's id for example
    key: String,
    /// Print the state and the position that it has come to as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Prints the state of a key.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options { group, key, json, target } = options;
    let operator = target.operator().await?;
    let Some(found) = operator.state(operator.group(&group)?, &key).await? else {
        note(&terminal::harmless(&format!("`{group}` has no state for `{key}`")));
        return Ok(ExitCode::FAILURE);
    };
    if json {
        say(&json_line(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    // members in their order, as they were written
    let state: serde_json::Value = match &found.state {
        Some(state) => serde_json::from_str(state.get())?,
        None => serde_json::Value::Null,
    };
    say(&terminal::json(&state)?);
    note(&format!("applied up to {}", found.applied));
    Ok(ExitCode::SUCCESS)
}
