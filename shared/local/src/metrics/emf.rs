//! Log lines in CloudWatch's embedded metric format.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! Guarantees: a line that is no JSON object with an `_aws` member is passed over; one that is and does not follow the
//! format records nothing of what is wrong with it, and is counted. A directive's metrics past the hundredth and a set of
//! more than thirty dimensions are dropped, as CloudWatch does.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::store::now;
use super::{MetricKey, MetricStore};

/// Dimensions of a set.
const DIMENSIONS_MAX: usize = 30;
/// Metrics of a directive.
const METRICS_MAX: usize = 100;

/// Whether a line could be one, which is cheap to see.
const MARK: &str = "\"_aws\"";

#[derive(Deserialize)]
struct Probe {
    #[serde(rename = "_aws")]
    aws: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_aws")]
    aws: Metadata,
    #[serde(flatten)]
    members: HashMap<String, Member>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    timestamp: u64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    dimensions: Vec<Vec<String>>,
    metrics: Vec<Definition>,
}

/// `Unit` and `StorageResolution` change nothing here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Member {
    Number(f64),
    Numbers(Vec<f64>),
    Counted {
        #[serde(rename = "Values")]
        values: Vec<f64>,
        #[serde(rename = "Counts")]
        counts: Vec<f64>,
    },
    Text(String),
    Other(IgnoredAny),
}

impl Member {
    /// The values with their counts; none if it is no metric's.
    fn values(&self) -> Option<Vec<(f64, f64)>> {
        match self {
            Self::Number(value) => Some(vec![(*value, 1.0)]),
            Self::Numbers(values) => Some(values.iter().map(|value| (*value, 1.0)).collect()),
            Self::Counted { values, counts } if values.len() == counts.len() => {
                Some(values.iter().copied().zip(counts.iter().copied()).collect())
            }
            Self::Counted { .. } | Self::Text(_) | Self::Other(_) => None,
        }
    }
}

/// Reads the lines of all functions into a store.
#[derive(Debug)]
pub struct EmfReader {
    store: MetricStore,
    malformed: AtomicU64,
}

impl EmfReader {
    /// A reader into `store`.
    pub fn new(store: MetricStore) -> Self {
        Self { store, malformed: AtomicU64::new(0) }
    }

    /// Lines that were not what they seemed.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Reads a line that `function` logged.
    pub fn read(&self, function: &str, line: &str) {
        let object = line.trim_start().starts_with('{');
        if !object || !line.contains(MARK) || !matches!(serde_json::from_str(line), Ok(Probe { aws: Some(_) })) {
            return;
        }
        let fault = match serde_json::from_str::<Line>(line) {
            Ok(line) => self.record(&line),
            Err(error) => Some(error.to_string()),
        };
        if let Some(fault) = fault
            && self.malformed.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!(function, fault, "a log line is not in the embedded metric format; the next ones go untold");
        }
    }

    /// Records what is well-formed, and gives the first thing that is not.
    fn record(&self, line: &Line) -> Option<String> {
        // a time to come would hide what comes until then
        let at_ms = line.aws.timestamp.min(now());
        let mut fault = None;
        for directive in &line.aws.cloud_watch_metrics {
            if directive.metrics.len() > METRICS_MAX {
                fault.get_or_insert_with(|| format!("a directive has more than {METRICS_MAX} metrics"));
            }
            if directive.dimensions.is_empty() {
                fault.get_or_insert_with(|| "a directive has no set of dimensions".to_owned());
            }
            for names in &directive.dimensions {
                let dimensions = match dimensions(line, names) {
                    Ok(dimensions) => dimensions,
                    Err(wrong) => {
                        fault.get_or_insert(wrong);
                        continue;
                    }
                };
                for Definition { name } in directive.metrics.iter().take(METRICS_MAX) {
                    let Some(values) = line.members.get(name).and_then(Member::values) else {
                        fault.get_or_insert_with(|| format!("the metric {name} has no numbers"));
                        continue;
                    };
                    let (namespace, dimensions) = (directive.namespace.clone(), dimensions.clone());
                    self.store.record_at(&MetricKey { namespace, name: name.clone(), dimensions }, &values, at_ms);
                }
            }
        }
        fault
    }
}

