//! A run's ledger: which event of the batch has which outcome. No I/O, no time.
//!
//! Every event ends with one outcome or with none; what follows from that (watermark, segments, answer) is computed
//! here and nowhere else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use tracing::{Span, warn};

use super::lane::{LaneEnd, Outcome, Stop};
use super::settings::Settings;
use crate::batch::Delivery;
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::hash::HashRange;
use crate::position::{Position, ShardId};
use crate::progress::{Begun, FAILURES_MAX, Failing};
use crate::span;
use crate::time::Timestamp;
use crate::window::{AsItIs, Counts, Segment, Window};

/// Some events of one lane that can run now.
#[derive(Debug)]
pub(super) struct LaneSegment {
    pub(super) lane: usize,
    pub(super) events: Vec<usize>,
}

/// Whether an event can be handled now.
pub(super) enum Gate {
    Open,
    /// An earlier event of the same name is unsettled.
    Wait,
    /// An earlier event of the same name was handled.
    Duplicate,
}

#[derive(Debug)]
struct Lane {
    events: Vec<usize>,
    next: usize,
    blocked: bool,
}

/// The ledger.
#[derive(Debug)]
pub(super) struct Run {
    deliveries: Vec<Delivery>,
    outcomes: Vec<Option<Outcome>>,
    /// For each event the one before it with the same name, if there is one.
    twin: Vec<Option<usize>>,
    lanes: Vec<Lane>,
    failures: BTreeMap<Position, Failing>,
    /// When each of those is tried again.
    due: BTreeMap<Position, Timestamp>,
    /// Everything at or below it was settled before this run.
    floor: Position,
    /// Up to where a commit has said so.
    committed: Position,
    /// Events that an earlier run handled and no commit has passed.
    handled_before: Vec<bool>,
    recorded: Vec<bool>,
    parts: u32,
    /// The latest arrival of the batch and of what was recorded before.
    latest: Timestamp,
}

impl Run {
    pub(super) fn new(
        mut deliveries: Vec<Delivery>,
        begun: &Begun,
        window: &Window,
        range: Option<HashRange>,
        (settings, fingerprints): (&Settings, &Fingerprinter),
    ) -> Self {
        let floor = begun.position.clone().max(window.through().clone());
        let mut outcomes = vec![None; deliveries.len()];
        let mut handled_before = vec![false; deliveries.len()];
        let mut twin = vec![None; deliveries.len()];
        let mut names: HashMap<Fingerprint, usize, BuildHasherDefault<AsItIs>> = HashMap::default();
        let mut lanes: Vec<Lane> = Vec::new();
        let mut lane_of: HashMap<&str, usize> = HashMap::new();
        for (index, delivery) in deliveries.iter().enumerate() {
            let position = &delivery.position;
            if *position <= floor || window.is_settled(position, || fingerprints.position(position)) {
                outcomes[index] = Some(Outcome::Before);
                let name = delivery.content.as_ref().ok().map(|content| content.fingerprint);
                handled_before[index] = *position > begun.position && name.is_some_and(|name| window.has(name));
                // not in `names`: the window has its name, and finds a later copy in this batch
                continue;
            }
            if range.is_some_and(|range| delivery.is_foreign(range)) {
                outcomes[index] = Some(Outcome::Foreign);
                continue;
            }
            let Ok(content) = &delivery.content else { continue };
            if window.has(content.fingerprint) {
                outcomes[index] = Some(Outcome::Duplicate);
                continue;
            }
            twin[index] = names.insert(content.fingerprint, index);
            let lane = *lane_of.entry(delivery.key.as_str()).or_insert_with(|| {
                lanes.push(Lane { events: Vec::new(), next: 0, blocked: false });
                lanes.len() - 1
            });
            lanes[lane].events.push(index);
        }
        let recorded = vec![false; deliveries.len()];
        let latest = deliveries.iter().map(|delivery| delivery.arrival).max();
        let latest = latest.map_or(window.latest(), |latest| latest.max(window.latest()));
        for delivery in &mut deliveries {
            delivery.failures = begun.failures.get(&delivery.position).map_or(0, |failing| failing.attempts);
        }
        let (failures, committed) = (begun.failures.clone(), begun.position.clone());
        let due = failures.iter().map(|(position, failing)| (position.clone(), settings.due(failing))).collect();
        Self {
            deliveries,
            outcomes,
            twin,
            lanes,
            failures,
            due,
            floor,
            committed,
            handled_before,
            recorded,
            parts: 0,
            latest,
        }
    }

