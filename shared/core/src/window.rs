//! The window: what a group has settled on a shard lately.
//!
//! It is kept as segments, one or more a run. A segment states what was settled, so it stays true even if its run has
//! lost its fence meanwhile; it is never overwritten, because the run's epoch and a part number name it. Each says
//! three things: the fingerprints of the events that were handled, up to which position everything is settled, and the
//! positions settled beyond it. The first finds a client's duplicates, and is forgotten at the horizon, which counts in the
//! stream's time: names age by the arrival of their events, so that a group which lags keeps no more of them than one that
//! does not. The other two let a redelivery be passed over, whether the run that settled it died before its commit or an event below it is still
//! being retried. Positions beyond are kept until all below them is settled, however long that takes.

mod wanted;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use crate::fingerprint::Fingerprint;
use crate::position::Position;
use crate::time::Timestamp;

pub use wanted::Wanted;

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
    /// The latest arrival of what it and the segments before it speak of.
    pub arrival: Timestamp,
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
    /// Of each of their keys, the last of them: the key's fingerprint, and the event's place. Not of events that came to a
    /// shard which does not hold their key.
    pub last: Vec<(Fingerprint, Position)>,
}

/// Bytes of a name in memory: the name, when it was settled, and a byte of the table's own.
const NAME_BYTES: usize = 8 + 8 + 1;

/// The names that a window of so many bytes holds. A table is seven eighths full at most, and what is forgotten leaves
/// places behind that can make it double once all the same: half of the bytes are for that.
pub fn names_in(bytes: usize) -> usize {
    let places = (bytes / NAME_BYTES / 2).max(1024);
    (1 << places.ilog2()) / 8 * 7
}

/// Fingerprints. They are hashes already.
pub(crate) type Names = HashSet<Fingerprint, BuildHasherDefault<AsItIs>>;

/// What names age by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// The arrival of their events: a run looks back from the arrival of its batch.
    Arrival,
    /// The time at which they were recorded: a redrive looks back from now.
    Recording,
}

/// The window of one shard, in memory: about 20 to 40 bytes an event.
#[derive(Debug)]
pub struct Window {
    age: Age,
    /// When each event arrived or was recorded, in seconds.
    handled: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    ahead: Vec<Ahead>,
    through: Position,
    /// Positions above this one are ignored: who says that all is settled up to there may not have seen what is below.
    bound: Option<Position>,
    /// Every run up to this epoch is in it.
    epoch: u64,
    /// The latest arrival of what it speaks of.
    latest: Timestamp,
    swept: Timestamp,
}

/// What one segment says is settled beyond its `through`.
#[derive(Debug)]
struct Ahead {
    epoch: u64,
    part: u32,
    top: Position,
    positions: Names,
}

impl Window {
    /// An empty one.
    pub fn new(age: Age) -> Self {
        Self {
            age,
            handled: HashMap::default(),
            ahead: Vec::new(),
            through: Position::start(),
            bound: None,
            epoch: 0,
            latest: Timestamp(0),
            swept: Timestamp(0),
        }
    }

    /// What its names age by.
    pub fn age(&self) -> Age {
        self.age
    }

    /// The latest arrival of what it speaks of.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// An empty window that ignores positions above `bound`.
    pub fn bounded(age: Age, bound: Option<Position>) -> Self {
        Self { bound, ..Self::new(age) }
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

    /// Every event at or below `position` is settled: forgets what segments say of positions up to there.
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

    /// The earliest run with a segment that speaks of positions above `through`.
    pub fn ahead_from(&self) -> Option<u64> {
        self.ahead.iter().map(|ahead| ahead.epoch).min()
    }

    /// Adds the names that a run of a parent shard handled. Its positions mean nothing on this shard.
    pub fn inherit(&mut self, segment: &Segment) {
        self.latest = self.latest.max(segment.arrival);
        self.handled_at(self.dated(segment.arrival, segment.at), &segment.handled);
    }

    fn dated(&self, arrival: Timestamp, recording: Timestamp) -> Timestamp {
        match self.age {
            Age::Arrival => arrival,
            Age::Recording => recording,
        }
    }

    /// Adds the names of redriven events. They age from the redrive on, not from their arrival.
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
        self.forget_before(u32::try_from(oldest.as_secs()).unwrap_or(u32::MAX));
    }

    fn forget_before(&mut self, second: u32) {
        self.handled.retain(|_, at| *at >= second);
        if self.handled.len() < self.handled.capacity() / 4 {
            self.handled.shrink_to(self.handled.len() * 2);
        }
    }