fn dimensions(line: &Line, names: &[String]) -> Result<BTreeMap<String, String>, String> {
    if names.len() > DIMENSIONS_MAX {
        return Err(format!("a set has more than {DIMENSIONS_MAX} dimensions"));
    }
    let value = |name: &String| match line.members.get(name) {
        Some(Member::Text(text)) => Ok((name.clone(), text.clone())),
        _ => Err(format!("the dimension {name} has no text")),
    };
    names.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(lines: &[String]) -> (EmfReader, MetricStore) {
        let store = MetricStore::default();
        let reader = EmfReader::new(store.clone());
        for line in lines {
            reader.read("f", line);
        }
        (reader, store)
    }

    fn line(directives: Value, members: Value) -> String {
        let mut line = json!({ "_aws": { "Timestamp": 1_700_000_000_000u64, "CloudWatchMetrics": directives } });
        line.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        line.to_string()
    }

    fn key(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> MetricKey {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        MetricKey { namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
    }

    #[test]
    fn every_set_of_dimensions_of_every_directive_gets_every_form_of_value() {
        let directives = json!([
            { "Namespace": "P", "Dimensions": [["Group"], ["Group", "Shard"], []],
              "Metrics": [{ "Name": "Settled", "Unit": "Count", "StorageResolution": 60 }, { "Name": "Ages" }] },
            { "Namespace": "Q", "Dimensions": [[]], "Metrics": [{ "Name": "Sizes" }] },
        ]);
        let members = json!({
            "Group": "g", "Shard": "s", "Settled": 3, "Ages": [1.5, 2.5], "message": "hello", "nested": { "a": [null] },
            "Sizes": { "Values": [10, 20], "Counts": [2, 1] },
        });
        let (reader, store) = read(&[line(directives, members)]);
        let totals = store.totals();
        assert_eq!((totals.len(), reader.malformed()), (7, 0));
        assert_eq!(totals[&key("P", "Settled", &[("Group", "g"), ("Shard", "s")])].all.sum, 3.0);
        let ages = totals[&key("P", "Ages", &[("Group", "g")])].all;
        assert_eq!((ages.sum, ages.count, ages.min, ages.max), (4.0, 2.0, 1.5, 2.5));
        let sizes = totals[&key("Q", "Sizes", &[])].all;
        assert_eq!((sizes.sum, sizes.count, sizes.max), (40.0, 3.0, 20.0));
        let period = store.period_of(1_700_000_000_000);
        assert!(store.spans(&key("Q", "Sizes", &[]), period, 1, 1)[0].is_some(), "at the line's own time");
    }

    #[test]
    fn what_is_not_in_the_format_is_none_of_its_business() {
        let lines = [
            "plain text with \"_aws\" in it",
            r#"{"message":"_aws"}"#,
            r#"{"message":"{\"_aws\":{\"Timestamp\":1,\"CloudWatchMetrics\":[]}}"}"#,
            r#"{"list":["_aws"]}"#,
            r#"["_aws"]"#,
            r#"{"_aws": {"cut off"#,
            "",
        ];
        let (reader, store) = read(&lines.map(str::to_owned));
        assert_eq!((reader.malformed(), store.totals().len()), (0, 0));
    }

    #[test]
    fn what_is_malformed_is_counted_and_the_rest_of_the_line_recorded() {
        let one = |dimensions: Value, metrics: Value| json!([{ "Namespace": "P", "Dimensions": dimensions, "Metrics": metrics }]);
        let members = json!({ "Group": "g", "Good": 1, "Text": "1", "Pairs": { "Values": [1], "Counts": [] } });
        let lines = [
            line(json!("none"), members.clone()),
            r#"{"_aws":{"CloudWatchMetrics":[]}}"#.to_owned(),
            line(one(json!([["Group"]]), json!([{ "Name": "Gone" }, { "Name": "Good" }])), members.clone()),
            line(one(json!([["Gone"], ["Group"]]), json!([{ "Name": "Good" }])), members.clone()),
            line(one(json!([[]]), json!([{ "Name": "Text" }, { "Name": "Pairs" }])), members),
        ];
        let (reader, store) = read(&lines);
        assert_eq!(reader.malformed(), 5);
        let totals = store.totals();
        assert_eq!((totals.len(), totals[&key("P", "Good", &[("Group", "g")])].all.sum), (1, 2.0));
    }

    #[test]
    fn past_the_limits_of_cloudwatch_metrics_and_dimensions_are_dropped() {
        let names: Vec<String> = (0..101).map(|number| format!("m{number:03}")).collect();
        let metrics: Vec<Value> = names.iter().map(|name| json!({ "Name": name })).collect();
        let dimensions: Vec<String> = (0..31).map(|number| format!("d{number}")).collect();
        let mut members: HashMap<&str, Value> = names.iter().map(|name| (name.as_str(), json!(1))).collect();
        members.extend(dimensions.iter().map(|name| (name.as_str(), json!("x"))));
        let sets = json!([[], dimensions, dimensions[..30]]);
        let directives = json!([{ "Namespace": "P", "Dimensions": sets, "Metrics": metrics }]);
        let (reader, store) = read(&[line(directives, json!(members))]);
        let totals = store.totals();
        assert_eq!((totals.len(), reader.malformed()), (200, 1));
        assert!(totals.keys().all(|key| key.name != "m100" && key.dimensions.len() != 31));
    }

    #[test]
    fn a_time_to_come_counts_as_now() {
        let directives = json!([{ "Namespace": "P", "Dimensions": [[]], "Metrics": [{ "Name": "m" }] }]);
        let text = line(directives, json!({ "m": 1 })).replace("1700000000000", &(now() + 600_000).to_string());
        let (_, store) = read(&[text]);
        let (latest, metric) = (store.period_of(now()), key("P", "m", &[]));
        assert_eq!(store.spans(&metric, latest, 1, 2).iter().flatten().count(), 1);
    }
}
