//! `penstock dlq`: looking at dead letters, and sending them back.

use std::process::ExitCode;

use penstock::dead_letter::Message;
use serde_json::json;

use crate::target::Target;
use crate::terminal::{harmless, json_line, many, note, say};

/// What is done with dead letters.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List a group's dead letters; they stay in the queue
    List {
        /// The consumer group
        #[arg(long)]
        group: String,
        /// List so many at most; while it looks, nobody else sees those
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print each letter as one line of JSON, its bytes included
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Send a group's dead letters back to it
    Redrive {
        /// The consumer group
        #[arg(long)]
        group: String,
        /// Print what was begun as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { group, limit, json, target } => list(&group, limit as usize, json, &target).await,
        Command::Redrive { group, json, target } => redrive(&group, json, &target).await,
    }
}

async fn list(group: &str, limit: usize, json: bool, target: &Target) -> anyhow::Result<ExitCode> {
    let operator = target.operator().await?;
    let found = operator.dead_letters(operator.group(group)?, limit).await?;
    for letter in &found.letters {
        say(&if json { json_line(letter)? } else { line(letter) });
    }
    for other in &found.others {
        note(&harmless(&format!("message {} is no dead letter ({}): {}", other.message_id, other.why, other.begins)));
    }
    let more = if found.more { ", and there are more: see --limit" } else { "" };
    note(&format!("{} of {group}{more}", many(found.letters.len(), "dead letter")));
    Ok(ExitCode::SUCCESS)
}

fn line(letter: &Message) -> String {
    let part = if letter.parts > 1 { format!(" (part {} of {})", letter.part, letter.parts) } else { String::new() };
    harmless(&format!(
        "{} {}.{}  key {}  {}: {}{part}",
        letter.shard,
        letter.sequence,
        letter.index,
        letter.partition_key,
        letter.code.as_str(),
        letter.reason
    ))
}

async fn redrive(group: &str, json: bool, target: &Target) -> anyhow::Result<ExitCode> {
    let operator = target.operator().await?;
    let moved = operator.redrive(operator.group(group)?).await?;
    if json {
        say(&json_line(&json!({"group": group, "messages": moved}))?);
    }
    note(&format!(
        "{moved} messages on their way back to {group}; what is not handled after three tries comes back \
         (`penstock dlq list --group {group}{}`)",
        target.flags()
    ));
    Ok(ExitCode::SUCCESS)
}
