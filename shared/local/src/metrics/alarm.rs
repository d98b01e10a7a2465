//! The state of an alarm, from its datapoints.
//!
//! The rules are those of
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>. More periods are looked
//! at than have to be evaluated: a datapoint that is there counts before a missing one does. AWS does not say how many
//! more; the examples of that page have two.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Periods that are looked at beyond those that are evaluated.
const BEYOND: u32 = 2;

/// What an alarm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Within the threshold.
    Ok,
    /// Beyond it.
    Alarm,
    /// Too little to say: also what an alarm starts with.
    InsufficientData,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        })
    }
}

/// How a datapoint is compared with the threshold; if it holds, the datapoint is breaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `GreaterThanThreshold`
    Greater,
    /// `GreaterThanOrEqualToThreshold`
    GreaterOrEqual,
    /// `LessThanThreshold`
    Less,
    /// `LessThanOrEqualToThreshold`
    LessOrEqual,
}

impl Comparison {
    fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        })
    }
}

/// `TreatMissingData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is concluded from it; if everything is missing, the state is [`State::InsufficientData`].
    Missing,
    /// The state stays as it is.
    Ignore,
    /// It counts as breaching.
    Breaching,
    /// It counts as within the threshold.
    NotBreaching,
}

/// When an alarm goes off.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// `EvaluationPeriods`, from 1.
    pub evaluation_periods: u32,
    /// `DatapointsToAlarm`, from 1 to `evaluation_periods`.
    pub datapoints_to_alarm: u32,
    /// `Threshold`.
    pub threshold: f64,
    /// `ComparisonOperator`.
    pub comparison: Comparison,
    /// `TreatMissingData`.
    pub missing: Missing,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The state from now on.
    pub state: State,
    /// Why, in one sentence with the datapoints and the threshold.
    pub reason: String,
}

impl Rules {
    /// Periods that an evaluation looks at.
    pub fn range(&self) -> u32 {
        self.evaluation_periods + BEYOND
    }

    /// Evaluates the datapoints of the latest [`range`](Self::range) periods, oldest first.
    pub fn evaluate(&self, datapoints: &[Option<f64>], current: State) -> Evaluation {
        let wanted = self.evaluation_periods as usize;
        let to_alarm = self.datapoints_to_alarm as usize;
        // newest first, with their ages in periods from 1
        let real = datapoints.iter().rev().zip(1..).filter_map(|(value, age)| Some(((*value)?, age)));
        let real: Vec<(f64, usize)> = real.take(wanted).collect();
        let breaching = real.iter().filter(|(value, _)| self.comparison.holds(*value, self.threshold)).count();
        let filled = wanted - real.len();
        let oldest = real.last().map_or(0, |(_, age)| *age);
        let plain = |breaching: usize| if breaching >= to_alarm { State::Alarm } else { State::Ok };
        let state = match self.missing {
            _ if filled == 0 => plain(breaching),
            Missing::Breaching => plain(breaching + filled),
            Missing::NotBreaching => plain(breaching),
            _ if breaching >= to_alarm => State::Alarm,
            Missing::Missing if real.is_empty() => State::InsufficientData,
            // a single breach that is old enough: what was to follow it would have come by now
            Missing::Missing if breaching == real.len() && oldest >= to_alarm => State::Alarm,
            Missing::Ignore if breaching == real.len() => current,
            Missing::Missing | Missing::Ignore => State::Ok,
        };
        Evaluation { state, reason: self.reason(breaching, filled, &real) }
    }

    fn reason(&self, breaching: usize, filled: usize, real: &[(f64, usize)]) -> String {
        let Self { comparison, threshold, .. } = self;
        let values: Vec<String> = real.iter().map(|(value, _)| number(*value)).collect();
        let mut reason = match values.as_slice() {
            [] => "no datapoints".to_owned(),
            [one] => format!("{breaching} of 1 datapoint {comparison} {} ({one})", number(*threshold)),
            many => {
                format!(
                    "{breaching} of {} datapoints {comparison} {} ({})",
                    many.len(),
                    number(*threshold),
                    many.join(", ")
                )
            }
        };
        if filled > 0 {
            reason += &format!(", {filled} missing");
            reason += match self.missing {
                Missing::Missing | Missing::Ignore => "",
                Missing::Breaching => " and taken as breaching",
                Missing::NotBreaching => " and taken as not breaching",
            };
        }
        reason
    }
}

