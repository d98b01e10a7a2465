//! `penstock state`: what a projection keeps for a key.

use std::process::ExitCode;
use std::time::Duration;

use penstock_admin::states::StateOfKey;

use crate::target::Target;
use crate::terminal::{self, json_line, many, note, say};

/// How long a group may take to settle what was accepted before it is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options of `penstock state`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The consumer group
    group: String,
    /// The partition key, an order's id for example; without one, keys and their states are listed
    key: Option<String>,
    /// List so many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Do not wait for the group to settle what was accepted before
    #[arg(long)]
    now: bool,
    /// Print the state and the position that it has come to as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Prints the state of a key.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options { group, key, limit, now, json, target } = options;
    let operator = target.operator().await?;
    let parts = operator.group(&group)?;
    let Some(key) = key else {
        let (states, more) = operator.states(parts, limit as usize).await?;
        for state in &states {
            say(&if json { json_line(state)? } else { line(state) });
        }
        let more = if more { ", and there are more: see --limit" } else { "" };
        note(&format!("{} of {group}{more}", many(states.len(), "key")));
        return Ok(ExitCode::SUCCESS);
    };
    let behind = if now { None } else { Some(!operator.caught_up(parts, &key, crate::status::now(), PATIENCE).await?) };
    let still = match behind {
        Some(true) => format!("; after {} s it is still at events that were accepted before", PATIENCE.as_secs()),
        Some(false) => "; it has settled what was accepted before".to_owned(),
        None => "; it may still be at events that were accepted before".to_owned(),
    };
    let Some(found) = operator.state(parts, &key).await? else {
        note(&terminal::harmless(&format!("`{group}` has no state for `{key}`{still}")));
        return Ok(ExitCode::FAILURE);
    };
    if json {
        say(&json_line(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    // for people: members are sorted, and `--json` has them as they were written
    let state: serde_json::Value = match &found.state {
        Some(state) => serde_json::from_str(state.get())?,
        None => serde_json::Value::Null,
    };
    say(&terminal::json(&state)?);
    note(&terminal::harmless(&format!("applied up to {}{still}", found.applied)));
    Ok(ExitCode::SUCCESS)
}

fn line(state: &StateOfKey) -> String {
    let json = state.state.state.as_ref().map_or("null", |state| state.get());
    terminal::harmless(&format!("{}  {json}", state.key))
}

#[cfg(test)]
mod tests {
    use penstock_admin::states::KeyState;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn a_key_steers_no_terminal() -> anyhow::Result<()> {
        let json = RawValue::from_string("{\"b\":\"\u{202e}\"}".to_owned())?;
        let state = KeyState { state: Some(json), applied: "1.0".to_owned() };
        let state = StateOfKey { key: "a\u{1b}[2J\u{9b}".to_owned(), state };
        assert_eq!(line(&state), "a\\u{1b}[2J\\u{9b}  {\"b\":\"\\u{202e}\"}");
        Ok(())
    }
}
