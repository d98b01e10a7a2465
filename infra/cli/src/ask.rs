//! `penstock state` and `penstock dlq`: what became of events, and sending dead letters back.

use std::process::ExitCode;

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock_local::dead_letters;

use crate::record::Record;
use crate::terminal::{self, harmless, json_line, note, say};

/// Prints the state of a key.
pub(crate) async fn state(port: u16, group: &str, key: &str) -> anyhow::Result<ExitCode> {
    let record = Record::of_running(port).await?;
    let table = record.group(group)?.get("PENSTOCK_STATE_TABLE");
    let table = table.with_context(|| format!("`{group}` is not a projection: it keeps no states"))?;
    let clients = penstock_local::Clients::new(&record.environment);
    let answer = clients
        .dynamodb
        .get_item()
        .table_name(table)
        .key("pk", AttributeValue::S(key.to_owned()))
        .consistent_read(true)
        .send()
        .await
        .context("cannot read the state table")?;
    let text = |name| answer.item().and_then(|item| item.get(name)).and_then(|value| value.as_s().ok());
    let Some(applied) = text("applied") else {
        note(&format!("`{group}` has no state for `{key}`"));
        return Ok(ExitCode::FAILURE);
    };
    let state: serde_json::Value = match text("state") {
        Some(state) => serde_json::from_str(state).context("the stored state is not JSON")?,
        None => serde_json::Value::Null,
    };
    say(&terminal::json(&state)?);
    let applied: penstock::Position = applied.parse().context("the stored position cannot be read")?;
    note(&format!("applied up to {applied}"));
    Ok(ExitCode::SUCCESS)
}

/// Prints a group's dead letters.
pub(crate) async fn dead_letters(port: u16, group: &str, json: bool) -> anyhow::Result<ExitCode> {
    let record = Record::of_running(port).await?;
    let url = record.group(group)?.get("PENSTOCK_DEAD_LETTER_QUEUE_URL");
    let url = url.with_context(|| format!("the function of `{group}` has no PENSTOCK_DEAD_LETTER_QUEUE_URL"))?;
    let clients = penstock_local::Clients::new(&record.environment);
    let letters = dead_letters::peek(&clients.sqs, url).await?;
    for letter in &letters {
        if json {
            say(&json_line(letter)?);
            continue;
        }
        let part =
            if letter.parts > 1 { format!(" (part {} of {})", letter.part, letter.parts) } else { String::new() };
        say(&harmless(&format!(
            "{} {}.{}  key {}  {}: {}{part}",
            letter.shard,
            letter.sequence,
            letter.index,
            letter.partition_key,
            letter.code.as_str(),
            letter.reason
        )));
    }
    note(&format!("{} dead letters of {group}", letters.len()));
    Ok(ExitCode::SUCCESS)
}

/// Moves a group's dead letters to its redrive queue, as the button in the AWS console does.
pub(crate) async fn redrive(port: u16, group: &str) -> anyhow::Result<ExitCode> {
    let record = Record::of_running(port).await?;
    let url = record.group(group)?.get("PENSTOCK_DEAD_LETTER_QUEUE_URL");
    let url = url.with_context(|| format!("the function of `{group}` has no PENSTOCK_DEAD_LETTER_QUEUE_URL"))?;
    let clients = penstock_local::Clients::new(&record.environment);
    let moved = dead_letters::redrive(&clients.sqs, url).await?;
    note(&format!(
        "{moved} messages on their way back to {group}; what is not handled after three tries comes back \
         (`penstock dlq list --group {group}`)"
    ));
    Ok(ExitCode::SUCCESS)
}
