//! The window: what a group has settled on a shard lately.
//!
//! It is kept as segments, one or more a run. A segment states what was settled, so it stays true even if its run has
//! lost its fence meanwhile; it is never overwritten, because the run's epoch and a part number name it. Each says
//! three things: the fingerprints of the events that were handled, up to which position everything is settled, and the
//! positions settled beyond it. The first finds a client's duplicates, and is forgotten at the horizon. The other two let
//! a redelivery be passed over, whether the run that settled it died before its commit or an event below it is still
//! being retried. Positions beyond are kept until all below them is settled, however long that takes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use crate::fingerprint::Fingerprint;
use crate::position::Position;
use crate::time::Timestamp;

/// Events of one segment. A DynamoDB item holds 400 KB; an event takes at most 16 bytes.
pub const SEGMENT_EVENTS_MAX: usize = 20_000;

/// How many events had which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Handled, or folded into a state.
    pub handled: u64,
    /// Found to be handled before.
    pub duplicates: u64,
    /// Dead-lettered.
    pub dead_letters: u64,
    /// On the wrong shard; put again on the right one by their producer.
    pub foreign: u64,
}

impl Counts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.handled + self.duplicates + self.dead_letters + self.foreign
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.handled += other.handled;
        self.duplicates += other.duplicates;
        self.dead_letters += other.dead_letters;
        self.foreign += other.foreign;
    }
}

/// What one run settled, or a part of it. P7: no two have the same epoch and part, so none is overwritten, and its counts
/// are counted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The run.
    pub epoch: u64,
    /// The part, from 0.
    pub part: u32,
    /// When it was recorded.
    pub at: Timestamp,
    /// Every event of the shard at or below it is settled.
    pub through: Position,
    /// Events that were handled, in no order.
    pub handled: Vec<Fingerprint>,
    /// Positions above `through` that are settled too.
    pub ahead: Vec<Fingerprint>,
    /// The highest position that it speaks of.
    pub top: Position,
    /// How many events it speaks of, by outcome.
    pub counts: Counts,
}

/// What one invocation redrove: dead letters that were sent back and handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// A name that no other has.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Events that were handled.
    pub handled: Vec<Fingerprint>,
}

/// The window of one shard, in memory: about 20 to 40 bytes an event.
#[derive(Debug)]
pub struct Window {
    /// When each event was settled, in seconds.
    handled: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    ahead: Vec<Ahead>,
    through: Position,
    /// What is said to be settled up to a higher position than this is not taken in.
    bound: Option<Position>,
    /// Every run up to this epoch is in it.
    epoch: u64,
    swept: Timestamp,
}

/// What one segment says is settled beyond its `through`.
#[derive(Debug)]
struct Ahead {
    epoch: u64,
    part: u32,
    top: Position,
    positions: HashSet<Fingerprint>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            handled: HashMap::default(),
            ahead: Vec::new(),
            through: Position::start(),
            bound: None,
            epoch: 0,
            swept: Timestamp(0),
        }
    }
}

impl Window {
    /// An empty window that learns of nothing settled up to a position above `bound`.
    pub fn bounded(bound: Option<Position>) -> Self {
        Self { bound, ..Self::default() }
    }

    /// Every run up to this epoch is in it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Says that every run up to `epoch` is in it.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Every event at or below it is settled.
    pub fn through(&self) -> &Position {
        &self.through
    }

    /// Adds what a run of this shard settled.
    pub fn add(&mut self, segment: &Segment) {
        self.inherit(segment);
        let known = |ahead: &Ahead| (ahead.epoch, ahead.part) == (segment.epoch, segment.part);
        if !segment.ahead.is_empty() && !self.ahead.iter().any(known) {
            let positions = segment.ahead.iter().copied().collect();
            let (epoch, part, top) = (segment.epoch, segment.part, segment.top.clone());
            self.ahead.push(Ahead { epoch, part, top, positions });
        }
        self.advance(&segment.through);
    }

    /// Every event at or below `position` is settled: what was known of positions beyond may be overtaken by it.
    pub fn advance(&mut self, position: &Position) {
        if self.bound.as_ref().is_some_and(|bound| position > bound) {
            return;
        }
        if *position > self.through {
            self.through = position.clone();
        }
        let through = &self.through;
        self.ahead.retain(|ahead| ahead.top > *through);
    }

