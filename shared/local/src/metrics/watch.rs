//! The watch over a template's alarms.
//!
//! Guarantees: after every base period each alarm is evaluated once, and each change of its state is told once, in the
//! order of the template. An alarm whose period is longer looks at as many base periods up to now. A period that the
//! process slept through is not evaluated.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::store::now;
use super::{Aggregate, MetricStore, State};
use crate::template::model::{Alarm, Measure, MetricStat};

/// How long after a period its values may still come, at most; a tenth of a period if that is shorter.
const SETTLE_MAX_MS: u64 = 2_000;

/// Seconds of an alarm's time in a base period.
const BASE_SECONDS: u32 = 60;

/// What an alarm says now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmState {
    /// Its logical id.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Why, after the latest evaluation.
    pub reason: String,
    /// What the template says about it.
    pub description: String,
    /// When it got into its state, in ms since the epoch.
    pub since_ms: u64,
}

/// A change of an alarm's state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateChange {
    /// The alarm's logical id.
    pub name: String,
    /// Its state until now.
    pub from: State,
    /// Its state from now on.
    pub to: State,
    /// Why, in one sentence with the datapoints and the threshold.
    pub reason: String,
    /// What the template says about the alarm.
    pub description: String,
    /// When, in ms since the epoch.
    pub at_ms: u64,
}

/// Hears each change of an alarm's state.
pub type OnAlarm = Arc<dyn Fn(&StateChange) + Send + Sync>;

/// Records what is seen only when one looks, at a time in ms since the epoch.
pub type Sample = Box<dyn Fn(&MetricStore, u64) + Send + Sync>;

/// The alarms of a template and their states. Clones are the same watch.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    store: MetricStore,
    alarms: Vec<Alarm>,
    /// As many as alarms, in their order.
    states: Mutex<Vec<AlarmState>>,
    on_change: OnAlarm,
}

impl Watch {
    /// A watch over `alarms`, with every alarm in [`State::InsufficientData`].
    pub fn new(store: MetricStore, alarms: Vec<Alarm>, on_change: OnAlarm) -> Self {
        for alarm in &alarms {
            store.keep(length(alarm) * u64::from(alarm.rules.range()) + 1);
        }
        let states = alarms.iter().map(|alarm| AlarmState {
            name: alarm.logical_id.clone(),
            state: State::InsufficientData,
            reason: "it has not been evaluated yet".to_owned(),
            description: alarm.description.clone(),
            since_ms: now(),
        });
        let states = Mutex::new(states.collect());
        Self(Arc::new(Inner { store, alarms, states, on_change }))
    }

    /// The alarms as they are now, in the order of the template.
    pub fn alarms(&self) -> Vec<AlarmState> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Evaluates until `cancel`. `sample` runs before each evaluation, and what it records belongs to the period that is
    /// evaluated.
    pub async fn run(self, sample: Sample, cancel: CancellationToken) {
        let store = &self.0.store;
        loop {
            let now_ms = now();
            let period = store.period_of(now_ms);
            let (start, end) = (store.start_of(period), store.start_of(period + 1));
            let settle = SETTLE_MAX_MS.min((end - start) / 10);
            let wait = Duration::from_millis(end + settle - now_ms);
            if cancel.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            // not `period`: the machine may have slept
            let last = store.period_of(now()).saturating_sub(1);
            sample(store, store.start_of(last + 1) - 1);
            self.evaluate(last);
        }
    }

    /// Evaluates every alarm over the periods up to `last`, and tells of the changes.
    pub fn evaluate(&self, last: u64) {
        let Inner { store, alarms, states, on_change } = &*self.0;
        let at_ms = now();
        let mut changes = Vec::new();
        {
            let mut states = states.lock().unwrap_or_else(PoisonError::into_inner);
            for (alarm, state) in alarms.iter().zip(states.iter_mut()) {
                let evaluation = alarm.rules.evaluate(&datapoints(alarm, store, last), state.state);
                let from = state.state;
                state.state = evaluation.state;
                state.reason = evaluation.reason;
                if from != state.state {
                    state.since_ms = at_ms;
                    let AlarmState { name, state: to, reason, description, .. } = state.clone();
                    changes.push(StateChange { name, from, to, reason, description, at_ms });
                }
            }
        }
        // whoever hears it may ask for the states
        for change in &changes {
            on_change(change);
        }
    }
}

/// Base periods of a period of an alarm.
fn length(alarm: &Alarm) -> u64 {
    u64::from((alarm.period / BASE_SECONDS).max(1))
}

