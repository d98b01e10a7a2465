//! Spans as lines: each below the one that it is a part of, with a bar for when it was.
//!
//! Guarantees: each span is one line, whatever the senders call its parent; nothing in it steers the terminal.

use std::collections::{BTreeMap, HashSet};

use penstock_local::operator::span::Span;

use crate::terminal::harmless;

/// Columns of the bars: all of them are the time from the first span's start to the last one's end.
const COLUMNS: u64 = 40;
/// Deeper than this is not indented further.
const DEPTH_MAX: usize = 12;
/// Characters of a name.
const NAME_MAX: usize = 40;

/// What the bars are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bars {
    /// Unicode's blocks, down to an eighth of a column.
    Blocks,
    /// For files and pipes.
    Ascii,
}

/// A line for each span.
pub(super) fn lines(spans: &[Span], bars: Bars) -> Vec<String> {
    let start = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    let end = spans.iter().map(|span| span.end_ns).max().unwrap_or(0);
    let rows: Vec<[String; 6]> = in_order(spans)
        .into_iter()
        .map(|(depth, span)| {
            let from = span.start_ns - start;
            [
                format!("{}{}", "  ".repeat(depth.min(DEPTH_MAX)), short(&span.name)),
                who(span),
                ms(from),
                ms(span.end_ns - span.start_ns),
                bar(from, span.end_ns - start, end - start, bars),
                what(span),
            ]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |[name, who, offset, took, bar, what]: &[String; 6]| {
        let line = format!(
            "{name:<0$}  {who:<1$}  {offset:>2$} ms  {took:>3$} ms  {bar:<4$}  {what}",
            widths[0], widths[1], widths[2], widths[3], COLUMNS as usize
        );
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The spans with their depths: parts below their parents, by when they began.
fn in_order(spans: &[Span]) -> Vec<(usize, &Span)> {
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by(|a, b| (a.start_ns, &a.span_id).cmp(&(b.start_ns, &b.span_id)));
    let ids: HashSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    let parent = |span: &Span| span.parent_id.clone().filter(|id| ids.contains(id.as_str()));
    let mut parts: BTreeMap<Option<String>, Vec<&Span>> = BTreeMap::new();
    for span in &sorted {
        parts.entry(parent(span)).or_default().push(span);
    }
    let (mut order, mut seen) = (Vec::new(), HashSet::new());
    let roots = parts.get(&None).cloned().unwrap_or_default();
    // after the roots all others: those that are left belong to a circle, which begins with its first span
    for root in roots.into_iter().chain(sorted) {
        let mut next = vec![(0, root)];
        while let Some((depth, span)) = next.pop() {
            if seen.insert(span.span_id.as_str()) {
                order.push((depth, span));
                let parts = parts.get(&Some(span.span_id.clone())).into_iter().flatten();
                next.extend(parts.rev().map(|part| (depth + 1, *part)));
            }
        }
    }
    order
}

fn who(span: &Span) -> String {
    let service = if span.service.is_empty() { "?" } else { &span.service };
    match span.attributes.get("group").filter(|group| **group != span.service) {
        Some(group) => format!("{}/{}", short(service), short(group)),
        None => short(service),
    }
}

/// Where it was, and how it ended.
fn what(span: &Span) -> String {
    let attribute = |name: &str| span.attributes.get(name);
    let shard = attribute("shard").cloned();
    let position = attribute("position").map(|position| format!("position {position}"));
    let failed = span.failed.then(|| match span.message.as_str() {
        "" => "failed".to_owned(),
        message => format!("failed: {message}"),
    });
    let parts = [shard, position, attribute("outcome").cloned(), failed];
    harmless(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn short(text: &str) -> String {
    let text = harmless(text);
    match text.char_indices().nth(NAME_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

fn ms(ns: u64) -> String {
    format!("{:.1}", ns as f64 / 1e6)
}

/// A bar from `from` to `to`, where all columns are `all`; never empty.
fn bar(from: u64, to: u64, all: u64, bars: Bars) -> String {
    // in eighths of a column
    let place = |at: u64| (u128::from(at) * u128::from(COLUMNS * 8)).checked_div(u128::from(all)).unwrap_or(0) as u64;
    let first = (place(from) / 8).min(COLUMNS - 1);
    let length = (place(to) - first * 8).max(1);
    let mut bar = " ".repeat(first as usize);
    match bars {
        Bars::Ascii => bar.push_str(&"#".repeat(length.div_ceil(8) as usize)),
        Bars::Blocks => {
            bar.push_str(&"█".repeat((length / 8) as usize));
            // U+2588 is the whole column and U+258F its left eighth
            let rest = (length % 8) as u32;
            bar.extend((rest > 0).then(|| char::from_u32(0x2590 - rest)).flatten());
        }
    }
    bar
}

#[cfg(test)]
mod tests {
    use penstock_local::operator::span::Kind;

    use super::*;

    /// A span of these ms.
    fn span(
        id: &str,
        parent: &str,
        name: &str,
        service: &str,
        (start, end): (f64, f64),
        attributes: &[(&str, &str)],
    ) -> Span {
        let ns = |ms: f64| 1_700_000_000_000_000_000 + (ms * 1e6) as u64;
        Span {
            trace_id: "t".into(),
            span_id: id.into(),
            parent_id: (!parent.is_empty()).then(|| parent.into()),
            name: name.into(),
            kind: Kind::Internal,
            service: service.into(),
            start_ns: ns(start),
            end_ns: ns(end),
            failed: false,
            message: String::new(),
            attributes: attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }

    fn spans() -> Vec<Span> {
        let place = [("group", "order-status"), ("shard", "shardId-1"), ("position", "7.0"), ("outcome", "handled")];
        let mut refused = span("6", "5", "process_event", "alerts", (31.0, 40.0), &[]);
        (refused.failed, refused.message) = (true, "no such order\u{1b}[2J".into());
        vec![
            span("4", "3", "process_event", "order-status", (20.0, 20.05), &[]),
            refused,
            span(
                "5",
                "1",
                "consume_event",
                "alerts",
                (30.0, 40.0),
                &[("group", "order-alerts"), ("outcome", "dead_lettered")],
            ),
            span("3", "1", "consume_event", "order-status", (18.0, 23.0), &place),
            span("2", "1", "partition_assign", "ingest", (0.5, 1.5), &[]),
            span("1", "", "produce_event", "ingest", (0.0, 8.0), &[("key_hash", "0")]),
        ]
    }

    #[test]
    fn each_span_is_a_line_below_the_one_that_it_is_a_part_of() {
        assert_eq!(
            lines(&spans(), Bars::Ascii),
            [
                "produce_event       ingest                0.0 ms   8.0 ms  ########",
                "  partition_assign  ingest                0.5 ms   1.0 ms  ##",
                "  consume_event     order-status         18.0 ms   5.0 ms                    #####                   shardId-1, position 7.0, handled",
                "    process_event   order-status         20.0 ms   0.1 ms                      #",
                "  consume_event     alerts/order-alerts  30.0 ms  10.0 ms                                ##########  dead_lettered",
                "    process_event   alerts               31.0 ms   9.0 ms                                 #########  failed: no such order\\u{1b}[2J",
            ]
        );
        assert_eq!(lines(&spans(), Bars::Blocks)[1], "  partition_assign  ingest                0.5 ms   1.0 ms  █▌");
    }

    #[test]
    fn a_circle_of_parents_and_a_parent_that_is_missing_lose_no_span() {
        let circle = [
            span("a", "b", "first", "", (0.0, 0.0), &[]),
            span("b", "a", "second", "", (0.0, 0.0), &[]),
            span("c", "gone", "third", "s\n", (0.0, 0.0), &[]),
        ];
        assert_eq!(
            lines(&circle, Bars::Blocks),
            [
                "third     s\\n  0.0 ms  0.0 ms  ▏",
                "first     ?    0.0 ms  0.0 ms  ▏",
                "  second  ?    0.0 ms  0.0 ms  ▏",
            ]
        );
    }

    #[test]
    fn a_bar_stays_within_its_columns() {
        for (from, to) in [(0, 1_000), (999, 1_000), (1_000, 1_000), (0, 0), (500, 501), (333, 1_000)] {
            for bars in [Bars::Ascii, Bars::Blocks] {
                let bar = bar(from, to, 1_000, bars);
                assert!(bar.chars().count() <= 40 && !bar.trim().is_empty(), "{from}..{to}: {bar:?}");
            }
        }
        assert_eq!(bar(0, u64::MAX, u64::MAX, Bars::Ascii).len(), 40);
    }
}
