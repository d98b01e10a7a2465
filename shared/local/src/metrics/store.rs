//! The values of every metric, by base period.
//!
//! Guarantees: memory is bounded, by periods of a metric and by metrics. Not kept: single values. What comes too late for
//! the periods that are kept counts in the totals only.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::MetricKey;
use crate::services::now_ms;

/// A base period at speed 1, and the shortest period of an alarm.
const PERIOD_MS: u64 = 60_000;
/// Base periods of less than a second would end before their values are there.
const SPEED_MAX: u32 = 60;
/// Base periods that are kept at least: 3 hours of an alarm's time.
const PERIODS_MIN: u64 = 180;
/// Metrics that are kept; each is at most some 15 kB.
const METRICS_MAX: usize = 10_000;

/// The values of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aggregate {
    /// Their sum.
    pub sum: f64,
    /// Their number.
    pub count: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Aggregate {
    const NONE: Self = Self { sum: 0.0, count: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    fn add(&mut self, value: f64, count: f64) {
        self.merge(&Self { sum: value * count, count, min: value, max: value });
    }

    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// A metric since the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    /// All values.
    pub all: Aggregate,
    /// The one that was recorded last.
    pub last: f64,
    /// When it was, in ms since the epoch.
    pub last_ms: u64,
}

impl Totals {
    /// As if the values of both had been recorded as one metric, those of `later` last.
    pub(crate) fn merge(&mut self, later: &Self) {
        self.all.merge(&later.all);
        self.last = later.last;
        self.last_ms = self.last_ms.max(later.last_ms);
    }
}

/// All metrics. Clones are the same store.
#[derive(Debug, Clone)]
pub struct MetricStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    speed: u64,
    kept: AtomicU64,
    metrics: Mutex<HashMap<MetricKey, Metric>>,
    full: AtomicBool,
}

#[derive(Debug)]
struct Metric {
    periods: BTreeMap<u64, Aggregate>,
    totals: Totals,
}

impl Default for MetricStore {
    fn default() -> Self {
        Self::new(1)
    }
}

impl MetricStore {
    /// An empty store whose base period is 60 s / `speed`, which counts as 1 below 1 and as 60 above 60.
    pub fn new(speed: u32) -> Self {
        Self(Arc::new(Inner {
            speed: u64::from(speed.clamp(1, SPEED_MAX)),
            kept: AtomicU64::new(PERIODS_MIN),
            metrics: Mutex::default(),
            full: AtomicBool::new(false),
        }))
    }

    /// Keeps at least so many base periods from now on.
    pub fn keep(&self, periods: u64) {
        self.0.kept.fetch_max(periods, Ordering::Relaxed);
    }

    /// The base period that a time in ms since the epoch is in.
    pub fn period_of(&self, at_ms: u64) -> u64 {
        at_ms * self.0.speed / PERIOD_MS
    }

    /// When a base period starts, in ms since the epoch.
    pub fn start_of(&self, period: u64) -> u64 {
        (period * PERIOD_MS).div_ceil(self.0.speed)
    }

    /// Records a value now.
    pub fn record(&self, key: &MetricKey, value: f64) {
        self.record_many(key, &[(value, 1.0)]);
    }

    /// Records values now, each with how often it came.
    pub fn record_many(&self, key: &MetricKey, values: &[(f64, f64)]) {
        self.record_at(key, values, now());
    }

    /// Records values at a time in ms since the epoch. What is no number is passed over, as is a count that is not
    /// above zero.
    pub fn record_at(&self, key: &MetricKey, values: &[(f64, f64)], at_ms: u64) {
        let sound = |(value, count): &&(f64, f64)| value.is_finite() && count.is_finite() && *count > 0.0;
        let (mut added, mut last) = (Aggregate::NONE, None);
        for (value, count) in values.iter().filter(sound) {
            added.add(*value, *count);
            last = Some(*value);
        }
        let Some(last) = last else { return };
        let period = self.period_of(at_ms);
        let mut metrics = self.lock();
        if metrics.len() >= METRICS_MAX && !metrics.contains_key(key) {
            if !self.0.full.swap(true, Ordering::Relaxed) {
                tracing::warn!(METRICS_MAX, metric = key.name, "too many metrics; new ones are dropped");
            }
            return;
        }
        let metric = metrics.entry(key.clone()).or_insert_with(|| Metric {
            periods: BTreeMap::new(),
            totals: Totals { all: Aggregate::NONE, last, last_ms: at_ms },
        });
        metric.totals.all.merge(&added);
        metric.totals.last = last;
        metric.totals.last_ms = at_ms;
        metric.periods.entry(period).or_insert(Aggregate::NONE).merge(&added);
        let newest = metric.periods.last_key_value().map_or(0, |(newest, _)| *newest);
        let oldest = newest.saturating_sub(self.0.kept.load(Ordering::Relaxed) - 1);
        while metric.periods.first_key_value().is_some_and(|(first, _)| *first < oldest) {
            metric.periods.pop_first();
        }
    }