fn datapoints(alarm: &Alarm, store: &MetricStore, last: u64) -> Vec<Option<f64>> {
    let count = alarm.rules.range();
    let series = |stat: &MetricStat| -> Vec<Option<f64>> {
        let spans = store.spans(&stat.metric, last, length(alarm), u64::from(count));
        let value = |span: Option<Aggregate>| span.map(|values| stat.statistic.of(&values));
        spans.into_iter().map(value).collect()
    };
    let math = match &alarm.measure {
        Measure::Metric(stat) => return series(stat),
        Measure::Math(math) => math,
    };
    let metrics: Vec<(&str, Vec<Option<f64>>)> =
        math.metrics.iter().map(|(id, stat)| (id.as_str(), series(stat))).collect();
    let datapoint = |at: usize| {
        let mut values: Vec<(&str, Option<f64>)> = metrics.iter().map(|(id, series)| (*id, series[at])).collect();
        for (id, expression) in &math.expressions {
            let value = |name: &str| values.iter().find(|(id, _)| *id == name)?.1;
            let result = expression.evaluate(value);
            values.push((id, result));
        }
        values.iter().find(|(id, _)| *id == math.returned)?.1
    };
    (0..count as usize).map(datapoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::alarm::{Comparison, Missing, Rules};
    use crate::metrics::math::Expression;
    use crate::metrics::{MetricKey, Statistic};
    use crate::template::model::Math;

    const START: u64 = 1_000_000;

    fn stat(name: &str) -> MetricStat {
        MetricStat { metric: MetricKey::of("N", name, "D", "d"), statistic: Statistic::Sum }
    }

    fn alarm(name: &str, measure: Measure, period: u32, missing: Missing) -> Alarm {
        let (evaluation_periods, datapoints_to_alarm) = (2, 2);
        let (threshold, comparison) = (10.0, Comparison::Greater);
        let rules = Rules { evaluation_periods, datapoints_to_alarm, threshold, comparison, missing };
        Alarm { logical_id: name.into(), description: "D.".into(), measure, period, rules }
    }

    struct Watched {
        store: MetricStore,
        watch: Watch,
        told: Arc<Mutex<Vec<String>>>,
    }

    fn watch(alarms: Vec<Alarm>) -> Watched {
        let (store, told) = (MetricStore::new(60), Arc::new(Mutex::new(Vec::new())));
        let sink = Arc::clone(&told);
        let on_change: OnAlarm = Arc::new(move |change: &StateChange| {
            let StateChange { name, from, to, reason, .. } = change;
            sink.lock().unwrap().push(format!("{name} {from} {to}: {reason}"));
        });
        Watched { watch: Watch::new(store.clone(), alarms, on_change), store, told }
    }

    impl Watched {
        /// A base period with these values of metrics, which is evaluated then.
        fn pass(&self, period: u64, values: &[(&str, f64)]) -> Vec<String> {
            for (name, value) in values {
                self.store.record_at(&stat(name).metric, &[(*value, 1.0)], self.store.start_of(START + period));
            }
            self.watch.evaluate(START + period);
            std::mem::take(&mut *self.told.lock().unwrap())
        }
    }

    #[test]
    fn each_change_is_told_once_and_the_state_can_be_read() {
        let watched = watch(vec![alarm("A", Measure::Metric(stat("m")), 60, Missing::Missing)]);
        assert_eq!(watched.watch.alarms()[0].state, State::InsufficientData);
        assert!(watched.pass(0, &[]).is_empty());
        assert_eq!(watched.pass(1, &[("m", 1.0)]), ["A INSUFFICIENT_DATA OK: 0 of 1 datapoint > 10 (1), 1 missing"]);
        assert!(watched.pass(2, &[("m", 11.0)]).is_empty());
        assert_eq!(watched.pass(3, &[("m", 12.0)]), ["A OK ALARM: 2 of 2 datapoints > 10 (12, 11)"]);
        assert!(watched.pass(4, &[("m", 13.0)]).is_empty());
        let state = &watched.watch.alarms()[0];
        assert_eq!((state.state, state.reason.as_str()), (State::Alarm, "2 of 2 datapoints > 10 (13, 12)"));
        assert_eq!(watched.pass(5, &[("m", 0.0)]), ["A ALARM OK: 1 of 2 datapoints > 10 (0, 13)"]);
        assert_eq!(watched.pass(9, &[]), ["A OK INSUFFICIENT_DATA: no datapoints, 2 missing"]);
    }

    #[test]
    fn a_period_of_five_minutes_is_five_base_periods() {
        let watched = watch(vec![alarm("A", Measure::Metric(stat("m")), 300, Missing::NotBreaching)]);
        let told: Vec<_> = (0..10).flat_map(|period| watched.pass(period, &[("m", 2.1)])).collect();
        assert_eq!(
            told,
            [
                "A INSUFFICIENT_DATA OK: 0 of 1 datapoint > 10 (2.1), 1 missing and taken as not breaching",
                "A OK ALARM: 2 of 2 datapoints > 10 (10.5, 10.5)"
            ]
        );
    }

    #[test]
    fn an_expression_is_evaluated_period_by_period_and_expressions_name_each_other() {
        let expression = |text| Expression::parse(text).unwrap();
        let math = Math {
            metrics: vec![("errors".into(), stat("e")), ("runs".into(), stat("r"))],
            expressions: vec![
                ("all".into(), expression("FILL(runs, 1)")),
                ("part".into(), expression("100 * errors / all")),
            ],
            returned: "part".into(),
        };
        let watched = watch(vec![alarm("A", Measure::Math(math), 60, Missing::Missing)]);
        assert_eq!(watched.pass(0, &[("e", 1.0), ("r", 10.0)]).len(), 1, "it has data");
        assert!(watched.pass(1, &[("r", 1.0)]).is_empty(), "no errors were recorded: no result");
        assert!(watched.pass(2, &[("e", 1.0)]).is_empty());
        assert_eq!(watched.pass(3, &[("e", 2.0), ("r", 4.0)]), ["A OK ALARM: 2 of 2 datapoints > 10 (50, 100)"]);
    }

    #[tokio::test]
    async fn the_watch_runs_by_itself_and_samples_into_the_period_that_it_evaluates() {
        let watched = watch(vec![alarm("A", Measure::Metric(stat("m")), 60, Missing::Missing)]);
        let sample: Sample = Box::new(|store, at_ms| store.record_at(&stat("m").metric, &[(20.0, 1.0)], at_ms));
        let cancel = CancellationToken::new();
        let running = tokio::spawn(watched.watch.clone().run(sample, cancel.clone()));
        let alarmed = async {
            while watched.watch.alarms()[0].state != State::Alarm {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), alarmed).await.expect("two periods of a second");
        cancel.cancel();
        tokio::time::timeout(Duration::from_secs(1), running).await.expect("it ends").unwrap();
    }
}
