//! Metrics and alarms in the text format of OpenMetrics, which Prometheus scrapes.
//!
//! Each metric is a histogram without buckets, so that `_sum` and `_count` since the start go together, and two gauges:
//! `_last` and `_max`, which are there while the metric has had a value lately. Guarantees: no family and no series is there twice, whatever functions call their metrics. Two metrics
//! that come to the same name and labels are added up.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::metrics::{AlarmState, MetricKey, State, Totals};

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const ALARM_STATE: &str = "penstock_alarm_state";

/// A gauge that nobody has set for so long is not there: Prometheus would take what was true once for what is.
const LATELY_MS: u64 = 5 * 60 * 1000;

/// Names and values, in the order of the names.
type Labels = Vec<(String, String)>;

#[derive(Debug)]
struct Family {
    name: String,
    help: String,
    series: BTreeMap<Labels, Totals>,
}

/// All of it at one moment.
#[derive(Debug)]
struct Snapshot {
    families: Vec<Family>,
    alarms: Vec<AlarmState>,
    /// Gauges are shown that were set since then, in ms since the epoch.
    since_ms: u64,
}

/// The text.
pub(super) fn render(totals: &BTreeMap<MetricKey, Totals>, alarms: &[AlarmState], now_ms: u64) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot {
        families: families(totals),
        alarms: alarms.to_vec(),
        since_ms: now_ms.saturating_sub(LATELY_MS),
    }));
    let mut text = String::new();
    // a String takes whatever is written
    _ = encode(&mut text, &registry);
    text
}

fn families(totals: &BTreeMap<MetricKey, Totals>) -> Vec<Family> {
    let mut by_name: BTreeMap<String, Family> = BTreeMap::new();
    for (key, totals) in totals {
        let name = snake_case(&format!("{}_{}", prefix(&key.namespace), snake_case(&key.name)));
        let family = by_name.entry(name.clone()).or_insert_with(|| Family {
            name,
            help: one_line(&format!("{} {}, since the start", key.namespace, key.name)),
            series: BTreeMap::new(),
        });
        family.series.entry(labels(key)).and_modify(|other| other.merge(totals)).or_insert(*totals);
    }
    let mut taken = BTreeSet::from([ALARM_STATE.to_owned()]);
    let mut families: Vec<_> = by_name.into_values().collect();
    for family in &mut families {
        let all =
            |name: &str| ["", "_sum", "_count", "_bucket", "_last", "_max"].map(|suffix| format!("{name}{suffix}"));
        // `lag` and `lag_max` would both have a `lag_max`
        while all(&family.name).iter().any(|name| taken.contains(name)) {
            family.name.push_str("_metric");
        }
        taken.extend(all(&family.name));
    }
    families
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for Family { name, help, series } in &self.families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (labels, Totals { all, .. }) in series {
                let count = all.count.round() as u64;
                family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                    all.sum,
                    count,
                    &[(f64::INFINITY, count)],
                    None,
                )?;
            }
            for (suffix, says, of) in [
                ("last", "the latest value", (|totals| totals.last) as fn(&Totals) -> f64),
                ("max", "the largest value", |totals| totals.all.max),
            ] {
                let (name, help) = (format!("{name}_{suffix}"), format!("{help}: {says}"));
                let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Gauge)?;
                for (labels, totals) in series.iter().filter(|(_, totals)| totals.last_ms >= self.since_ms) {
                    family.encode_family(labels)?.encode_gauge(&of(totals))?;
                }
            }
        }
        if self.alarms.is_empty() {
            return Ok(());
        }
        let help = "0 OK, 1 ALARM, -1 INSUFFICIENT_DATA";
        let mut family = encoder.encode_descriptor(ALARM_STATE, help, None, MetricType::Gauge)?;
        for alarm in &self.alarms {
            let state: i64 = match alarm.state {
                State::Ok => 0,
                State::Alarm => 1,
                State::InsufficientData => -1,
            };
            family.encode_family(&[("alarm", alarm.name.as_str())])?.encode_gauge(&state)?;
        }
        Ok(())
    }
}

