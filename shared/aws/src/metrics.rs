//! Metrics: CloudWatch's embedded metric format on standard output, one line an invocation.
//!
//! CloudWatch takes the values out of the log; no call is made, and nothing is kept past the invocation. A value that has a
//! dimension of its own (a reason, a code) takes a line of its own beside it. Guarantees: every line is one line and within
//! CloudWatch's limits, whatever the names and values are; what has more metrics than a line takes is split.
//!
//! `docs/metrics.md` says what each metric means.
//! The format: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::borrow::Cow;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use metrique_writer_core::config::AllowSplitEntries;
use metrique_writer_core::format::Format;
use metrique_writer_core::unit::{NegativeScale, PositiveScale, Unit};
use metrique_writer_core::value::{MetricFlags, Observation, Value, ValueWriter};
use metrique_writer_core::{Entry, EntryWriter};
use metrique_writer_format_emf::Emf;
use penstock::time::Timestamp;

use crate::config::Reader;

/// Metrics of one line. Same page.
const METRICS_MAX: usize = 100;
/// Characters of a metric's name.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
const NAME_MAX: usize = 255;
/// Characters of what a dimension is set to.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>
const VALUE_MAX: usize = 1024;
/// Properties of a line: with [`VALUE_MAX`], far below the 256 KB of a log event.
const PROPERTIES_MAX: usize = 20;

/// Where the metrics of a function go, and what they are told apart by.
pub struct Metrics {
    emf: Mutex<Emf>,
    dimension: Option<(&'static str, String)>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("dimension", &self.dimension).finish_non_exhaustive()
    }
}

/// What was measured in one invocation.
#[derive(Debug, Default)]
pub struct Measured {
    points: Vec<Point>,
    properties: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Point {
    name: Cow<'static, str>,
    value: f64,
    unit: Unit,
    dimension: Option<(&'static str, String)>,
}

/// `PENSTOCK_METRICS_NAMESPACE`: the namespace of the metrics; `Penstock` unless set.
pub fn namespace<L: Fn(&str) -> Option<String>>(reader: &Reader<L>) -> String {
    reader.optional("PENSTOCK_METRICS_NAMESPACE").unwrap_or_else(|| "Penstock".to_owned())
}

impl Metrics {
    /// Metrics in `namespace`, all with one dimension or with none.
    pub fn new(namespace: &str, dimension: Option<(&'static str, &str)>) -> Self {
        let dimension = dimension.map(|(name, value)| (name, tame(value, VALUE_MAX).into_owned()));
        let names = dimension.iter().map(|(name, _)| (*name).to_owned()).collect();
        let emf = Emf::no_validations(tame(namespace, NAME_MAX).into_owned(), vec![names]);
        Self { emf: Mutex::new(emf), dimension }
    }

    /// Writes what an invocation measured to standard output.
    pub fn write(&self, measured: &Measured, at: Timestamp) {
        let lines = self.lines(measured, at);
        // in one piece, so that no other line comes between; a log that cannot be written to cannot be told of
        drop(std::io::stdout().lock().write_all(&lines));
    }

    fn lines(&self, measured: &Measured, at: Timestamp) -> Vec<u8> {
        let mut lines = Vec::with_capacity(1024);
        let mut emf = self.emf.lock().unwrap_or_else(PoisonError::into_inner);
        for points in measured.points.chunks(METRICS_MAX) {
            let line = Line { points, properties: &measured.properties, dimension: self.dimension.as_ref(), at };
            if let Err(error) = emf.format(&line, &mut lines) {
                tracing::warn!(%error, "metrics are left out");
            }
        }
        lines
    }
}

impl Measured {
    /// How many there were.
    pub fn count(&mut self, name: impl Into<Cow<'static, str>>, value: impl TryInto<u32>) {
        self.point(name, number(value), Unit::Count, None);
    }

    /// How many there were, if there were any: CloudWatch bills a metric by the hours in which it has values, and some are
    /// nothing for weeks.
    pub fn count_any(&mut self, name: impl Into<Cow<'static, str>>, value: impl TryInto<u32>) {
        let value = number(value);
        if value > 0.0 {
            self.point(name, value, Unit::Count, None);
        }
    }

    /// How many of one kind there were; none are left out.
    pub fn count_by(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        dimension: (&'static str, &str),
        value: impl TryInto<u32>,
    ) {
        let value = number(value);
        if value > 0.0 {
            self.point(name, value, Unit::Count, Some((dimension.0, tame(dimension.1, VALUE_MAX).into_owned())));
        }
    }

    /// How long it took, or how old it was.
    pub fn millis(&mut self, name: impl Into<Cow<'static, str>>, duration: Duration) {
        self.point(name, duration.as_secs_f64() * 1000.0, Unit::Second(NegativeScale::Milli), None);
    }

    /// How many bytes it had.
    pub fn bytes(&mut self, name: impl Into<Cow<'static, str>>, bytes: impl TryInto<u32>) {
        self.point(name, number(bytes), Unit::Byte(PositiveScale::One), None);
    }

    /// What the line says beside its metrics: to be searched for, not to be added up.
    pub fn property(&mut self, name: &'static str, value: &str) {
        if self.properties.len() < PROPERTIES_MAX {
            self.properties.push((name, tame(value, VALUE_MAX).into_owned()));
        }
    }

    fn point(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: Unit,
        dimension: Option<(&'static str, String)>,
    ) {
        let name = match name.into() {
            Cow::Borrowed(name) => tame(name, NAME_MAX),
            Cow::Owned(name) => Cow::Owned(tame(&name, NAME_MAX).into_owned()),
        };
        self.points.push(Point { name, value, unit, dimension });
    }
}

/// No figure of an invocation comes near it.
fn number(value: impl TryInto<u32>) -> f64 {
    f64::from(value.try_into().unwrap_or(u32::MAX))
}

/// A text as CloudWatch takes it: neither empty nor too long, and without control characters.
fn tame(text: &str, max: usize) -> Cow<'_, str> {
    let sound = |c: char| !c.is_control();
    if !text.is_empty() && text.len() <= max && text.chars().all(sound) {
        return Cow::Borrowed(text);
    }
    let tamed: String = text.chars().take(max).map(|c| if sound(c) { c } else { '_' }).collect();
    Cow::Owned(if tamed.is_empty() { "_".to_owned() } else { tamed })
}

/// A line, as the formatter asks for it.
struct Line<'a> {
    points: &'a [Point],
    properties: &'a [(&'static str, String)],
    dimension: Option<&'a (&'static str, String)>,
    at: Timestamp,
}

