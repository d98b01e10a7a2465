//! CloudWatch alarms.
//!
//! An alarm that AWS takes and that cannot be evaluated here is named in a warning. What its resources are called is not
//! checked: an alarm may look at what is not in the template.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Alarm, Math, Measure, MetricStat};
use super::problem::{did_you_mean, quoted};
use super::properties::Properties;
use crate::metrics::alarm::{Comparison, Missing, Rules};
use crate::metrics::math::{Expression, MathError};
use crate::metrics::{MetricKey, Statistic};

const DAY: u32 = 86_400;
/// A day of the shortest periods.
const PERIODS_MAX: u32 = DAY / 10;
/// Dimensions of a metric.
const DIMENSIONS_MAX: usize = 30;

/// Those that compare with an anomaly detection band.
const BAND: [&str; 3] =
    ["LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold"];
const STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];
/// What the names of other statistics begin with: percentiles, trimmed means and their like.
const OTHER_STATISTICS: [&str; 11] = ["p", "tm", "tc", "ts", "wm", "PR", "TM", "TC", "TS", "WM", "IQM"];

/// The alarm, unless there is a problem with it or it cannot be evaluated here.
pub(super) fn read(id: &str, mut properties: Properties<'_>) -> Option<Alarm> {
    let description = properties.text("AlarmDescription").unwrap_or_default();
    let mut not_here = false;
    for name in ["EvaluationCriteria", "ExtendedStatistic", "ThresholdMetricId"] {
        if properties.has(name) {
            properties.take(name);
            not_evaluated(&mut properties, name);
            not_here = true;
        }
    }
    let several = properties.has("Metrics");
    let measured = if several { math(&mut properties) } else { plain(&mut properties, not_here) };
    let dynamodb = measured.as_ref().is_some_and(|(measure, _)| of_dynamodb(measure));
    let rules = rules(&mut properties, not_here, dynamodb);
    if let (Some((_, period)), Some(rules)) = (&measured, &rules) {
        // a week for periods of an hour or more
        let longest = if *period < 3600 { DAY } else { 7 * DAY };
        if u64::from(*period) * u64::from(rules.evaluation_periods) > u64::from(longest) {
            let what = format!("makes {} periods of {period} s; AWS takes {longest} s", rules.evaluation_periods);
            properties.problem("EvaluationPeriods", what);
        }
    }
    properties.finish(
        &[
            "ActionsEnabled",
            "AlarmActions",
            "AlarmName",
            "EvaluateLowSampleCountPercentile",
            "EvaluationInterval",
            "InsufficientDataActions",
            "OKActions",
            "Tags",
            "Unit",
        ],
        &[],
    );
    let ((measure, period), rules) = (measured?, rules?);
    (!not_here).then(|| Alarm { logical_id: id.to_owned(), description, measure, period, rules })
}

fn not_evaluated(properties: &mut Properties<'_>, what: &str) {
    properties.warn(format_args!("{} cannot be evaluated on this machine, and so the alarm is not", quoted(what)));
}

fn rules(properties: &mut Properties<'_>, not_here: bool, dynamodb: bool) -> Option<Rules> {
    let words = [
        "GreaterThanThreshold",
        "GreaterThanOrEqualToThreshold",
        "LessThanThreshold",
        "LessThanOrEqualToThreshold",
        BAND[0],
        BAND[1],
        BAND[2],
    ];
    if !properties.has("ComparisonOperator") {
        properties.problem("ComparisonOperator", "is missing");
    }
    let operator = properties.one_of("ComparisonOperator", &words);
    let comparison = match operator.as_deref() {
        Some("GreaterThanThreshold") => Some(Comparison::Greater),
        Some("GreaterThanOrEqualToThreshold") => Some(Comparison::GreaterOrEqual),
        Some("LessThanThreshold") => Some(Comparison::Less),
        Some("LessThanOrEqualToThreshold") => Some(Comparison::LessOrEqual),
        Some(_) if !not_here => {
            not_evaluated(properties, "ComparisonOperator");
            None
        }
        Some(_) | None => None,
    };
    if !properties.has("EvaluationPeriods") {
        properties.problem("EvaluationPeriods", "is missing");
    }
    // 0 is one that is no number; then any number of datapoints may be right
    let evaluation_periods = properties.number("EvaluationPeriods", 0, 1..=PERIODS_MAX);
    let most = if evaluation_periods == 0 { PERIODS_MAX } else { evaluation_periods };
    let datapoints_to_alarm = properties.number("DatapointsToAlarm", evaluation_periods, 1..=most);
    let banded = operator.as_deref().is_some_and(|operator| BAND.contains(&operator));
    if !properties.has("Threshold") && !not_here && !banded {
        properties.problem("Threshold", "is missing");
    }
    let threshold = properties.float("Threshold");
    let missing =
        match properties.one_of("TreatMissingData", &["missing", "ignore", "breaching", "notBreaching"]).as_deref() {
            Some("ignore") => Missing::Ignore,
            Some("breaching") => Missing::Breaching,
            Some("notBreaching") => Missing::NotBreaching,
            // DynamoDB has a default of its own
            None if dynamodb => Missing::Ignore,
            Some(_) | None => Missing::Missing,
        };
    let (threshold, comparison) = (threshold?, comparison?);
    let rules = Rules { evaluation_periods, datapoints_to_alarm, threshold, comparison, missing };
    (evaluation_periods > 0).then_some(rules)
}

