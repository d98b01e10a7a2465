//! `penstock tail`: the events of the stream as they arrive.

use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use penstock::ShardId;
use penstock::batch::Delivery;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::target::Target;
use crate::terminal::{harmless, json_line, say_on};

/// Between two rounds: a shard has five reads a second, and the groups need theirs.
const PAUSE: Duration = Duration::from_millis(500);

/// Options of `penstock tail`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Show events of this type only
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Show events of this partition key only
    #[arg(long)]
    key: Option<String>,
    /// Begin with the oldest event that the stream holds
    #[arg(long)]
    from_start: bool,
    /// Stop after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print each event as one line of JSON, whole
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Prints events until Ctrl-C, or until there were enough.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let operator = options.target.operator().await?;
    let mut tail = operator.tail(options.from_start);
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut interrupted = std::pin::pin!(crate::dev::interrupted());
    loop {
        let found = tokio::select! {
            found = tail.next() => found?,
            result = &mut interrupted => return result.map(|()| ExitCode::SUCCESS),
        };
        for (shard, event) in found.iter().filter(|(_, event)| options.wants(event)) {
            let shown = if options.json { json_line(&Whole::of(shard, event))? } else { line(shard, event) };
            left -= 1;
            // whoever reads along may have read enough
            if !say_on(&shown) || left == 0 {
                return Ok(ExitCode::SUCCESS);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            result = &mut interrupted => return result.map(|()| ExitCode::SUCCESS),
        }
    }
}

impl Options {
    fn wants(&self, event: &Delivery) -> bool {
        let kind = event.content.as_ref().ok().map(|content| content.event.kind());
        self.kind.as_deref().is_none_or(|wanted| kind == Some(wanted))
            && self.key.as_deref().is_none_or(|wanted| event.key.as_str() == wanted)
    }
}

fn line(shard: &ShardId, event: &Delivery) -> String {
    let what = match &event.content {
        Ok(content) => {
            let event = &content.event;
            format!("{}  id {}  source {}", event.kind(), event.id(), event.source())
        }
        Err(why) => format!("no event: {why}"),
    };
    let (at, bytes) = (clock(event.arrival.0), event.data.len());
    harmless(&format!("{at} {shard} {}  key {}  {what}  {bytes} bytes", event.position, event.key))
}

/// Milliseconds since the epoch as `2026-11-02T07:01:14.696Z`.
pub(crate) fn clock(ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| ms.to_string())
}

/// An event as `--json` shows it: with the bytes that it has on the stream.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    shard: &'a ShardId,
    position: String,
    arrival_ms: u64,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    /// What is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl<'a> Whole<'a> {
    fn of(shard: &'a ShardId, event: &'a Delivery) -> Self {
        let text = std::str::from_utf8(&event.data).ok();
        let raw = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        Self {
            shard,
            position: event.position.to_string(),
            arrival_ms: event.arrival.0,
            key: event.key.as_str(),
            event: raw,
            data_base64: raw.is_none().then(|| BASE64_STANDARD.encode(&event.data)),
        }
    }
}

#[cfg(test)]
mod tests {
    use penstock::batch::{Record, ShardBatch};
    use penstock::fingerprint::Fingerprinter;
    use penstock::time::Timestamp;

    use super::*;

    #[test]
    fn whatever_the_edge_has_taken_is_shown_as_it_was_written_in_one_line() -> anyhow::Result<()> {
        let data = r#"{"z":1E400,"a":12345678901234567890123,"a":"\ud800",
            "b":[]}"#;
        let record = Record {
            sequence: "1".parse()?,
            arrival: Timestamp(0),
            partition_key: "k\u{1b}[2J\u{9b}\u{202e}".to_owned(),
            data: data.as_bytes().to_vec().into(),
        };
        let batch = ShardBatch { shard: ShardId::new("s"), records: vec![record] };
        let event = &batch.deliveries(&Fingerprinter::new(""))[0];
        let line = json_line(&Whole::of(&batch.shard, event))?;
        assert!(line.contains(r#"{"z":1E400,"a":12345678901234567890123,"a":"\ud800","#), "{line}");
        assert!(line.contains(r#""key":"k\u001b[2J\u009b\u202e""#), "{line}");
        let for_people = super::line(&batch.shard, event);
        assert!(for_people.contains(r"key k\u{1b}[2J\u{9b}\u{202e}"), "{for_people}");
        assert!(!line.contains('\n') && line.contains(r#""position":"1.0""#), "{line}");
        Ok(())
    }
}
