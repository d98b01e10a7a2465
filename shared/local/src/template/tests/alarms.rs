use super::*;
use crate::metrics::alarm::{Comparison, Missing};
use crate::metrics::{MetricKey, Statistic};
use crate::template::model::{Alarm, Measure};

/// A template with one alarm, whose properties begin in line 5.
fn template(properties: &str) -> String {
    let indented: String = properties.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "Resources:\n  A:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n{indented}  Q: {{Type: AWS::SQS::Queue}}\n"
    )
}

const PLAIN: &str = "AlarmDescription: It is late.
Namespace: AWS/SQS
MetricName: ApproximateNumberOfMessagesVisible
Dimensions: [{Name: QueueName, Value: !GetAtt Q.QueueName}]
Statistic: Maximum
Period: 300
EvaluationPeriods: 5
DatapointsToAlarm: 3
Threshold: 1.5e3
ComparisonOperator: GreaterThanOrEqualToThreshold
TreatMissingData: notBreaching
Unit: Count
AlarmActions: [!Ref AWS::NoValue]
ActionsEnabled: true
AlarmName: late
Tags: []";

const MATH: &str = "Metrics:
- {Id: part, Expression: '100 * errors / all', Label: Part, ReturnData: true}
- {Id: all, Expression: 'FILL(invocations, 1)', ReturnData: false}
- {Id: errors, ReturnData: false, MetricStat: {Metric: {Namespace: N, MetricName: E}, Period: 60, Stat: Sum, Unit: Count}}
- {Id: invocations, ReturnData: false, MetricStat: {Metric: {Namespace: N, MetricName: I, Dimensions: [{Name: F, Value: f}]}, Period: 60, Stat: Sum}}
EvaluationPeriods: 1
Threshold: 5
ComparisonOperator: LessThanThreshold";

fn alarm(properties: &str) -> Alarm {
    let pipeline = read(&template(properties)).unwrap();
    assert!(pipeline.warnings.is_empty(), "{:?}", pipeline.warnings);
    pipeline.alarms.into_iter().next().unwrap()
}

#[test]
fn an_alarm_on_one_metric_is_read_whole() {
    let alarm = alarm(PLAIN);
    assert_eq!((alarm.logical_id.as_str(), alarm.description.as_str(), alarm.period), ("A", "It is late.", 300));
    let Measure::Metric(stat) = &alarm.measure else { panic!("{:?}", alarm.measure) };
    let name = "ApproximateNumberOfMessagesVisible";
    assert_eq!(stat.metric, MetricKey::of("AWS/SQS", name, "QueueName", "test-Q"));
    assert_eq!(stat.statistic, Statistic::Maximum);
    let rules = &alarm.rules;
    assert_eq!((rules.evaluation_periods, rules.datapoints_to_alarm, rules.threshold), (5, 3, 1500.0));
    assert_eq!((rules.comparison, rules.missing), (Comparison::GreaterOrEqual, Missing::NotBreaching));
}

#[test]
fn what_is_left_out_has_the_defaults_of_aws() {
    let left_out = PLAIN.replace("DatapointsToAlarm: 3\n", "").replace("TreatMissingData: notBreaching\n", "");
    let rules = alarm(&left_out).rules;
    assert_eq!((rules.datapoints_to_alarm, rules.missing), (5, Missing::Missing));
    let rules = alarm(&left_out.replace("AWS/SQS", "AWS/DynamoDB")).rules;
    assert_eq!(rules.missing, Missing::Ignore);
}

#[test]
fn expressions_come_after_what_they_name() {
    let Measure::Math(math) = alarm(MATH).measure else { panic!("it is math") };
    let ids: Vec<_> = math.expressions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((ids, math.metrics.len(), math.returned.as_str()), (vec!["all", "part"], 2, "part"));
    assert_eq!(math.metrics[1].1.metric, MetricKey::of("N", "I", "F", "f"));
}

#[test]
fn an_alarm_that_cannot_be_evaluated_is_named_in_a_warning_with_the_property() {
    for (from, to, expected) in [
        ("Statistic: Maximum", "ExtendedStatistic: p99", "A: `ExtendedStatistic` cannot"),
        ("Statistic: Maximum", "Statistic: p99.9", "A: `Statistic` `p99.9` cannot"),
        ("Period: 300", "Period: 10", "A: `Period` of less than 60 s cannot"),
        ("GreaterThanOrEqualToThreshold", "GreaterThanUpperThreshold", "A: `ComparisonOperator` cannot"),
        ("Threshold: 1.5e3", "ThresholdMetricId: band", "A: `ThresholdMetricId` cannot"),
    ] {
        let text = template(&PLAIN.replace(from, to));
        let pipeline = read(&text).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(pipeline.alarms.is_empty(), "{to}");
        assert_eq!(pipeline.warnings.len(), 1, "{:?}", pipeline.warnings);
        assert!(pipeline.warnings[0].starts_with(expected), "{:?}", pipeline.warnings);
    }
    for (from, to) in [("Stat: Sum, Unit", "Stat: p50, Unit"), ("FILL(invocations, 1)", "RATE(invocations)")] {
        let pipeline = read(&template(&MATH.replace(from, to))).unwrap();
        assert_eq!((pipeline.alarms.len(), pipeline.warnings.len()), (0, 1), "{:?}", pipeline.warnings);
        assert!(pipeline.warnings[0].starts_with("A.Metrics"), "{:?}", pipeline.warnings);
    }
}