fn of_dynamodb(measure: &Measure) -> bool {
    let dynamodb = |stat: &MetricStat| stat.metric.namespace == "AWS/DynamoDB";
    match measure {
        Measure::Metric(stat) => dynamodb(stat),
        Measure::Math(math) => math.metrics.iter().any(|(_, stat)| dynamodb(stat)),
    }
}

/// An alarm on one metric.
fn plain(properties: &mut Properties<'_>, not_here: bool) -> Option<(Measure, u32)> {
    let metric = metric(properties);
    let statistic = if not_here { None } else { statistic(properties, "Statistic") };
    // beside what is not evaluated it may be left out, or not
    properties.take("Statistic");
    let period = period(properties);
    let (metric, statistic) = (metric?, statistic?);
    Some((Measure::Metric(MetricStat { metric, statistic }), period?))
}

/// `Namespace`, `MetricName` and `Dimensions`.
fn metric(properties: &mut Properties<'_>) -> Option<MetricKey> {
    let (namespace, name) = (properties.required("Namespace"), properties.required("MetricName"));
    let mut dimensions = Vec::new();
    if properties.has("Dimensions") {
        dimensions = properties.each("Dimensions", |mut dimension| {
            let (name, value) = (dimension.required("Name"), dimension.required("Value"));
            dimension.finish(&[], &[]);
            Some((name?, value?))
        });
    }
    if dimensions.len() > DIMENSIONS_MAX {
        properties.problem("Dimensions", format!("are {}; AWS takes {DIMENSIONS_MAX}", dimensions.len()));
    }
    let by_name: BTreeMap<String, String> = dimensions.iter().cloned().collect();
    if by_name.len() < dimensions.len() {
        properties.problem("Dimensions", "name one dimension twice");
    }
    Some(MetricKey { namespace: namespace?, name: name?, dimensions: by_name })
}

fn statistic(properties: &mut Properties<'_>, name: &'static str) -> Option<Statistic> {
    let text = properties.required(name)?;
    let statistic = Statistic::parse(&text);
    if statistic.is_some() {
        return statistic;
    }
    let after = |start: &&str| text.strip_prefix(*start);
    let other = OTHER_STATISTICS.iter().find_map(after);
    if other.is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit() || c == '(')) {
        properties.warn(format_args!(
            "`{name}` {} cannot be evaluated on this machine, and so the alarm is not",
            quoted(&text)
        ));
    } else {
        let hint = did_you_mean(&text, STATISTICS);
        properties.problem(name, format!("is {}; AWS takes {}{hint}", quoted(&text), STATISTICS.join(" or ")));
    }
    None
}

/// Seconds; those of less than a minute are for metrics of high resolution.
fn period(properties: &mut Properties<'_>) -> Option<u32> {
    if !properties.has("Period") {
        properties.problem("Period", "is missing");
        return None;
    }
    match properties.number("Period", 60, 10..=DAY) {
        10 | 20 | 30 => {
            properties.warn("`Period` of less than 60 s cannot be evaluated on this machine, and so the alarm is not");
            None
        }
        seconds if seconds % 60 == 0 => Some(seconds),
        seconds => {
            properties.problem("Period", format!("is {seconds}; AWS takes 10, 20, 30 or a multiple of 60"));
            None
        }
    }
}

/// An item of `Metrics`.
struct Query {
    id: String,
    returned: bool,
    /// None if it cannot be evaluated, of which has been told.
    data: Option<Data>,
}

enum Data {
    Metric(MetricStat, u32),
    Expression(Expression),
}

