//! `penstock alarms`: which alarms ring, why, and where to read on.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use penstock_local::metrics::{AlarmState, State};

use crate::alarm::one_line;
use crate::record::Record;
use crate::terminal::{self, complain, harmless, say};

/// None rings.
const QUIET: u8 = 0;
/// One does.
const RINGING: u8 = 1;
/// It cannot be told, as after an argument that clap refuses.
const UNKNOWN: u8 = 2;

/// Options of `penstock alarms`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print every alarm as JSON, those that ring first
    #[arg(long)]
    json: bool,
    /// Print those that do not ring too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    running: crate::Running,
}

/// Prints the alarms.
pub(crate) async fn run(options: Options) -> ExitCode {
    let alarms = match alarms(options.running.port).await {
        Ok(alarms) => alarms,
        Err(error) => {
            complain(&format!("{error:#}"));
            return ExitCode::from(UNKNOWN);
        }
    };
    if options.json {
        // what was JSON can be written as JSON
        say(&terminal::json(&alarms).unwrap_or_default());
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        lines(&alarms, options.all, now_ms).iter().for_each(|line| say(line));
    }
    ExitCode::from(if alarms.iter().any(rings) { RINGING } else { QUIET })
}

/// Those that ring first, otherwise in the order of the template.
async fn alarms(port: u16) -> anyhow::Result<Vec<AlarmState>> {
    let record = Record::of_running(port).await?;
    let alarms = record.ask("/alarms").await?;
    let mut alarms: Vec<AlarmState> = serde_json::from_str(&alarms).context("the pipeline's answer cannot be read")?;
    alarms.sort_by_key(|alarm| order(alarm.state));
    Ok(alarms)
}

fn order(state: State) -> u8 {
    match state {
        State::Alarm => 0,
        State::InsufficientData => 1,
        State::Ok => 2,
    }
}

fn rings(alarm: &AlarmState) -> bool {
    alarm.state == State::Alarm
}

/// An alarm in a line, and below it what the template says about it; last how many there are that are not shown.
fn lines(alarms: &[AlarmState], all: bool, now_ms: u64) -> Vec<String> {
    if alarms.is_empty() {
        return vec!["the template has no alarms that can be evaluated here".to_owned()];
    }
    let (shown, others): (Vec<_>, Vec<_>) = alarms.iter().partition(|alarm| all || rings(alarm));
    let mut lines = Vec::new();
    for alarm in shown {
        let AlarmState { name, state, reason, description, since_ms } = alarm;
        let since = since(now_ms.saturating_sub(*since_ms));
        lines.push(format!("{state} {} for {since}: {}", harmless(name), harmless(reason)));
        if !description.trim().is_empty() {
            lines.push(format!("  {}", harmless(&one_line(description))));
        }
    }
    let count = |state| others.iter().filter(|alarm| alarm.state == state).count();
    let counts = [State::Ok, State::InsufficientData].map(|state| (count(state), state));
    let counts: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, state)| format!("{n} {state}")).collect();
    if !counts.is_empty() {
        lines.push(format!("{} (--all shows them)", counts.join(", ")));
    }
    lines
}

fn since(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(name: &str, state: State, since_ms: u64) -> AlarmState {
        AlarmState {
            name: name.into(),
            state,
            reason: "1 of 1 datapoint > 0 (3)".into(),
            description: "It is\n late: docs/runbook/lag.md \u{1b}[2J".into(),
            since_ms,
        }
    }

    #[test]
    fn one_that_rings_is_shown_with_its_reason_and_its_page_and_the_others_are_counted() {
        let alarms = [
            alarm("Late", State::Alarm, 0),
            alarm("A", State::InsufficientData, 0),
            alarm("B", State::Ok, 0),
            alarm("C", State::Ok, 0),
        ];
        assert_eq!(
            lines(&alarms, false, 119_999),
            [
                "ALARM Late for 119 s: 1 of 1 datapoint > 0 (3)",
                "  It is late: docs/runbook/lag.md \\u{1b}[2J",
                "2 OK, 1 INSUFFICIENT_DATA (--all shows them)",
            ]
        );
        let all = lines(&alarms, true, 125_000);
        assert_eq!((all.len(), all[2].as_str()), (8, "INSUFFICIENT_DATA A for 2 min: 1 of 1 datapoint > 0 (3)"));
        assert_eq!(lines(&alarms[2..], false, 0), ["2 OK (--all shows them)"]);
        assert_eq!(lines(&[], false, 0).len(), 1);
    }
}