#[test]
fn a_value_that_aws_would_refuse_is_refused_in_its_line() {
    for (from, to, expected) in [
        ("Statistic: Maximum", "Statistic: Maxmium", "t.yaml:9: A.Statistic: is `Maxmium`"),
        ("Period: 300", "Period: 90", "t.yaml:10: A.Period: is 90; AWS takes 10, 20, 30 or a multiple of 60"),
        ("Period: 300\n", "", "A.Period: is missing"),
        ("EvaluationPeriods: 5\n", "", "A.EvaluationPeriods: is missing"),
        ("EvaluationPeriods: 5", "EvaluationPeriods: 289", "A.EvaluationPeriods: makes 289 periods of 300 s"),
        (
            "DatapointsToAlarm: 3",
            "DatapointsToAlarm: 6",
            "t.yaml:12: A.DatapointsToAlarm: is `6`; AWS takes a number from 1 to 5",
        ),
        ("Threshold: 1.5e3", "Threshold: nan", "t.yaml:13: A.Threshold: is `nan`; it must be a number"),
        ("Threshold: 1.5e3\n", "", "A.Threshold: is missing"),
        ("GreaterThanOrEqualToThreshold", "GreaterThan", "A.ComparisonOperator: is `GreaterThan`"),
        ("TreatMissingData: notBreaching", "TreatMissingData: none", "A.TreatMissingData: is `none`"),
        ("MetricName: ApproximateNumberOfMessagesVisible\n", "", "A.MetricName: is missing"),
        ("Unit: Count", "Units: Count", "did you mean `Unit`?"),
        ("Value: !GetAtt Q.QueueName", "Valeu: x", "A.Dimensions.Value: is missing"),
        ("Unit: Count", "Metrics: []", "A.Metrics: return the data of 0"),
    ] {
        let text = PLAIN.replace(from, to);
        assert_ne!(text, PLAIN, "{from}");
        let error = refused(&template(&text));
        assert!(error.contains(expected), "{to}: {error}");
        let mistakes = if to.contains("Valeu") || to.contains("Metrics") { 2..8 } else { 1..2 };
        assert!(mistakes.contains(&error.lines().count()), "one mistake is told once: {error}");
    }
}

#[test]
fn an_expression_that_means_nothing_is_refused() {
    for (from, to, expected) in [
        (
            "100 * errors / all",
            "100 * erors / all",
            "have no `erors`, which the expression of `part` names (did you mean `errors`?)",
        ),
        ("100 * errors / all", "100 * / all", "t.yaml:6: A.Metrics.Expression: is `100 * / all`: it is no expression"),
        ("100 * errors / all", "MAXX([errors, all])", "there is no function `MAXX`"),
        ("FILL(invocations, 1)", "part + 1", "name each other in a circle"),
        ("Label: Part, ReturnData: true", "ReturnData: false", "return the data of 0; exactly one"),
        (
            "Id: all, Expression: 'FILL(invocations, 1)', ReturnData: false",
            "Id: all, Expression: invocations",
            "return the data of 2",
        ),
        ("Period: 60, Stat: Sum, Unit: Count", "Period: 120, Stat: Sum", "have several periods"),
        ("Id: errors", "Id: Errors", "A.Metrics.Id: is `Errors`"),
        ("Id: errors", "Id: all", "have an `Id` twice"),
        ("EvaluationPeriods: 1", "EvaluationPeriods: 1\nPeriod: 60", "stands beside `Metrics`"),
        ("Expression: 'FILL(invocations, 1)', ", "", "`MetricStat` has to be there"),
    ] {
        let text = MATH.replace(from, to);
        assert_ne!(text, MATH, "{from}");
        let error = refused(&template(&text));
        assert!(error.contains(expected), "{to}: {error}");
    }
}

proptest! {
    #[test]
    fn no_alarm_panics(at in 0usize..MATH.len(), insert in "[-{}:, A-Za-z0-9(]{0,8}", remove in 0usize..30) {
        for text in [PLAIN, MATH] {
            let at = at.min(text.len());
            let end = (at + remove).min(text.len());
            let _ = read(&template(&format!("{}{insert}{}", &text[..at], &text[end..])));
        }
    }
}