    /// Forgets the oldest names if there are more than `names_max`, down to seven eighths of it, so that it is not needed again
    /// at once. Gives the second before which all were forgotten, if any were.
    pub fn trim(&mut self, names_max: usize) -> Option<Timestamp> {
        if self.handled.len() <= names_max {
            return None;
        }
        let mut seconds: BTreeMap<u32, usize> = BTreeMap::new();
        for at in self.handled.values() {
            *seconds.entry(*at).or_default() += 1;
        }
        let mut left = self.handled.len();
        let keep = names_max / 8 * 7;
        let oldest = seconds.into_iter().find_map(|(second, names)| {
            let fits = left <= keep;
            left -= names;
            fits.then_some(second)
        });
        // keep the latest second, even if it alone is too much
        let oldest = oldest.unwrap_or_else(|| self.handled.values().copied().max().unwrap_or(0));
        self.forget_before(oldest);
        Some(Timestamp(u64::from(oldest) * 1000))
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let ahead: usize = self.ahead.iter().map(|ahead| ahead.positions.capacity()).sum();
        (self.handled.capacity() + ahead) * 8 / 7 * NAME_BYTES
    }
}

/// Hashes a fingerprint to itself: it is uniformly spread already.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

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
            at: Timestamp(at + 7_000_000),
            arrival: Timestamp(at),
            through: through.parse().unwrap(),
            handled: handled.iter().map(|n| Fingerprint(*n)).collect(),
            ahead: ahead.iter().map(|n| Fingerprint(*n)).collect(),
            top: "12.0".parse().unwrap(),
            counts: Counts::default(),
        }
    }

    #[test]
    fn a_segment_says_what_is_settled_up_to_where_and_what_beyond() {
        let mut window = Window::new(Age::Arrival);
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
        let mut window = Window::new(Age::Arrival);
        window.inherit(&segment(1000, "10.0", &[1], &[77]));
        assert!(window.has(Fingerprint(1)));
        assert!(!window.is_settled(&"9.0".parse().unwrap(), || Fingerprint(77)));
    }

    #[test]
    fn what_arrived_later_than_is_asked_for_leaves_half_of_the_room() {
        let wanted = Wanted { until: Timestamp(5), names_max: 4, ..Wanted::all(0) };
        let names =
            |arrival, loaded| wanted.take(segment(arrival, "1.0", &[1, 2], &[]), loaded).map(|s| s.handled.len());
        assert_eq!([names(9, 0), names(8, 2), names(5, 2), names(4, 4)], [Some(2), Some(0), Some(2), Some(0)]);
    }

    #[test]
    fn names_age_by_what_the_window_counts_by() {
        // recorded two hours after their arrival
        let lagging = segment(1_000_000, "1.0", &[1], &[]);
        for (age, known) in [(Age::Arrival, false), (Age::Recording, true)] {
            let mut window = Window::new(age);
            window.add(&lagging);
            window.sweep(Timestamp(1_001_000), Duration::ZERO);
            assert_eq!(window.has(Fingerprint(1)), known, "{age:?}");
        }
    }

    #[test]
    fn a_window_that_is_full_forgets_its_oldest_names() {
        let mut window = Window::new(Age::Arrival);
        for second in 0..100 {
            window.add(&segment(second * 1000, "1.0", &[second * 2, second * 2 + 1], &[]));
        }
        assert_eq!(window.trim(200), None);
        assert_eq!(window.trim(160), Some(Timestamp(30_000)));
        assert_eq!((window.len(), window.has(Fingerprint(59)), window.has(Fingerprint(60))), (140, false, true));
        let mut window = Window::new(Age::Arrival);
        window.add(&segment(7000, "1.0", &[1, 2, 3], &[]));
        assert!(window.trim(2).is_some() && window.len() == 3, "one second is kept whole");
    }

    #[test]
    fn as_many_names_fit_as_the_table_takes_without_growing_beyond() {
        for bytes in [1 << 20, 200 << 20] {
            let mut window = Window::new(Age::Arrival);
            let names: Vec<u64> = (0..names_in(bytes) as u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
            window.add(&segment(1000, "1.0", &names, &[]));
            assert!(window.bytes() * 2 <= bytes, "{} of {bytes}", window.bytes());
            assert!(window.bytes() * 6 > bytes, "{} of {bytes}", window.bytes());
        }
    }

    #[test]
    fn what_was_settled_too_long_ago_is_forgotten() {
        let every = Duration::from_secs(100);
        let mut window = Window::new(Age::Arrival);
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