/// A number without the noise of its last binary digits.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Missing; 4] = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];

    fn rules(datapoints_to_alarm: u32, missing: Missing) -> Rules {
        Rules { evaluation_periods: 3, datapoints_to_alarm, threshold: 1.0, comparison: Comparison::Greater, missing }
    }

    /// `0` is within the threshold, `X` is breaching, `-` is missing.
    fn points(text: &str) -> Vec<Option<f64>> {
        let value = |word| match word {
            "0" => Some(0.0),
            "X" => Some(2.0),
            _ => None,
        };
        text.split(' ').map(value).collect()
    }

    /// One row of the documentation, in its order of the treatments; `None` retains the current state.
    fn row(to_alarm: u32, text: &str, expected: [Option<State>; 4]) {
        for (missing, expected) in ALL.into_iter().zip(expected) {
            for current in [State::Ok, State::Alarm, State::InsufficientData] {
                let state = rules(to_alarm, missing).evaluate(&points(text), current).state;
                assert_eq!(state, expected.unwrap_or(current), "{text} with {missing:?}, {to_alarm} to alarm");
            }
        }
    }

    const OK: Option<State> = Some(State::Ok);
    const ALARM: Option<State> = Some(State::Alarm);

    #[test]
    fn three_out_of_three_is_as_documented() {
        row(3, "0 - X - X", [OK; 4]);
        row(3, "0 - - - -", [OK; 4]);
        row(3, "- - - - -", [Some(State::InsufficientData), None, ALARM, OK]);
        row(3, "0 X X - X", [ALARM; 4]);
        row(3, "- - X - -", [ALARM, None, ALARM, OK]);
    }

    #[test]
    fn two_out_of_three_is_as_documented() {
        row(2, "0 - X - X", [ALARM; 4]);
        row(2, "0 0 X 0 X", [ALARM; 4]);
        row(2, "0 - X - -", [OK, OK, ALARM, OK]);
        row(2, "- - - - 0", [OK, OK, ALARM, OK]);
        row(2, "- - - X -", [ALARM, None, ALARM, OK]);
    }

    #[test]
    fn a_breach_that_is_young_does_not_raise_an_alarm_before_its_time() {
        row(3, "- - - - X", [OK, None, ALARM, OK]);
        row(3, "- - - X -", [OK, None, ALARM, OK]);
        row(3, "- - X - 0", [OK, OK, OK, OK]);
        row(2, "- - - X X", [ALARM; 4]);
        row(1, "- - - - X", [ALARM; 4]);
    }

    #[test]
    fn the_threshold_itself_breaches_only_where_the_operator_says_so() {
        let holds = [Comparison::Greater, Comparison::GreaterOrEqual, Comparison::Less, Comparison::LessOrEqual]
            .map(|comparison| [0.0, 1.0, 2.0].map(|value| comparison.holds(value, 1.0)));
        assert_eq!(holds, [[false, false, true], [false, true, true], [true, false, false], [true, true, false]]);
    }

    #[test]
    fn the_reason_has_the_datapoints_newest_first_the_threshold_and_what_is_missing() {
        let reason = |missing, text| rules(2, missing).evaluate(&points(text), State::Ok).reason;
        assert_eq!(reason(Missing::Missing, "0 0 X 0 X"), "2 of 3 datapoints > 1 (2, 0, 2)");
        assert_eq!(
            reason(Missing::Breaching, "- - - - 0"),
            "0 of 1 datapoint > 1 (0), 2 missing and taken as breaching"
        );
        assert_eq!(reason(Missing::Missing, "- - - - -"), "no datapoints, 3 missing");
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!((number(61_234.0), number(-0.000_01), number(100.0)), ("61234".into(), "0".into(), "100".into()));
    }
}
