//! Metric math: one expression over the datapoints of one period.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>
//!
//! Guarantees: an expression that parses names nothing but other metrics and functions that are known, and its result is
//! a number or none. Not imitated: what looks at more than one period (`RATE`, `RUNNING_SUM`, `MAX` of one metric), and
//! what searches for metrics.

use std::collections::BTreeSet;

/// Those that are evaluated here.
const FUNCTIONS: [&str; 9] = ["ABS", "AVG", "CEIL", "FILL", "FLOOR", "IF", "MAX", "MIN", "SUM"];

/// Those that CloudWatch has besides, and words that stand as arguments of `FILL`.
const OTHERS: [&str; 33] = [
    "ANOMALY_DETECTION_BAND",
    "DATAPOINT_COUNT",
    "DATE",
    "DAY",
    "DB_PERF_INSIGHTS",
    "DIFF",
    "DIFF_TIME",
    "EPOCH",
    "FIRST",
    "HOUR",
    "INSIGHT_RULE_METRIC",
    "LAMBDA",
    "LAST",
    "LINEAR",
    "LOG",
    "LOG10",
    "METRICS",
    "METRIC_COUNT",
    "MINUTE",
    "MONTH",
    "PERIOD",
    "RATE",
    "REMOVE_EMPTY",
    "REPEAT",
    "RUNNING_SUM",
    "SEARCH",
    "SELECT",
    "SERVICE_QUOTA",
    "SLICE",
    "SORT",
    "STDDEV",
    "TIME_SERIES",
    "YEAR",
];

/// Why an expression is not evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MathError {
    /// CloudWatch has it, and this machine has not.
    #[error("{0} cannot be evaluated on this machine")]
    Unsupported(String),
    /// There is no such function.
    #[error("there is no function `{0}`")]
    NoFunction(String),
    /// It is no expression.
    #[error("it is no expression: {0}")]
    Syntax(String),
}

/// An expression that can be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// As the evaluator reads it: with the names of metrics out of the way of its own functions.
    text: String,
    needed: BTreeSet<String>,
    /// Metrics that `FILL` gives a value where they have none.
    filled: BTreeSet<String>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it cannot be evaluated; whether the metrics that it names exist is for the caller to see.
    pub fn parse(text: &str) -> Result<Self, MathError> {
        let mut expression = Self { text: String::new(), needed: BTreeSet::new(), filled: BTreeSet::new() };
        expression.rewrite(text)?;
        // a run shows what the parser does not: functions with arguments that do not fit
        let mut misused = None;
        let run = fasteval2::ez_eval(&expression.text, &mut |name: &str, arguments: Vec<f64>| {
            if is_metric(name) {
                return Some(1.0);
            }
            let fits = match name {
                "ABS" | "CEIL" | "FLOOR" => arguments.len() == 1,
                "FILL" => arguments.len() == 2,
                "IF" => matches!(arguments.len(), 2 | 3),
                _ => arguments.len() > 1,
            };
            if !fits {
                misused = Some(format!("`{name}` with {} arguments", arguments.len()));
            }
            apply(name, &arguments)
        });
        match (misused, run) {
            (Some(misused), _) => Err(MathError::Unsupported(misused)),
            (None, Err(error)) => Err(MathError::Syntax(error.to_string())),
            (None, Ok(_)) => Ok(expression),
        }
    }

    /// The ids that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.needed.union(&self.filled).map(String::as_str)
    }

    /// The result for one period; none if a metric that it needs has none, or if it is no number (a division by zero).
    pub fn evaluate(&self, value: impl Fn(&str) -> Option<f64>) -> Option<f64> {
        if self.needed.iter().any(|name| value(name).is_none()) {
            return None;
        }
        let result =
            fasteval2::ez_eval(&self.text, &mut |name: &str, arguments: Vec<f64>| match name.strip_prefix(METRIC) {
                Some(id) => Some(value(id).unwrap_or(f64::NAN)),
                None => apply(name, &arguments),
            });
        result.ok().filter(|result| result.is_finite())
    }

    fn rewrite(&mut self, text: &str) -> Result<(), MathError> {
        let mut rest = text;
        let (mut in_list, mut after_fill) = (false, false);
        while let Some(first) = rest.chars().next() {
            let alphanumeric = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let length = match first {
                c if c.is_ascii_alphabetic() || c == '_' => rest.find(|c| !alphanumeric(c)),
                // the e of an exponent is no name
                c if c.is_ascii_digit() || c == '.' => rest.find(|c| !alphanumeric(c) && c != '.'),
                c => Some(c.len_utf8()),
            };
            let (token, after) = rest.split_at(length.unwrap_or(rest.len()));
            let next = after.trim_start().chars().next();
            match first {
                '[' if self.text.trim_end().ends_with('(') && !in_list => in_list = true,
                ']' if in_list => in_list = false,
                '[' | ']' => return Err(MathError::Unsupported("a list outside of a function".to_owned())),
                '\'' | '"' => return Err(MathError::Unsupported("text".to_owned())),
                c if c.is_ascii_alphabetic() || c == '_' => match token {
                    "AND" | "OR" => self.text += if token == "AND" { "&&" } else { "||" },
                    _ if OTHERS.contains(&token) => return Err(MathError::Unsupported(format!("`{token}`"))),
                    _ if FUNCTIONS.contains(&token) => self.text += token,
                    _ if next == Some('(') => return Err(MathError::NoFunction(token.to_owned())),
                    id => {
                        let may_miss = after_fill && next == Some(',');
                        let names = if may_miss { &mut self.filled } else { &mut self.needed };
                        names.insert(id.to_owned());
                        self.text += METRIC;
                        self.text += id;
                    }
                },
                _ => self.text += token,
            }
            after_fill = token == "FILL" || (after_fill && (first == '(' || first.is_whitespace()));
            rest = after;
        }
        Ok(())
    }
}

