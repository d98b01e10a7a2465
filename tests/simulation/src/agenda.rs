//! Virtual time: what happens when. Two things at one time happen in the order in which they were put down.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use penstock::time::Timestamp;

/// When every simulation begins.
const BEGIN: u64 = 1_700_000_000_000;

/// What is to happen, by time.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    now: u64,
    put: u64,
    heap: BinaryHeap<Reverse<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    time: u64,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { now: BEGIN, put: 0, heap: BinaryHeap::new() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Milliseconds since the simulation began.
    pub(crate) fn elapsed(&self) -> u64 {
        self.now - BEGIN
    }

    /// Puts something down for `time`, or for now if that is over.
    pub(crate) fn at(&mut self, time: Timestamp, what: T) {
        self.put += 1;
        self.heap.push(Reverse(Entry { time: time.0.max(self.now), number: self.put, what }));
    }

    /// Puts something down for so many milliseconds from now.
    pub(crate) fn after(&mut self, millis: u64, what: T) {
        self.at(Timestamp(self.now + millis), what);
    }

    /// The next thing; time moves on to it.
    pub(crate) fn next(&mut self) -> Option<T> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.time;
        Some(entry.what)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}
