//! `penstock status`: how each group is doing on each shard, and whether something is wrong.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock::time::Timestamp;
use penstock_admin::findings::{Finding, findings};
use penstock_admin::status::{GroupStatus, ShardStatus, Status};
use serde_json::json;

use crate::target::Target;
use crate::terminal::{self, complain, figures, say};

/// Nothing is wrong.
const WELL: u8 = 0;
/// Something is.
const WRONG: u8 = 1;
/// It cannot be told, as after an argument that clap refuses.
const UNKNOWN: u8 = 2;

/// How much of the end of a position a table shows: the whole has up to 60 digits, and the first ones are all the same.
const POSITION_END: usize = 12;

/// Options of `penstock status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How old an unsettled event may become before it counts as wrong; the alarms of a stack have their own
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    age_max: u64,
    /// Print all of it as JSON, positions in full
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Prints the status.
pub(crate) async fn run(options: Options) -> ExitCode {
    match print(&options).await {
        Ok(true) => ExitCode::from(WELL),
        Ok(false) => ExitCode::from(WRONG),
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(UNKNOWN)
        }
    }
}

/// The time, as this machine has it.
pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// Whether nothing is wrong.
async fn print(options: &Options) -> anyhow::Result<bool> {
    let operator = options.target.operator().await?;
    let status = operator.status(now()).await?;
    let found = findings(&status, Duration::from_secs(options.age_max));
    if options.json {
        say(&terminal::json(&json!({"status": status, "findings": found}))?);
    } else {
        lines(&status, &found).iter().for_each(|line| say(&terminal::harmless_lines(line)));
    }
    Ok(found.is_empty())
}

fn lines(status: &Status, found: &[Finding]) -> Vec<String> {
    let header = ["group", "shard", "position", "oldest unsettled", "epoch", "attempts", "retried"];
    let rows: Vec<_> = status.groups.iter().flat_map(rows).collect();
    let mut lines = vec![format!("stack {}, stream {}", status.stack, status.stream), figures(&header, &rows)];
    for group in &status.groups {
        let drained = group.shards.iter().filter(|shard| shard.drained).count();
        let mut waiting = format!("{}: {} dead letters", group.group, group.dead_letters);
        if group.redriven > 0 {
            waiting.push_str(&format!(", {} on their way back to it", group.redriven));
        }
        if drained > 0 {
            waiting.push_str(&format!("; {drained} shards that were split or merged are drained"));
        }
        lines.push(waiting);
    }
    if status.give_ups + status.failed_give_ups > 0 {
        lines.push(format!(
            "given up by mappings: {} notices wait for recovery, {} could not be recovered",
            status.give_ups, status.failed_give_ups
        ));
    }
    lines.push(String::new());
    match found {
        [] => lines.push("nothing is wrong".to_owned()),
        found => lines.extend(found.iter().map(wrong)),
    }
    lines
}

fn rows(group: &GroupStatus) -> Vec<Vec<String>> {
    let open = group.shards.iter().filter(|shard| !shard.drained);
    open.map(|shard| {
        vec![
            group.group.clone(),
            shard.shard.to_string(),
            shard.position.as_deref().map_or("-".to_owned(), end_of),
            oldest(shard),
            shard.epoch.to_string(),
            shard.attempts.to_string(),
            shard.retried.to_string(),
        ]
    })
    .collect()
}

fn end_of(position: &str) -> String {
    let cut = position.len().saturating_sub(POSITION_END);
    if cut == 0 { position.to_owned() } else { format!("..{}", position.get(cut..).unwrap_or(position)) }
}

fn oldest(shard: &ShardStatus) -> String {
    match shard.iterator_age_ms {
        Some(age) => format!("{}.{} s", age / 1000, age % 1000 / 100),
        None if shard.unknown => "unknown".to_owned(),
        None => "none".to_owned(),
    }
}

fn wrong(finding: &Finding) -> String {
    let group = finding.group.as_ref().map(|group| format!("{group}: ")).unwrap_or_default();
    format!("WRONG {group}{} - {}", finding.what, finding.page)
}