    /// Begins the spans of the events that are this run's to settle.
    pub(super) fn begin_spans(&mut self, group: &str, shard: &ShardId) {
        for (delivery, outcome) in self.deliveries.iter_mut().zip(&self.outcomes) {
            if *outcome != Some(Outcome::Before) {
                delivery.span = span::consume(delivery, group, shard);
            }
        }
    }

    /// Ends them.
    pub(super) fn end_spans(&mut self) {
        for (delivery, outcome) in self.deliveries.iter_mut().zip(&self.outcomes) {
            if !delivery.span.is_disabled() {
                delivery.span.record("outcome", outcome.map_or("left", Outcome::as_str));
                delivery.span = Span::none();
            }
        }
    }

    pub(super) fn delivery(&self, index: usize) -> &Delivery {
        &self.deliveries[index]
    }

    /// Just below the batch's first event.
    pub(super) fn below(&self) -> Position {
        self.deliveries.first().map_or_else(Position::start, |first| first.position.previous())
    }

    /// Keys with a settled event.
    pub(super) fn settled_keys(&self) -> usize {
        let settled = self.deliveries.iter().zip(&self.outcomes).filter(|(_, outcome)| outcome.is_some());
        settled.map(|(delivery, _)| delivery.key.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// Unsettled bytes that are no event.
    pub(super) fn not_events(&self) -> Vec<usize> {
        (0..self.deliveries.len())
            .filter(|&index| self.outcomes[index].is_none() && self.deliveries[index].content.is_err())
            .collect()
    }

    /// Unsettled events, in the order of the shard.
    pub(super) fn open_events(&self) -> Vec<usize> {
        (0..self.deliveries.len())
            .filter(|&index| self.outcomes[index].is_none() && self.deliveries[index].content.is_ok())
            .collect()
    }

    /// Gives an event its outcome.
    pub(super) fn settle(&mut self, index: usize, outcome: Outcome) {
        assert!(self.outcomes[index].is_none(), "an event is settled once");
        self.outcomes[index] = Some(outcome);
        self.failures.remove(&self.deliveries[index].position);
        self.due.remove(&self.deliveries[index].position);
    }

    /// Whether an event can be handled, or has to wait for an earlier one of the same name in this batch. P3.
    pub(super) fn gate(&self, index: usize) -> Gate {
        let mut earlier = self.twin[index];
        while let Some(other) = earlier {
            match self.outcomes[other] {
                None => return Gate::Wait,
                // dead-lettered, so not handled: this copy may be the one that is
                Some(Outcome::DeadLettered) => earlier = self.twin[other],
                Some(_) => return Gate::Duplicate,
            }
        }
        Gate::Open
    }

    /// What every lane can do now. Empty when no lane can do anything.
    pub(super) fn next_segments(&mut self, now: Timestamp) -> Vec<LaneSegment> {
        let mut segments = Vec::new();
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].blocked {
                continue;
            }
            let mut events = Vec::new();
            while let Some(&index) = self.lanes[lane].events.get(self.lanes[lane].next + events.len()) {
                if self.waits_until(index).is_some_and(|due| due > now) {
                    break;
                }
                match self.gate(index) {
                    Gate::Open => events.push(index),
                    Gate::Duplicate if events.is_empty() => {
                        self.settle(index, Outcome::Duplicate);
                        self.lanes[lane].next += 1;
                    }
                    Gate::Duplicate | Gate::Wait => break,
                }
            }
            if !events.is_empty() {
                segments.push(LaneSegment { lane, events });
            }
        }
        segments
    }