    /// The earliest run whose segment speaks of positions that are not overtaken yet.
    pub fn ahead_from(&self) -> Option<u64> {
        self.ahead.iter().map(|ahead| ahead.epoch).min()
    }

    /// Adds what a run of a parent shard settled: its events, not its positions.
    pub fn inherit(&mut self, segment: &Segment) {
        self.handled_at(segment.at, &segment.handled);
    }

    /// Adds events that were redriven.
    pub fn add_redriven(&mut self, redriven: &Redriven) {
        self.handled_at(redriven.at, &redriven.handled);
    }

    fn handled_at(&mut self, at: Timestamp, events: &[Fingerprint]) {
        let at = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        for fingerprint in events {
            let known = self.handled.entry(fingerprint.0).or_insert(at);
            *known = at.max(*known);
        }
    }

    /// Whether an event was handled within the horizon.
    pub fn has(&self, event: Fingerprint) -> bool {
        self.handled.contains_key(&event.0)
    }

    /// Whether the event at a position is settled. `fingerprint` is that of the position.
    pub fn is_settled(&self, position: &Position, fingerprint: impl FnOnce() -> Fingerprint) -> bool {
        if *position <= self.through || self.ahead.is_empty() {
            return *position <= self.through;
        }
        let fingerprint = fingerprint();
        self.ahead.iter().any(|ahead| ahead.positions.contains(&fingerprint))
    }

    /// Events in it.
    pub fn len(&self) -> usize {
        self.handled.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.handled.is_empty()
    }

    /// Forgets what was settled before `oldest`, if that is `every` later than the last time or more: it looks through
    /// everything.
    pub fn sweep(&mut self, oldest: Timestamp, every: Duration) {
        if oldest.since(self.swept) < every {
            return;
        }
        self.swept = oldest;
        let oldest = u32::try_from(oldest.as_secs()).unwrap_or(u32::MAX);
        self.handled.retain(|_, at| *at >= oldest);
    }
}

/// A fingerprint is uniformly spread already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(at: u64, through: &str, handled: &[u64], ahead: &[u64]) -> Segment {
        Segment {
            epoch: 1,
            part: 0,
            at: Timestamp(at),
            through: through.parse().unwrap(),
            handled: handled.iter().map(|n| Fingerprint(*n)).collect(),
            ahead: ahead.iter().map(|n| Fingerprint(*n)).collect(),
            top: "12.0".parse().unwrap(),
            counts: Counts::default(),
        }
    }

    #[test]
    fn a_segment_says_what_is_settled_up_to_where_and_what_beyond() {
        let mut window = Window::default();
        window.add(&segment(1000, "10.0", &[1, 2], &[77]));
        assert!(window.has(Fingerprint(1)) && !window.has(Fingerprint(3)));
        assert!(window.is_settled(&"10.0".parse().unwrap(), || Fingerprint(0)));
        assert!(window.is_settled(&"12.0".parse().unwrap(), || Fingerprint(77)));
        assert!(!window.is_settled(&"11.0".parse().unwrap(), || Fingerprint(78)));
        assert_eq!(window.ahead_from(), Some(1));
        window.advance(&"11.0".parse().unwrap());
        assert!(window.is_settled(&"12.0".parse().unwrap(), || Fingerprint(77)), "12.0 is not overtaken yet");
        window.advance(&"12.0".parse().unwrap());
        assert_eq!(window.ahead_from(), None);
    }

    #[test]
    fn a_parents_positions_say_nothing_about_its_child() {
        let mut window = Window::default();
        window.inherit(&segment(1000, "10.0", &[1], &[77]));
        assert!(window.has(Fingerprint(1)));
        assert!(!window.is_settled(&"9.0".parse().unwrap(), || Fingerprint(77)));
    }

    #[test]
    fn what_was_settled_too_long_ago_is_forgotten() {
        let every = Duration::from_secs(100);
        let mut window = Window::default();
        window.add(&segment(1_000_000, "1.0", &[1], &[]));
        window.add(&segment(1_500_000, "2.0", &[2], &[]));
        window.sweep(Timestamp(1_000_000), every);
        assert!(window.has(Fingerprint(1)) && window.has(Fingerprint(2)));
        window.sweep(Timestamp(1_050_000), every);
        assert!(window.has(Fingerprint(1)), "it was looked through a moment ago");
        window.sweep(Timestamp(1_200_000), every);
        assert!(!window.has(Fingerprint(1)) && window.has(Fingerprint(2)));
    }
}
