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
    /// Time, number and place in `what`: small, because a heap moves what is in it.
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    what: Vec<Option<T>>,
    /// Places in it that are free.
    free: Vec<usize>,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { now: BEGIN, put: 0, heap: BinaryHeap::new(), what: Vec::new(), free: Vec::new() }
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
        let place = self.free.pop().unwrap_or_else(|| {
            self.what.push(None);
            self.what.len() - 1
        });
        self.what[place] = Some(what);
        self.heap.push(Reverse((time.0.max(self.now), self.put, place)));
    }

    /// Puts something down for so many milliseconds from now.
    pub(crate) fn after(&mut self, millis: u64, what: T) {
        self.at(Timestamp(self.now + millis), what);
    }

    /// The next thing; time moves on to it.
    pub(crate) fn next(&mut self) -> Option<T> {
        let Reverse((time, _, place)) = self.heap.pop()?;
        self.now = time;
        self.free.push(place);
        self.what[place].take()
    }
}