/// Before the id of a metric, which the evaluator could take for a function of its own: `e`.
const METRIC: &str = "m_";

fn is_metric(name: &str) -> bool {
    name.starts_with(METRIC)
}

/// Arguments that are missing are not a number here, and so is what is made of them.
fn apply(name: &str, arguments: &[f64]) -> Option<f64> {
    let fold = |with: fn(f64, f64) -> f64| arguments.iter().copied().reduce(with);
    Some(match (name, arguments) {
        ("ABS", [value]) => value.abs(),
        ("CEIL", [value]) => value.ceil(),
        ("FLOOR", [value]) => value.floor(),
        ("FILL", [value, instead]) => {
            if value.is_nan() {
                *instead
            } else {
                *value
            }
        }
        ("IF", [condition, then, ..]) if *condition != 0.0 => *then,
        ("IF", [_, _, otherwise]) => *otherwise,
        ("IF", [_, _]) => f64::NAN,
        ("MAX", [_, ..]) => fold(f64::max)?,
        ("MIN", [_, ..]) => fold(f64::min)?,
        ("SUM", values) => values.iter().sum(),
        ("AVG", values) => values.iter().sum::<f64>() / values.len() as f64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(text: &str) -> Option<f64> {
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        expression.evaluate(|name| match name {
            "m1" => Some(6.0),
            "e" => Some(2.0),
            "zero" => Some(0.0),
            _ => None,
        })
    }

    #[test]
    fn expressions_are_evaluated_over_the_metrics_of_a_period() {
        for (text, expected) in [
            ("m1 / e", 3.0),
            ("100 * (m1 - e) / m1 > 50", 1.0),
            ("m1 < e", 0.0),
            ("IF(m1 > 5 AND e > 1, 1e1, 20)", 10.0),
            ("IF(m1 > 5 && zero, 10, 20)", 20.0),
            ("MAX([m1, e]) + MIN([m1,e]) + SUM([m1, e, 1])", 17.0),
            ("AVG([m1, e])", 4.0),
            ("ABS(e - m1)", 4.0),
            ("FILL(gone, 7) + FILL( m1, 0 )", 13.0),
            ("m1 - -e", 8.0),
        ] {
            assert_eq!(evaluate(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn without_a_datapoint_or_a_number_there_is_no_result() {
        for text in
            ["m1 + gone", "IF(m1 > 0, 1, gone)", "m1 > 0 || gone", "MAX([m1, gone])", "m1 / zero", "IF(zero, 1)"]
        {
            assert_eq!(evaluate(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_known_before_anything_is_evaluated() {
        let expression = Expression::parse("IF(m1 > 1e3, FILL(m2, 0), e)").unwrap();
        assert_eq!(expression.names().collect::<Vec<_>>(), ["e", "m1", "m2"]);
    }

    #[test]
    fn what_cannot_be_evaluated_is_told_from_what_is_wrong() {
        for text in [
            "SEARCH('{N} x', 'Sum')",
            "RATE(m1)",
            "MAX(m1)",
            "SELECT AVG(x) FROM y",
            "[m1, m2]",
            "METRICS('m')",
            "FILL(m1, REPEAT)",
        ] {
            assert!(matches!(Expression::parse(text), Err(MathError::Unsupported(_))), "{text}");
        }
        assert_eq!(Expression::parse("MXA([m1, m2])"), Err(MathError::NoFunction("MXA".into())));
        for text in ["m1 +", "", "(m1", "m1 m2", "m1 = 2", "m1 # 2", "é"] {
            assert!(
                matches!(Expression::parse(text), Err(MathError::Syntax(_))),
                "{text}: {:?}",
                Expression::parse(text)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_expression_panics(text in "([a-z]|MAX|IF|FILL|[-+*/()\\[\\],<>=&|.0-9 eé']){0,24}") {
            if let Ok(expression) = Expression::parse(&text) {
                let _ = expression.evaluate(|_| Some(1.0));
            }
        }
    }
}
