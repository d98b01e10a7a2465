//! What the functions were seen to ask of AWS on this machine: `calls.json`, as `penstock cost --count` writes it, and the
//! figures that an estimate is made of.
//!
//! The file holds sums; what a request, a batch, an event or a key takes is worked out here.

use anyhow::{Context, ensure};
use penstock_local::count::{Call, Count};
use serde::{Deserialize, Serialize};

use super::states::StateCalls;

const FILE: &str = include_str!("calls.json");

/// A count.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Calls {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) commit: String,
    /// Of an event as it was sent.
    pub(crate) event_bytes: u64,
    pub(crate) milliseconds: Milliseconds,
    pub(crate) runs: Vec<Run>,
}

/// Times that a count on this machine does not give: they are measured by themselves, in a release build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Milliseconds {
    /// CPU of a call to AWS.
    pub(crate) call: f64,
    /// CPU of a projection's state that is loaded, folded and stored, beside its share of the calls.
    pub(crate) state: f64,
    /// CPU of an event beside the calls.
    pub(crate) event: f64,
    pub(crate) source: String,
}

/// Requests of one size, and all that came of them. Every event had a key of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) events_per_request: u64,
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) functions: Vec<Function>,
    pub(crate) calls: Vec<Entry>,
}

/// What a function did beside its calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Function {
    pub(crate) function: String,
    /// Of a projection's group: keeps states.
    pub(crate) projection: bool,
    pub(crate) invocations: u64,
    pub(crate) log_lines: u64,
    pub(crate) log_bytes: u64,
}

/// What calls of one kind came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) call: Call,
    #[serde(flatten)]
    pub(crate) count: Count,
}

/// The figures of an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    /// Bytes of an event on the stream beyond those that were sent: its key, and what the edge adds.
    pub(crate) stream_bytes_added: f64,
    /// Records for each key of a request.
    pub(crate) records_per_key: f64,
    pub(crate) edge_calls_per_request: f64,
    pub(crate) edge_log_bytes: f64,
    pub(crate) edge_log_lines: f64,
    /// Write units of the progress, a batch.
    pub(crate) progress_writes: f64,
    pub(crate) progress_calls: f64,
    pub(crate) window_calls: f64,
    /// Bytes of a window segment: of a batch, and of each event in it.
    pub(crate) segment_bytes: f64,
    pub(crate) segment_bytes_per_event: f64,
    /// Read units of the window, a batch of a group that is running.
    pub(crate) window_reads: f64,
    /// Units of a projection's state that is loaded, and of one that is stored.
    pub(crate) state_reads: f64,
    pub(crate) state_writes: f64,
    pub(crate) group_log_bytes: f64,
    pub(crate) group_log_lines: f64,
    pub(crate) call_ms: f64,
    pub(crate) state_ms: f64,
    pub(crate) event_ms: f64,
}

impl Calls {
    /// The count of this build.
    pub(crate) fn of_build() -> anyhow::Result<Self> {
        serde_json::from_str(FILE).context("calls.json cannot be read")
    }

    /// What requests, batches, events and keys take.
    ///
    /// # Errors
    /// When the count lacks what a figure is made of, or states were not called for as the model has it.
    pub(crate) fn figures(&self) -> anyhow::Result<Figures> {
        let whole = Totals::of(&self.runs)?;
        for run in &self.runs {
            Totals::of([run])?.check_states()?;
        }
        let smallest = Totals::of(self.runs.iter().min_by_key(|run| run.events_per_request))?;
        let largest = Totals::of(self.runs.iter().max_by_key(|run| run.events_per_request))?;
        // a segment is so much a batch and so much an event: two sizes of batch tell the two apart
        let (few, many) = (smallest.events_per_batch(), largest.events_per_batch());
        ensure!(many > few, "calls.json: its batches are all of one size");
        let per_event = (largest.segment_bytes() - smallest.segment_bytes()) / (many - few);
        let (events, requests, batches) = (whole.events, whole.requests, whole.batches);
        Ok(Figures {
            stream_bytes_added: whole.put.bytes as f64 / events - self.event_bytes as f64,
            records_per_key: whole.put.records as f64 / events,
            edge_calls_per_request: whole.put.calls as f64 / requests,
            edge_log_bytes: whole.edge_log_bytes / requests,
            edge_log_lines: whole.edge_log_lines / requests,
            progress_writes: whole.progress.write_units / batches,
            progress_calls: whole.progress.calls as f64 / batches,
            window_calls: whole.window_puts.calls as f64 / batches,
            segment_bytes: smallest.segment_bytes() - per_event * few,
            segment_bytes_per_event: per_event,
            window_reads: whole.window_reads.read_units / batches,
            state_reads: whole.loads.read_units / whole.states(),
            state_writes: whole.stores.write_units / whole.states(),
            group_log_bytes: whole.group_log_bytes / batches,
            group_log_lines: whole.group_log_lines / batches,
            call_ms: self.milliseconds.call,
            state_ms: self.milliseconds.state,
            event_ms: self.milliseconds.event,
        })
    }
}