/// `penstock` for the functions' own, whatever the stack is called; `aws_lambda` for `AWS/Lambda`.
fn prefix(namespace: &str) -> String {
    match namespace.split('/').next() {
        Some("Penstock") => "penstock".to_owned(),
        _ => snake_case(namespace),
    }
}

fn labels(key: &MetricKey) -> Labels {
    // histograms have a label of their own
    let mut taken = BTreeSet::from(["le".to_owned()]);
    let mut labels: Labels = Vec::new();
    for (name, value) in &key.dimensions {
        let mut name = snake_case(name);
        while !taken.insert(name.clone()) {
            name.push_str("_dimension");
        }
        labels.push((name, value.clone()));
    }
    labels.sort();
    labels
}

/// `ApproximateNumberOfMessagesVisible` as `approximate_number_of_messages_visible`, `HTTPErrors` as `http_errors`; what
/// is neither a letter nor a digit separates words.
fn snake_case(text: &str) -> String {
    let mut snake = String::new();
    let mut separate = false;
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let next_is_lower = characters.peek().is_some_and(char::is_ascii_lowercase);
        if !c.is_ascii_alphanumeric() {
            separate = true;
        } else {
            let begins = c.is_ascii_uppercase() && (!before.is_ascii_uppercase() || next_is_lower);
            if (separate || begins) && !snake.is_empty() {
                snake.push('_');
            }
            separate = false;
            snake.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    if snake.is_empty() || snake.starts_with(|c: char| c.is_ascii_digit()) {
        snake.insert(0, '_');
    }
    snake
}

/// The crate writes a help text as it stands.
fn one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricStore;

    fn alarm(name: &str, state: State) -> AlarmState {
        AlarmState { name: name.into(), state, reason: String::new(), description: String::new(), since_ms: 0 }
    }

    #[test]
    fn every_metric_and_every_alarm_is_there_in_the_words_of_prometheus() {
        let store = MetricStore::default();
        store.record(&MetricKey::of("AWS/Lambda", "Errors", "FunctionName", "ingest"), 1.0);
        store.record(&MetricKey::of("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "a"), 3.5);
        let letters = |reason: &str| MetricKey {
            namespace: "Penstock/penstock".into(),
            name: "dead_letters".into(),
            dimensions: [("Group".into(), "g".into()), ("Reason".into(), reason.into())].into(),
        };
        store.record_many(&letters("refused"), &[(2.0, 1.0), (1.0, 1.0)]);
        store.record(&letters("a \"b\" \\ c\nd"), 1.0);
        let alarms = [alarm("A", State::Alarm), alarm("B", State::Ok), alarm("C", State::InsufficientData)];
        let text = render(&store.totals(), &alarms, 0);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..11],
            [
                "# HELP aws_lambda_errors AWS/Lambda Errors, since the start",
                "# TYPE aws_lambda_errors histogram",
                "aws_lambda_errors_sum{function_name=\"ingest\"} 1.0",
                "aws_lambda_errors_count{function_name=\"ingest\"} 1",
                "aws_lambda_errors_bucket{le=\"+Inf\",function_name=\"ingest\"} 1",
                "# HELP aws_lambda_errors_last AWS/Lambda Errors, since the start: the latest value",
                "# TYPE aws_lambda_errors_last gauge",
                "aws_lambda_errors_last{function_name=\"ingest\"} 1.0",
                "# HELP aws_lambda_errors_max AWS/Lambda Errors, since the start: the largest value",
                "# TYPE aws_lambda_errors_max gauge",
                "aws_lambda_errors_max{function_name=\"ingest\"} 1.0",
            ]
        );
        assert!(lines.contains(&"aws_sqs_approximate_number_of_messages_visible_last{queue_name=\"a\"} 3.5"), "{text}");
        let letters =
            lines.iter().copied().filter(|line| line.starts_with("penstock_dead_letters_sum")).collect::<Vec<_>>();
        assert_eq!(
            letters,
            [
                r#"penstock_dead_letters_sum{group="g",reason="a \"b\" \\ c\nd"} 1.0"#,
                r#"penstock_dead_letters_sum{group="g",reason="refused"} 3.0"#,
            ]
        );
        assert_eq!(
            lines[lines.len() - 5..],
            [
                "# TYPE penstock_alarm_state gauge",
                "penstock_alarm_state{alarm=\"A\"} 1",
                "penstock_alarm_state{alarm=\"B\"} 0",
                "penstock_alarm_state{alarm=\"C\"} -1",
                "# EOF",
            ]
        );
    }

    #[test]
    fn what_was_true_once_is_no_gauge_and_still_counts() {
        let (store, key) = (MetricStore::default(), MetricKey::of("Penstock/a", "consumer_lag_ms", "Group", "g"));
        store.record_at(&key, &[(29_790.0, 1.0)], 1_000_000);
        let at = |now_ms| render(&store.totals(), &[], now_ms);
        assert!(at(1_000_000 + LATELY_MS).contains("consumer_lag_ms_last{group=\"g\"} 29790.0"));
        let later = at(1_000_001 + LATELY_MS);
        assert!(!later.contains("_last{") && later.contains("consumer_lag_ms_count{group=\"g\"} 1"), "{later}");
    }

    #[test]
    fn nothing_is_there_twice_whatever_functions_call_their_metrics() {
        let store = MetricStore::default();
        let key = |namespace: &str, name: &str, dimensions: &[&str]| MetricKey {
            namespace: namespace.into(),
            name: name.into(),
            dimensions: dimensions.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect(),
        };
        for key in [
            key("Penstock/a", "lag", &[]),
            key("Penstock/b", "lag", &[]),
            key("Penstock/a", "lag_max", &[]),
            key("Penstock/a", "alarm_state", &["Code", "code", "Le", ""]),
            key("Own\nthings", "7 \\\n+Inf", &[]),
        ] {
            store.record(&key, 1.0);
        }
        let text = render(&store.totals(), &[alarm("A", State::Ok)], 0);
        let samples = text.lines().filter_map(|line| line.rsplit_once(' ').filter(|_| !line.starts_with('#')));
        let (names, values): (Vec<_>, Vec<_>) = samples.unzip();
        assert!(values.iter().all(|value| value.parse::<f64>().is_ok()), "{text}");
        let types = text.lines().filter(|line| line.starts_with("# TYPE"));
        for mut unique in [names.clone(), types.collect()] {
            let all = unique.len();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), all, "{text}");
        }
        for name in [
            "penstock_lag_count",
            "penstock_lag_max",
            "penstock_lag_max_metric_max",
            r#"penstock_alarm_state_metric_last{_="v",code="v",code_dimension="v",le_dimension="v"}"#,
            "own_things_7_inf_sum",
            r#"penstock_alarm_state{alarm="A"}"#,
        ] {
            assert!(names.contains(&name), "{name} in {text}");
        }
        assert!(text.contains("penstock_lag_count 2\n"), "two namespaces are added up: {text}");
    }

    #[test]
    fn names_are_in_the_case_of_prometheus() {
        for (from, to) in [
            ("AWS/Lambda", "aws_lambda"),
            ("IncomingRecords", "incoming_records"),
            ("GetRecords.IteratorAgeMilliseconds", "get_records_iterator_age_milliseconds"),
            ("HTTPErrors", "http_errors"),
            ("consumer_lag_ms", "consumer_lag_ms"),
            ("Größe", "gr_e"),
            ("5xx", "_5xx"),
            ("__", "_"),
        ] {
            assert_eq!(snake_case(from), to);
        }
        assert_eq!((prefix("Penstock/STACK"), prefix("Penstocks")), ("penstock".into(), "penstocks".into()));
    }
}
