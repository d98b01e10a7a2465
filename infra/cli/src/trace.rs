//! `penstock trace`: what was done about an event, when, and by whom.

mod waterfall;

use std::process::ExitCode;

use anyhow::Context;
use penstock_local::operator::SPANS_MAX;
use penstock_local::operator::span::{EventSpans, Span};

use crate::record::Record;
use crate::terminal::{self, harmless, is_terminal, note, say};
use waterfall::Bars;

/// Prints the spans of an event.
pub(crate) async fn run(port: u16, event_id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let record = Record::of_running(port).await?;
    let query: String = form_urlencoded::byte_serialize(event_id.as_bytes()).collect();
    let known = record.ask(&format!("/traces?event_id={query}")).await?;
    let known: EventSpans = serde_json::from_str(&known).context("the pipeline's answer cannot be read")?;
    if json {
        say(&terminal::json(&known)?);
    }
    if known.traces.is_empty() {
        nothing(&known, port).iter().for_each(|line| note(line));
        return Ok(ExitCode::FAILURE);
    }
    if !json {
        let bars = if is_terminal() { Bars::Blocks } else { Bars::Ascii };
        for (number, spans) in known.traces.iter().enumerate() {
            if number > 0 {
                say("");
            }
            say(&title(spans, event_id));
            waterfall::lines(spans, bars).iter().for_each(|line| say(line));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The trace and what the event says of itself; another sender may have given the id to another event.
fn title(spans: &[Span], event_id: &str) -> String {
    let own = spans.iter().find(|span| span.names(event_id));
    let of = |name: &str| own.and_then(|span| span.attributes.get(name)).map_or("?", String::as_str);
    let trace = spans.first().map_or("", |span| span.trace_id.as_str());
    harmless(&format!("trace {trace}: {event_id}, {} from {}", of("event_type"), of("event_source")))
}

/// What to check when no span names the event.
fn nothing(known: &EventSpans, port: u16) -> Vec<String> {
    let EventSpans { event_id, spans_kept, sent_to, .. } = known;
    let mut lines =
        vec![harmless(&format!("no trace of the event `{event_id}` is known to the pipeline on port {port}"))];
    if !sent_to.is_empty() {
        lines.push(harmless(&format!(
            "the traces of its functions go to {}, which OTEL_EXPORTER_OTLP_ENDPOINT names: look there",
            sent_to.join(" and ")
        )));
    }
    if sent_to.is_empty() || *spans_kept > 0 {
        lines.push(format!(
            "check that it was sent to this pipeline under this id, and that its functions traced it: {spans_kept} spans \
             are kept now; kept are the latest {SPANS_MAX} since the pipeline's start, in memory only; a trace that its \
             sampler leaves out (OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED) has none"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_check_depends_on_where_the_traces_go() {
        let known = |kept, sent_to: &[&str]| EventSpans {
            event_id: "a\u{1b}[2J".into(),
            traces: Vec::new(),
            spans_kept: kept,
            sent_to: sent_to.iter().map(|name| (*name).to_owned()).collect(),
        };
        let lines = nothing(&known(0, &[]), 7070);
        assert_eq!(lines[0], "no trace of the event `a\\u{1b}[2J` is known to the pipeline on port 7070");
        assert!(lines.len() == 2 && lines[1].contains(": 0 spans are kept now"), "{lines:?}");
        let lines = nothing(&known(0, &["http://collector:4318"]), 7070);
        assert!(lines.len() == 2 && lines[1].contains("go to http://collector:4318, "), "{lines:?}");
        assert_eq!(nothing(&known(1, &["http://collector:4318"]), 7070).len(), 3);
    }
}