/// Sums over runs.
#[derive(Debug, Default)]
struct Totals {
    requests: f64,
    events: f64,
    /// Of all groups.
    batches: f64,
    /// Of projections.
    state_batches: f64,
    groups: f64,
    projections: f64,
    put: Count,
    progress: Count,
    window_puts: Count,
    window_reads: Count,
    loads: Count,
    stores: Count,
    edge_log_bytes: f64,
    edge_log_lines: f64,
    group_log_bytes: f64,
    group_log_lines: f64,
}

impl Totals {
    fn of<'a>(runs: impl IntoIterator<Item = &'a Run>) -> anyhow::Result<Self> {
        let mut sums = Self::default();
        for run in runs {
            sums.requests += run.requests as f64;
            sums.events += run.events as f64;
            let (edge, groups): (Vec<&Function>, Vec<&Function>) =
                run.functions.iter().partition(|function| function.function == "ingest");
            sums.groups = groups.len() as f64;
            sums.projections = groups.iter().filter(|group| group.projection).count() as f64;
            for function in edge {
                sums.edge_log_bytes += function.log_bytes as f64;
                sums.edge_log_lines += function.log_lines as f64;
            }
            for function in groups {
                sums.batches += function.invocations as f64;
                sums.state_batches += if function.projection { function.invocations as f64 } else { 0.0 };
                sums.group_log_bytes += function.log_bytes as f64;
                sums.group_log_lines += function.log_lines as f64;
            }
            for Entry { call, count } in &run.calls {
                if let Some(sum) = sums.sum(call) {
                    sum.add(count);
                }
            }
        }
        let there = [sums.requests, sums.events, sums.batches, sums.projections, sums.progress.write_units];
        ensure!(there.iter().all(|sum| *sum > 0.0), "calls.json lacks events, batches, a projection or its progress");
        let calls = [sums.put.calls, sums.window_puts.calls, sums.loads.calls, sums.stores.calls];
        ensure!(calls.iter().all(|calls| *calls > 0), "calls.json lacks puts, window segments or batches of states");
        Ok(sums)
    }

    /// Which sum a call belongs to.
    fn sum(&mut self, call: &Call) -> Option<&mut Count> {
        // the template's logical ids, of which the local names are made
        let table = |id: &str| call.resource.contains(&format!("-{id}-")) || call.resource.ends_with(&format!("-{id}"));
        match (call.service.as_str(), call.operation.as_str()) {
            ("Kinesis", "PutRecords") => Some(&mut self.put),
            ("DynamoDB", _) if table("Progress") => Some(&mut self.progress),
            ("DynamoDB", "PutItem") if table("Window") => Some(&mut self.window_puts),
            ("DynamoDB", _) if table("Window") => Some(&mut self.window_reads),
            ("DynamoDB", "BatchGetItem") => Some(&mut self.loads),
            ("DynamoDB", "BatchExecuteStatement") => Some(&mut self.stores),
            _ => None,
        }
    }

    /// Each group is given every event.
    fn events_per_batch(&self) -> f64 {
        self.events * self.groups / self.batches
    }

    /// Loads of states, and stores: every event had a key of its own, that no process remembered.
    fn states(&self) -> f64 {
        self.events * self.projections
    }

    /// The model rounds the calls for states up by itself, since the count knows no batch of other sizes: they have to be
    /// such calls.
    fn check_states(&self) -> anyhow::Result<()> {
        let counted = StateCalls { loads: self.loads.calls as f64, stores: self.stores.calls as f64, turns: 0.0 };
        ensure!(
            counted.may_come_from(self.state_batches, self.states()),
            "calls.json: {} loads and {} stores for {} states in {} batches are not what the model reckons with",
            counted.loads,
            counted.stores,
            self.states(),
            self.state_batches
        );
        Ok(())
    }

    fn segment_bytes(&self) -> f64 {
        self.window_puts.bytes as f64 / self.window_puts.calls as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_in_the_repository_has_every_figure() {
        let calls = Calls::of_build().unwrap();
        assert!(calls.date.len() == 10 && !calls.commit.is_empty() && calls.command.contains("--count"));
        let figures = calls.figures().unwrap();
        let above_zero = [
            figures.stream_bytes_added,
            figures.edge_log_bytes,
            figures.segment_bytes,
            figures.segment_bytes_per_event,
            figures.state_reads,
            figures.state_writes,
            figures.group_log_bytes,
            figures.call_ms,
            figures.state_ms,
            figures.event_ms,
        ];
        assert!(above_zero.iter().all(|figure| *figure > 0.0), "{figures:?}");
        // one call a request, a record a key, two updates a batch, a unit a small state: more means that something was tried
        // again
        for (figure, expected) in [
            (figures.edge_calls_per_request, 1.0),
            (figures.records_per_key, 1.0),
            (figures.progress_calls, 2.0),
            (figures.state_reads, 1.0),
            (figures.state_writes, 1.0),
        ] {
            assert!((expected..expected * 1.1).contains(&figure), "{figures:?}");
        }
    }
}
