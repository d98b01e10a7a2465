//! `penstock status`: how each group is doing on each shard, and whether something is wrong.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock::time::Timestamp;
use penstock_admin::findings::{Finding, findings};
use penstock_admin::status::{GroupStatus, ShardStatus, Status};
use serde_json::json;

use crate::tail::clock;
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
    let header = ["group", "shard", "position", "oldest unsettled", "epoch", "attempts", "retried", "failing since"];
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
            failing_since(shard),
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

/// When the first of the events that are retried failed for the first time, and how often it has.
fn failing_since(shard: &ShardStatus) -> String {
    let first = shard.failing.first();
    first.map_or("-".to_owned(), |event| {
        let times = if event.attempts == 1 { "once".to_owned() } else { format!("{} times", event.attempts) };
        format!("{}, {times}", clock(event.since_ms))
    })
}

fn wrong(finding: &Finding) -> String {
    let group = finding.group.as_ref().map(|group| format!("{group}: ")).unwrap_or_default();
    format!("WRONG {group}{} - {}", finding.what, finding.page)
}

#[cfg(test)]
mod tests {
    use penstock::ShardId;
    use penstock_admin::status::FailingEvent;

    use super::*;

    #[test]
    fn a_shard_says_since_when_its_event_fails() {
        let shard = |number: u32, failing: Vec<FailingEvent>| ShardStatus {
            shard: ShardId::new(&format!("shardId-{number:012}")),
            position: Some("49500000000000000.3".to_owned()),
            iterator_age_ms: Some(61_234),
            drained: false,
            unknown: false,
            epoch: 7,
            attempts: 0,
            retried: failing.len(),
            failing,
            suspect: None,
        };
        let event =
            |position: &str, attempts, since_ms| FailingEvent { position: position.to_owned(), attempts, since_ms };
        let failing = vec![event("495.9", 4, 1_795_457_250_000), event("495.4", 1, 1_795_457_300_000)];
        let (group, function) = ("orders".to_owned(), "orders-1".to_owned());
        let shards = vec![shard(0, failing.clone()), shard(1, Vec::new()), shard(2, failing[1..].to_vec())];
        let group = GroupStatus { group, function, shards, dead_letters: 0, redriven: 0 };
        let (stack, stream) = ("shop".to_owned(), "events".to_owned());
        let status = Status { stack, stream, groups: vec![group], give_ups: 0, failed_give_ups: 0 };

        let text = lines(&status, &[]).join("\n");
        let row = |shard: &str| text.lines().find(|line| line.contains(shard)).unwrap().to_owned();
        assert!(row("shardId-000000000000").ends_with("2026-11-23T18:07:30Z, 4 times"), "{text}");
        assert!(row("shardId-000000000001").ends_with('-'), "{text}");
        assert!(row("shardId-000000000002").ends_with("2026-11-23T18:08:20Z, once"), "{text}");

        let json = terminal::json(&status).unwrap();
        assert!(json.contains(r#""since_ms": 1795457250000"#), "{json}");
    }
}
