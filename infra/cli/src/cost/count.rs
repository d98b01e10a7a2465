//! `penstock cost --count`: the pipeline runs here, takes a bounded number of events in requests of several sizes, and
//! what its functions asked of AWS for them is written to `calls.json`.
//!
//! Each run sends events of one size, waits until every group has settled them, and takes the counts. A first run, which
//! is not counted, opens shards and windows: in a stack that runs, that is over.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use penstock_local::count::Counter;
use penstock_local::lambda::OnTimeout;
use penstock_local::metrics::{MetricKey, StateChange};
use penstock_local::{Profile, Stack};

use super::calls::{Calls, Entry, Function, Run};
use crate::send::Sender;
use crate::terminal::{note, say};

/// Where the count is kept, from the project's folder on.
const FILE: &str = "infra/cli/src/cost/calls.json";
/// Events of a request, and requests.
const SIZES: [(u64, u64); 3] = [(1, 300), (20, 40), (500, 6)];
/// Bytes of an event as it is sent.
const EVENT_BYTES: u64 = 300;
/// How long the groups may take for a run.
const PATIENCE: Duration = Duration::from_secs(120);
/// Groups commit, and processes log, a moment after the last event is settled.
const AFTER: Duration = Duration::from_secs(2);

/// Lines and bytes that each function logged.
type Logs = Arc<Mutex<BTreeMap<String, (u64, u64)>>>;

/// Counts, and writes the file.
pub(super) async fn run() -> anyhow::Result<ExitCode> {
    let root = crate::project()?;
    // an estimate is made of what stands in the sources: without them there is nobody to count for
    ensure!(root.join(FILE).is_file(), "there is no {FILE} here; --count is for Penstock's own repository");
    let (counter, logs) = (Counter::default(), Logs::default());
    let stack = Stack::start(options(&root, &counter, &logs));
    let stack = tokio::select! {
        stack = stack => stack?,
        result = crate::dev::interrupted() => return result.map(|()| ExitCode::FAILURE),
    };
    let runs = tokio::select! {
        runs = Box::pin(runs(&stack, &counter, &logs)) => runs,
        result = crate::dev::interrupted() => result.and_then(|()| bail!("stopped; nothing was written")),
    };
    let stopped = stack.shutdown().await;
    let calls = Calls {
        date: today(),
        command: "cargo penstock cost --count".to_owned(),
        commit: commit(&root).await,
        event_bytes: EVENT_BYTES,
        milliseconds: Calls::of_build()?.milliseconds,
        runs: runs?,
    };
    stopped?;
    let figures = calls.figures().context("the count is not whole, and was not written")?;
    std::fs::write(root.join(FILE), serde_json::to_string_pretty(&calls)? + "\n")
        .with_context(|| format!("cannot write {FILE}"))?;
    say(&format!("{figures:#?}"));
    say(&format!("written to {FILE}; the next build estimates with it"));
    Ok(ExitCode::SUCCESS)
}

fn options(root: &Path, counter: &Counter, logs: &Logs) -> penstock_local::Options {
    let sink = Arc::clone(logs);
    penstock_local::Options {
        root: root.to_owned(),
        template: root.join("template.yaml"),
        parameters: BTreeMap::new(),
        stack_name: penstock_local::STACK_NAME.to_owned(),
        services: None,
        clean: false,
        service_ports: Default::default(),
        edge: Default::default(),
        state: None,
        port: 0,
        profile: Profile::Dev,
        binaries: None,
        timeout_max: None,
        on_timeout: OnTimeout::Kill,
        alarm_speed: 1,
        telemetry: None,
        count: Some(counter.clone()),
        on_alarm: Arc::new(|_: &StateChange| {}),
        log: Arc::new(move |function: &str, line: &str| {
            let mut logs = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let (lines, bytes) = logs.entry(function.to_owned()).or_default();
            *lines += 1;
            *bytes += line.len() as u64;
        }),
        progress: Arc::new(|step: &str| note(step)),
    }
}

