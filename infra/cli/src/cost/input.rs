//! What `penstock cost` is asked, and which of it makes sense.

use anyhow::{Context, ensure};
use serde::Serialize;

/// An event is at most so large: `Limits::DEFAULT`.
const EVENT_BYTES_MAX: u64 = penstock::Limits::DEFAULT.event_bytes as u64;
const REQUEST_EVENTS_MAX: u64 = 500;
/// Above what any account is given; a slip of the finger is more likely.
const EVENTS_PER_SECOND_MAX: f64 = 10_000_000.0;
const EVENTS_PER_SECOND_MIN: f64 = 0.001;
/// A request, before it is compressed: `docs/http.md`.
const REQUEST_BYTES_MAX: u64 = 6_000_000;
/// The consumers that a stream with enhanced fan-out may have, and far more than two megabytes a second are enough for without.
const GROUPS_MAX: u64 = 20;

/// Options of `penstock cost`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Events a second, as a mean over the month
    #[arg(long, value_name = "N", allow_negative_numbers = true, required_unless_present = "count")]
    events_per_second: Option<f64>,
    /// Bytes of an event as it is sent
    #[arg(long, value_name = "B", required_unless_present = "count")]
    bytes: Option<u64>,
    /// Consumer groups
    #[arg(long, value_name = "G", required_unless_present = "count")]
    groups: Option<u64>,
    /// Groups of those that are projections: they keep a state for each key
    #[arg(long, value_name = "P", default_value_t = 0)]
    projection_groups: u64,
    /// Events of one HTTP request
    #[arg(long, value_name = "E", default_value_t = 1)]
    request_events: u64,
    /// Events of one key that come together, in a request and in a batch. A request has a record for each of its keys, and
    /// a projection reads and writes a state for each key of a batch
    #[arg(long, value_name = "K", default_value_t = 1.0)]
    events_per_key: f64,
    /// The share of a batch's states, from 0 to 1, that the process wrote lately and remembers: it does not read them
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    states_remembered: f64,
    /// StreamMode ON_DEMAND
    #[arg(long)]
    on_demand: bool,
    /// EnhancedFanOut
    #[arg(long)]
    enhanced_fan_out: bool,
    /// RetentionHours
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    retention_hours: u64,
    /// MaximumBatchingWindowInSeconds of the groups' mappings
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    batch_window: u64,
    /// MemorySize of the functions, in MB
    #[arg(long, value_name = "MB", default_value_t = 512)]
    memory: u64,
    /// Print the same as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Run the pipeline here and count its calls anew, into infra/cli/src/cost/calls.json
    #[arg(long, conflicts_with_all = ["events_per_second", "bytes", "groups", "json"])]
    pub(super) count: bool,
}

/// A load, and the stack that bears it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Load {
    pub(crate) events_per_second: f64,
    pub(crate) bytes: u64,
    pub(crate) groups: u64,
    pub(crate) projection_groups: u64,
    pub(crate) request_events: u64,
    pub(crate) events_per_key: f64,
    pub(crate) states_remembered: f64,
    pub(crate) on_demand: bool,
    pub(crate) enhanced_fan_out: bool,
    pub(crate) retention_hours: u64,
    pub(crate) batch_window: u64,
    pub(crate) memory: u64,
}

impl Options {
    /// The load that is meant.
    ///
    /// # Errors
    /// What is out of its range, in one line.
    pub(super) fn load(&self) -> anyhow::Result<Load> {
        let load = Load {
            events_per_second: self.events_per_second.context("--events-per-second is missing")?,
            bytes: self.bytes.context("--bytes is missing")?,
            groups: self.groups.context("--groups is missing")?,
            projection_groups: self.projection_groups,
            request_events: self.request_events,
            events_per_key: self.events_per_key,
            states_remembered: self.states_remembered,
            on_demand: self.on_demand,
            enhanced_fan_out: self.enhanced_fan_out,
            retention_hours: self.retention_hours,
            batch_window: self.batch_window,
            memory: self.memory,
        };
        load.check()?;
        Ok(load)
    }
}

impl Load {
    fn check(&self) -> anyhow::Result<()> {
        let within = |name: &str, value: f64, low: f64, high: f64| {
            ensure!(value >= low && value <= high, "--{name} is {value}; it has to be from {low} to {high}");
            Ok(())
        };
        within("events-per-second", self.events_per_second, EVENTS_PER_SECOND_MIN, EVENTS_PER_SECOND_MAX)?;
        within("bytes", self.bytes as f64, 1.0, EVENT_BYTES_MAX as f64)?;
        within("groups", self.groups as f64, 1.0, GROUPS_MAX as f64)?;
        within("projection-groups", self.projection_groups as f64, 0.0, self.groups as f64)?;
        within("request-events", self.request_events as f64, 1.0, REQUEST_EVENTS_MAX as f64)?;
        within("events-per-key", self.events_per_key, 1.0, 500.0)?;
        within("states-remembered", self.states_remembered, 0.0, 1.0)?;
        within("retention-hours", self.retention_hours as f64, 24.0, 8760.0)?;
        within("batch-window", self.batch_window as f64, 0.0, 300.0)?;
        within("memory", self.memory as f64, 128.0, 10_240.0)?;
        let request = self.bytes * self.request_events;
        ensure!(
            request <= REQUEST_BYTES_MAX,
            "a request of {} events of {} bytes has {request} bytes; it may have {REQUEST_BYTES_MAX}",
            self.request_events,
            self.bytes
        );
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cost) fn load() -> Load {
        Load {
            events_per_second: 1000.0,
            bytes: 300,
            groups: 2,
            projection_groups: 1,
            request_events: 20,
            events_per_key: 1.0,
            states_remembered: 0.0,
            on_demand: false,
            enhanced_fan_out: false,
            retention_hours: 24,
            batch_window: 0,
            memory: 512,
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        assert!(load().check().is_ok());
        let refused = [
            Load { events_per_second: 0.0, ..load() },
            Load { events_per_second: 1e9, ..load() },
            Load { events_per_second: f64::NAN, ..load() },
            Load { bytes: 256 * 1024 + 1, ..load() },
            Load { groups: 0, ..load() },
            Load { projection_groups: 3, ..load() },
            Load { request_events: 501, ..load() },
            Load { states_remembered: 1.1, ..load() },
            Load { retention_hours: 1, ..load() },
            Load { bytes: 200_000, request_events: 500, ..load() },
        ];
        for load in refused {
            let error = load.check().unwrap_err().to_string();
            assert!(!error.contains('\n') && (error.starts_with("--") || error.starts_with("a request")), "{error}");
        }
    }
}