    fn waits_until(&self, index: usize) -> Option<Timestamp> {
        self.due.get(&self.deliveries[index].position).copied()
    }

    /// Lanes that wait for an event to be due again.
    pub(super) fn waiting(&self, now: Timestamp) -> usize {
        let lanes = self.lanes.iter().filter(|lane| !lane.blocked);
        let due = lanes.filter_map(|lane| self.waits_until(*lane.events.get(lane.next)?));
        due.filter(|due| *due > now).count()
    }

    /// When the first of the lanes goes on that wait for an event to be due again, if any does.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let lanes = self.lanes.iter().filter(|lane| !lane.blocked);
        lanes.filter_map(|lane| self.waits_until(*lane.events.get(lane.next)?)).filter(|due| *due > now).min()
    }

    /// Takes what a lane did; the event that stopped it, and why.
    pub(super) fn apply(&mut self, segment: &LaneSegment, end: LaneEnd) -> Option<(usize, Stop)> {
        assert!(end.outcomes.len() <= segment.events.len(), "no more outcomes than events");
        assert!(end.stop.is_some() || end.outcomes.len() == segment.events.len(), "a lane stops for a reason");
        for (index, outcome) in segment.events.iter().zip(&end.outcomes) {
            self.settle(*index, *outcome);
        }
        self.lanes[segment.lane].next += end.outcomes.len();
        let stopped = segment.events.get(end.outcomes.len()).copied();
        end.stop.and_then(|stop| stopped.map(|index| (index, stop)))
    }

    /// Leaves the rest of a lane for the redelivery. P2: nothing overtakes an event of its key.
    pub(super) fn block(&mut self, lane: usize) {
        self.lanes[lane].blocked = true;
    }

    /// Counts a failure at `now`. Gives all that is counted against the event. Its lane waits until it is due again.
    pub(super) fn count_failure(&mut self, index: usize, now: Timestamp, settings: &Settings) -> Failing {
        let delivery = &mut self.deliveries[index];
        let failing = self.failures.entry(delivery.position.clone()).or_insert(Failing { attempts: 0, since: now });
        failing.attempts += 1;
        delivery.failures = failing.attempts;
        self.due.insert(delivery.position.clone(), settings.due(failing));
        *failing
    }

    /// The lane of an event that was dead-lettered goes on behind it.
    pub(super) fn go_past(&mut self, index: usize) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.events.get(lane.next) == Some(&index)) {
            lane.next += 1;
        }
    }

    /// How many of the batch's first events are settled.
    fn prefix(&self) -> usize {
        self.outcomes.iter().position(Option::is_none).unwrap_or(self.outcomes.len())
    }

    /// P1: every event at or below it is settled, and is in this batch or was committed before.
    pub(super) fn watermark(&self) -> &Position {
        match self.prefix().checked_sub(1) {
            Some(last) if self.deliveries[last].position > self.committed => &self.deliveries[last].position,
            _ => &self.committed,
        }
    }

    /// Arrival of the event at the watermark, if it is in this batch.
    pub(super) fn watermark_arrival(&self) -> Option<Timestamp> {
        self.prefix().checked_sub(1).map(|last| self.deliveries[last].arrival)
    }

    /// The first event that is left.
    pub(super) fn lowest_unsettled(&self) -> Option<&Delivery> {
        self.deliveries.get(self.prefix())
    }

    /// Events left.
    pub(super) fn unsettled(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_none()).count()
    }

    /// Events that an earlier run had settled.
    pub(super) fn passed_over(&self) -> usize {
        self.outcomes.iter().filter(|outcome| **outcome == Some(Outcome::Before)).count()
    }

    /// What this run handled, with its names.
    pub(super) fn handled(&self) -> impl Iterator<Item = (&Delivery, Fingerprint)> {
        let handled = self.deliveries.iter().zip(&self.outcomes).filter(|(_, o)| **o == Some(Outcome::Handled));
        handled.filter_map(|(delivery, _)| Some((delivery, delivery.content.as_ref().ok()?.fingerprint)))
    }

    /// What this run settled.
    pub(super) fn counts(&self) -> Counts {
        count(self.outcomes.iter().flatten())
    }

    /// Failures counted against events that are still unsettled.
    pub(super) fn failures(&self) -> BTreeMap<Position, Failing> {
        self.above_watermark(&self.failures)
    }

    /// The failures as they were when the run began: in an outage none are added.
    pub(super) fn failures_as_begun(&self, begun: &Begun) -> BTreeMap<Position, Failing> {
        let settled = |position: &Position| !self.failures.contains_key(position);
        let begun = begun.failures.iter().filter(|(position, _)| !settled(position));
        self.above_watermark(&begun.map(|(position, n)| (position.clone(), *n)).collect())
    }

    fn above_watermark(&self, failures: &BTreeMap<Position, Failing>) -> BTreeMap<Position, Failing> {
        let watermark = self.watermark();
        let above = failures.iter().filter(|(position, _)| *position > watermark);
        let kept: BTreeMap<_, _> = above.map(|(position, n)| (position.clone(), *n)).take(FAILURES_MAX).collect();
        if kept.len() == FAILURES_MAX {
            warn!(kept = FAILURES_MAX, "more events fail than progress remembers");
        }
        kept
    }

    /// The segments that say what this run settled and has not recorded yet. None if it settled nothing new.
    ///
    /// They repeat the names of what an earlier run handled and this one is to commit. That run may have been fenced and have
    /// recorded late, after other processes had loaded the window: they would never see its segment.
    pub(super) fn segments(
        &mut self,
        epoch: u64,
        at: Timestamp,
        fingerprints: &Fingerprinter,
        events_max: usize,
    ) -> Vec<Segment> {
        let prefix = self.prefix();
        let is_new = |index: usize| match self.outcomes[index] {
            None => false,
            Some(Outcome::Before) => index < prefix && self.handled_before[index],
            Some(_) => true,
        };
        let new: Vec<usize> =
            (0..self.deliveries.len()).filter(|&index| !self.recorded[index] && is_new(index)).collect();
        let watermark = self.watermark().clone();
        let mut segments = Vec::new();
        for chunk in new.chunks(events_max) {
            let last = chunk.last().map_or(&watermark, |&index| &self.deliveries[index].position);
            // P6: a dead letter's name is left out, or its redrive would be taken for a duplicate
            let is_handled =
                |index: &&usize| matches!(self.outcomes[**index], Some(Outcome::Handled | Outcome::Before));
            let name = |index: &usize| self.deliveries[*index].content.as_ref().ok().map(|c| c.fingerprint);
            segments.push(Segment {
                epoch,
                part: self.parts,
                at,
                arrival: self.latest,
                // P1: cap `through` at this part: the next may never be written
                through: watermark.clone().min(last.clone()).max(self.floor.clone()),
                handled: chunk.iter().filter(is_handled).filter_map(name).collect(),
                ahead: chunk
                    .iter()
                    .map(|&index| &self.deliveries[index].position)
                    .filter(|position| **position > watermark)
                    .map(|position| fingerprints.position(position))
                    .collect(),
                top: last.clone(),
                counts: count(chunk.iter().filter_map(|&index| self.outcomes[index].as_ref())),
            });
            self.parts += 1;
        }
        for index in new {
            self.recorded[index] = true;
        }
        segments
    }
}

fn count<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        match outcome {
            Outcome::Before => {}
            Outcome::Handled => counts.handled += 1,
            Outcome::Duplicate => counts.duplicates += 1,
            Outcome::DeadLettered => counts.dead_letters += 1,
            Outcome::Foreign => counts.foreign += 1,
        }
    }
    counts
}