/// An alarm on `Metrics`.
fn math(properties: &mut Properties<'_>) -> Option<(Measure, u32)> {
    for beside in ["Dimensions", "MetricName", "Namespace", "Period", "Statistic"] {
        if properties.has(beside) {
            properties.take(beside);
            properties.problem(beside, "stands beside `Metrics`; AWS takes one or the other");
        }
    }
    let queries = properties.each("Metrics", query);
    let ids: BTreeSet<String> = queries.iter().map(|query| query.id.clone()).collect();
    if ids.len() < queries.len() {
        properties.problem("Metrics", "have an `Id` twice");
        return None;
    }
    let returned: Vec<String> = queries.iter().filter(|query| query.returned).map(|query| query.id.clone()).collect();
    let [returned] = returned.as_slice() else {
        let what =
            format!("return the data of {}; exactly one has to, and the others `ReturnData: false`", returned.len());
        properties.problem("Metrics", what);
        return None;
    };
    let mut math = Math { metrics: Vec::new(), expressions: Vec::new(), returned: returned.clone() };
    let (mut left, mut periods, mut whole) = (Vec::new(), BTreeSet::new(), true);
    for Query { id, data, .. } in queries {
        match data {
            Some(Data::Metric(stat, period)) => {
                periods.insert(period);
                math.metrics.push((id, stat));
            }
            Some(Data::Expression(expression)) => left.push((id, expression)),
            None => whole = false,
        }
    }
    for (id, expression) in &left {
        for name in expression.names().filter(|name| !ids.contains(*name)) {
            let hint = did_you_mean(name, ids.iter().map(String::as_str));
            let what = format!("have no {}, which the expression of {} names{hint}", quoted(name), quoted(id));
            properties.problem("Metrics", what);
            whole = false;
        }
    }
    if !whole {
        return None;
    }
    // each expression after those that it names
    while !left.is_empty() {
        let waits = |(_, expression): &(String, Expression)| {
            left.iter().any(|(id, _)| expression.names().any(|name| name == id))
        };
        let Some(at) = left.iter().position(|one| !waits(one)) else {
            properties.problem("Metrics", format!("name each other in a circle: {}", quoted(&left[0].0)));
            return None;
        };
        let ready = left.remove(at);
        math.expressions.push(ready);
    }
    match Vec::from_iter(periods).as_slice() {
        [period] => Some((Measure::Math(math), *period)),
        [] => {
            properties.problem("Metrics", "have no metric");
            None
        }
        _ => {
            properties.problem("Metrics", "have several periods; AWS takes the same for all");
            None
        }
    }
}

fn query(mut properties: Properties<'_>) -> Option<Query> {
    let id = properties.required("Id");
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(id) =
        id.as_ref().filter(|id| !id.starts_with(|c: char| c.is_ascii_lowercase()) || !id.chars().all(fits))
    {
        let what = format!("is {}; AWS takes letters, digits and _, with a small letter first", quoted(id));
        properties.problem("Id", what);
    }
    let returned = properties.boolean("ReturnData", true);
    let data = match (properties.has("Expression"), properties.has("MetricStat")) {
        (true, false) => {
            properties.take("Period");
            expression(&mut properties).map(Data::Expression)
        }
        (false, true) => metric_stat(properties.below("MetricStat")).map(|(stat, period)| Data::Metric(stat, period)),
        _ => {
            properties.problem("Expression", "or `MetricStat` has to be there, and not both");
            None
        }
    };
    properties.finish(&["AccountId", "Label"], &[]);
    Some(Query { id: id?, returned, data })
}

fn metric_stat(mut properties: Properties<'_>) -> Option<(MetricStat, u32)> {
    if !properties.has("Metric") {
        properties.problem("Metric", "is missing");
    }
    let mut inner = properties.below("Metric");
    let metric = metric(&mut inner);
    inner.finish(&[], &[]);
    let (period, statistic) = (period(&mut properties), statistic(&mut properties, "Stat"));
    properties.finish(&["Unit"], &[]);
    let (metric, statistic) = (metric?, statistic?);
    Some((MetricStat { metric, statistic }, period?))
}

fn expression(properties: &mut Properties<'_>) -> Option<Expression> {
    let text = properties.required("Expression")?;
    match Expression::parse(&text) {
        Ok(expression) => Some(expression),
        Err(MathError::Unsupported(what)) => {
            properties.warn(format_args!(
                "`Expression` has {what}, which cannot be evaluated on this machine, and so the alarm is not"
            ));
            None
        }
        Err(error) => {
            properties.problem("Expression", format!("is {}: {error}", quoted(&text)));
            None
        }
    }
}
