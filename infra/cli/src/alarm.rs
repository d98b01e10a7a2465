//! Changes of an alarm's state, as the terminal shows them.

use penstock_local::metrics::{State, StateChange};

/// The change in a line, and under an alarm that goes off what the template says about it. Nothing where no alarm is
/// concerned: that data comes, or stays away, is no news.
pub(crate) fn lines(change: &StateChange) -> Vec<String> {
    let StateChange { name, from, to, reason, description, .. } = change;
    if ![from, to].contains(&&State::Alarm) {
        return Vec::new();
    }
    let mut lines = vec![format!("alarm {name}: {from} -> {to}: {reason}")];
    if *to == State::Alarm && !description.trim().is_empty() {
        lines.push(format!("  {}", one_line(description)));
    }
    lines
}

/// What the template says about an alarm, as one line.
pub(crate) fn one_line(description: &str) -> String {
    description.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(from: State, to: State) -> Vec<String> {
        lines(&StateChange {
            name: "LateAlarm".into(),
            from,
            to,
            reason: "5 of 5 datapoints > 60000 (61234, 61000, 60900, 60800, 60700)".into(),
            description: "The group is late:\n  look at its log.\n".into(),
            at_ms: 0,
        })
    }

    #[test]
    fn an_alarm_that_goes_off_is_two_lines_and_one_that_ends_is_one() {
        assert_eq!(
            told(State::Ok, State::Alarm),
            [
                "alarm LateAlarm: OK -> ALARM: 5 of 5 datapoints > 60000 (61234, 61000, 60900, 60800, 60700)",
                "  The group is late: look at its log.",
            ]
        );
        assert_eq!(told(State::Alarm, State::InsufficientData).len(), 1);
        assert!(
            told(State::InsufficientData, State::Ok).is_empty() && told(State::Ok, State::InsufficientData).is_empty()
        );
    }
}