    /// The latest `count` spans of `length` base periods each, the last of which ends with the base period `last`;
    /// oldest first. `None` is a span without values.
    pub fn spans(&self, key: &MetricKey, last: u64, length: u64, count: u64) -> Vec<Option<Aggregate>> {
        let metrics = self.lock();
        let periods = metrics.get(key).map(|metric| &metric.periods);
        let span = |age: u64| {
            // before the epoch there is nothing
            let after = (last + 1).checked_sub(age * length)?;
            let mut span = Aggregate::NONE;
            for (_, values) in periods?.range(after.saturating_sub(length)..after) {
                span.merge(values);
            }
            (span.count > 0.0).then_some(span)
        };
        (0..count).rev().map(span).collect()
    }

    /// Every metric with its totals, in order.
    pub fn totals(&self) -> BTreeMap<MetricKey, Totals> {
        self.lock().iter().map(|(key, metric)| (key.clone(), metric.totals)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MetricKey, Metric>> {
        self.0.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time in ms since the epoch.
pub(super) fn now() -> u64 {
    u64::try_from(now_ms()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> MetricKey {
        MetricKey::of("N", name, "D", "d")
    }

    #[test]
    fn values_of_a_period_are_added_up_and_periods_are_kept_apart() {
        let store = MetricStore::new(1);
        store.record_at(&key("m"), &[(4.0, 1.0), (1.0, 2.0)], 120_000);
        store.record_at(&key("m"), &[(-3.0, 1.0)], 179_999);
        store.record_at(&key("m"), &[(9.0, 1.0)], 180_000);
        let spans = store.spans(&key("m"), 3, 1, 3);
        assert_eq!(spans[0], None);
        assert_eq!(spans[1], Some(Aggregate { sum: 3.0, count: 4.0, min: -3.0, max: 4.0 }));
        assert_eq!(spans[2].unwrap().sum, 9.0);
        let both = store.spans(&key("m"), 3, 2, 1)[0].unwrap();
        assert_eq!((both.sum, both.count, both.max), (12.0, 5.0, 9.0), "a longer period is made of base periods");
        let totals = store.totals()[&key("m")];
        assert_eq!((totals.all.sum, totals.all.min, totals.last), (12.0, -3.0, 9.0));
        assert!(store.spans(&key("other"), 3, 1, 3).iter().all(Option::is_none));
    }

    #[test]
    fn at_a_speed_periods_pass_as_many_times_faster_and_start_where_the_one_before_ends() {
        for speed in [1, 7, 60] {
            let store = MetricStore::new(speed);
            for period in [1_000_000, 1_000_001, 1_700_000_013] {
                let start = store.start_of(period);
                assert_eq!((store.period_of(start), store.period_of(start - 1)), (period, period - 1), "{speed}");
            }
            assert_eq!(store.start_of(7 * u64::from(speed)), 7 * PERIOD_MS);
        }
    }

    #[test]
    fn old_periods_are_dropped_and_count_in_the_totals() {
        let store = MetricStore::new(1);
        store.keep(200);
        for minute in 0..300 {
            store.record_at(&key("m"), &[(1.0, 1.0)], minute * PERIOD_MS);
        }
        store.record_at(&key("m"), &[(1.0, 1.0)], 0);
        assert_eq!(store.spans(&key("m"), 299, 1, 300).iter().flatten().count(), 200);
        assert_eq!(store.totals()[&key("m")].all.count, 301.0);
    }

    #[test]
    fn past_the_bound_a_new_metric_is_dropped_and_a_known_one_goes_on() {
        let store = MetricStore::new(1);
        for number in 0..METRICS_MAX + 5 {
            store.record_at(&key(&number.to_string()), &[(1.0, 1.0)], 0);
        }
        store.record_at(&key("0"), &[(1.0, 1.0)], 0);
        assert_eq!((store.totals().len(), store.totals()[&key("0")].all.sum), (METRICS_MAX, 2.0));
    }

    #[test]
    fn what_is_no_number_is_passed_over() {
        let store = MetricStore::new(1);
        store.record_at(&key("m"), &[(f64::NAN, 1.0), (1.0, 0.0), (1.0, -1.0), (f64::INFINITY, 1.0)], 0);
        assert!(store.totals().is_empty());
    }
}