/// A point with a dimension of its own takes a line of its own.
static SPLIT: AllowSplitEntries = AllowSplitEntries::new();

impl Entry for Line<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(UNIX_EPOCH + Duration::from_millis(self.at.0));
        writer.config(&SPLIT);
        let texts = self.dimension.into_iter().chain(self.properties);
        for (name, value) in texts {
            writer.value(*name, value);
        }
        for point in self.points {
            writer.value(&*point.name, point);
        }
    }
}

impl Value for Point {
    fn write(&self, writer: impl ValueWriter) {
        let dimension = self.dimension.iter().map(|(name, value)| (*name, value.as_str()));
        writer.metric([Observation::Floating(self.value)], self.unit, dimension, MetricFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    fn written(measured: &Measured) -> Vec<Json> {
        let metrics = Metrics::new("Penstock/test", Some(("Group", "orders")));
        let text = String::from_utf8(metrics.lines(measured, Timestamp(1_700_000_000_123))).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        assert!(text.lines().all(|line| line.len() < 256 * 1024));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_invocation_is_one_line_and_a_reason_one_of_its_own() {
        let mut measured = Measured::default();
        measured.property("request_id", "r-1");
        measured.count("events_settled", 7usize);
        measured.millis("consumer_lag_ms", Duration::from_micros(1500));
        measured.count_by("dead_letters", ("Reason", "refused"), 2u32);
        measured.count_by("dead_letters", ("Reason", "crashed"), 0u32);
        let lines = written(&measured);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let [reason, main] =
            [true, false].map(|split| lines.iter().find(|l| l.get("Reason").is_some() == split).unwrap());
        assert_eq!((main["Group"].as_str(), main["request_id"].as_str()), (Some("orders"), Some("r-1")));
        assert_eq!((main["events_settled"].as_f64(), main["consumer_lag_ms"].as_f64()), (Some(7.0), Some(1.5)));
        let directive = &main["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(main["_aws"]["Timestamp"].as_u64(), Some(1_700_000_000_123));
        assert_eq!(
            (&directive["Namespace"], &directive["Dimensions"]),
            (&"Penstock/test".into(), &serde_json::json!([["Group"]]))
        );
        assert_eq!(directive["Metrics"][1], serde_json::json!({"Name": "consumer_lag_ms", "Unit": "Milliseconds"}));
        assert_eq!(reason["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([["Group", "Reason"]]));
        assert_eq!((reason["Reason"].as_str(), reason["dead_letters"].as_f64()), (Some("refused"), Some(2.0)));
    }

    #[test]
    fn more_metrics_than_a_line_takes_are_split() {
        let mut measured = Measured::default();
        for n in 0..250u32 {
            measured.count(format!("m{n}"), n);
        }
        let lines = written(&measured);
        let names = |line: &Json| line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len();
        assert_eq!(lines.iter().map(names).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(lines[2]["m249"].as_f64(), Some(249.0));
    }

    proptest! {
        #[test]
        fn whatever_the_names_are_a_line_is_a_line(name in ".{0,40}", value in "(.|\n|\"){0,40}", times in 1usize..4000) {
            let mut measured = Measured::default();
            measured.count(name.repeat(times), 1u32);
            measured.count_by("dead_letters", ("Reason", &value.repeat(times)), 1u32);
            measured.property("error", &value.repeat(times));
            prop_assert_eq!(written(&measured).len(), 2);
        }
    }
}