async fn runs(stack: &Stack, counter: &Counter, logs: &Logs) -> anyhow::Result<Vec<Run>> {
    let mut sent = 0;
    let mut runs = Vec::new();
    let warming = (20, 10);
    for (number, (size, requests)) in std::iter::once(warming).chain(SIZES).enumerate() {
        let before = invocations(stack);
        _ = (counter.take(), std::mem::take(&mut *logs.lock().unwrap_or_else(PoisonError::into_inner)));
        let events = size * requests;
        let lines: Vec<_> = (sent..sent + events).map(event).collect();
        sent += events;
        note(&format!("{requests} requests of {size} events"));
        let report = Sender::new(stack.endpoint(), usize::try_from(size)?, 30)?.send(&lines.join("\n"), |_| {}).await?;
        ensure!(report.accepted as u64 == events, "the edge took {} of {events} events", report.accepted);
        settled(stack, sent).await?;
        let after = invocations(stack);
        if number == 0 {
            continue;
        }
        let logs = std::mem::take(&mut *logs.lock().unwrap_or_else(PoisonError::into_inner));
        let function = |(function, invocations): (&String, &u64)| {
            let (log_lines, log_bytes) = logs.get(function).copied().unwrap_or_default();
            let projection = projects(stack, function);
            let invocations = invocations - before.get(function).copied().unwrap_or_default();
            Function { function: function.clone(), projection, invocations, log_lines, log_bytes }
        };
        let functions = after.iter().map(function).filter(|function| function.invocations > 0).collect();
        let calls = counter.take().into_iter().map(|(call, count)| Entry { call, count }).collect();
        runs.push(Run { events_per_request: size, requests, events, functions, calls });
    }
    Ok(runs)
}

/// An order of its own, placed, of [`EVENT_BYTES`] bytes.
fn event(number: u64) -> String {
    let text = |note: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{number:08}","source":"shop/count","type":"shop.order.placed","subject":"ORDER-{number:08}","data":{{"order_id":"ORDER-{number:08}","total_cents":1999,"note":"{note}"}}}}"#
        )
    };
    text(&"n".repeat((EVENT_BYTES as usize).saturating_sub(text("").len())))
}

/// Waits until every group has settled so many events.
async fn settled(stack: &Stack, events: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    for group in stack.groups() {
        loop {
            let counts = stack.settled(group).await?;
            ensure!(counts.dead_letters + counts.duplicates == 0, "{} did not handle all: {counts:?}", group.name);
            if counts.total() >= events {
                break;
            }
            ensure!(began.elapsed() < PATIENCE, "{} has settled {} of {events} events", group.name, counts.total());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    tokio::time::sleep(AFTER).await;
    Ok(())
}

/// Invocations since the start, by binary.
fn invocations(stack: &Stack) -> BTreeMap<String, u64> {
    let totals = stack.metrics().totals();
    let of = |name: &str| {
        let key = MetricKey::of("AWS/Lambda", "Invocations", "FunctionName", name);
        totals.get(&key).map_or(0, |totals| totals.all.sum as u64)
    };
    stack.pipeline().functions.iter().map(|function| (function.binary.clone(), of(&function.name))).collect()
}

fn projects(stack: &Stack, binary: &str) -> bool {
    let mut functions = stack.pipeline().functions.iter();
    functions.any(|function| function.binary == binary && function.environment.contains_key("PENSTOCK_STATE_TABLE"))
}

async fn commit(root: &Path) -> String {
    let mut git = tokio::process::Command::new("git");
    let output = git.current_dir(root).args(["rev-parse", "--short", "HEAD"]).output().await;
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

/// The date in UTC, by the calendar's 400-year cycle.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    date(seconds / 86_400)
}

fn date(days: u64) -> String {
    // days since 0000-03-01, so that a leap day is the last of its year
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", cycle * 400 + year + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_since_1970_are_dates() {
        assert_eq!([date(0), date(11_016), date(20_783)], ["1970-01-01", "2000-02-29", "2026-11-26"]);
    }

    #[test]
    fn an_event_has_the_bytes_that_are_counted_with() {
        assert_eq!([event(0).len() as u64, event(99_999_999).len() as u64], [EVENT_BYTES; 2]);
    }
}
