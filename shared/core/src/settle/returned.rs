//! What a redrive knows of the shards on which an event and its copies can be.

use std::collections::HashMap;
use std::time::Duration;

use crate::dead_letter::Code;
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::ports;
use crate::position::Position;
use crate::time::Timestamp;
use crate::window::{Names, Redriven, Window};

/// What was recorded so long before what was read last can be new: clocks differ, and a write can arrive late.
pub(super) const REDRIVEN_LATE: Duration = Duration::from_secs(5 * 60);

/// What a name and a control byte take in a table.
const NAME_BYTES: usize = 9;
/// What the last position of a key takes, with its digits.
const LAST_BYTES: usize = 128;

/// What was redriven on a shard in the last 14 days, as far as it was read: the names, and the last event of each key.
#[derive(Debug)]
pub(crate) struct RedrivenLately {
    names: Names,
    last: HashMap<Fingerprint, Position>,
    /// The latest of it.
    at: Timestamp,
}

impl Default for RedrivenLately {
    fn default() -> Self {
        Self { names: Names::default(), last: HashMap::new(), at: Timestamp(0) }
    }
}

impl RedrivenLately {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.names.capacity() * NAME_BYTES + self.last.capacity() * LAST_BYTES
    }

    /// From when on it has to be read to be complete again: all of it is read once, and then what is new.
    pub(super) fn since(&self, oldest: Timestamp) -> Timestamp {
        oldest.max(self.at.minus(REDRIVEN_LATE))
    }

    pub(super) fn add(&mut self, redriven: Redriven) {
        self.at = self.at.max(redriven.at);
        self.names.extend(redriven.handled);
        for (key, position) in redriven.last {
            match self.last.get_mut(&key) {
                Some(last) if *last >= position => {}
                Some(last) => *last = position,
                None => _ = self.last.insert(key, position),
            }
        }
    }
}

/// What is known on the shards of a chain.
#[derive(Debug)]
pub struct Returned<'a> {
    pub(super) windows: Vec<Window>,
    /// Up to where the event source has gone on past what was not settled, on each.
    pub(super) expired: Vec<Position>,
    pub(super) redriven: Vec<RedrivenLately>,
    pub(super) origin_is_gone: bool,
    pub(super) is_stray: bool,
    pub(super) fingerprints: &'a Fingerprinter,
}

impl Returned<'_> {
    /// Whether what was settled up to `position` is in a window: a run records after it has handled, so a window can
    /// lack what was handled a moment ago.
    pub fn is_recorded(&self, position: &Position) -> bool {
        let fingerprint = || self.fingerprints.position(position);
        // a shard is read when those that it came from are settled, and its numbers are higher than theirs
        self.windows.iter().any(|window| window.is_settled(position, fingerprint))
            // no run will ever record these; do not wait for one
            || self.expired.iter().any(|expired| position <= expired)
            || self.origin_is_gone
    }

    /// Whether the event came to a shard that does not hold its key: positions of its key say nothing of it.
    pub fn is_stray(&self) -> bool {
        self.is_stray
    }

    pub(super) fn has(&self, name: Fingerprint) -> bool {
        self.redriven.iter().any(|redriven| redriven.names.contains(&name))
            || self.windows.iter().any(|window| window.has(name))
    }

    /// The last event of a key that was redriven.
    pub(super) fn last_of(&self, key: Fingerprint) -> Option<&Position> {
        self.redriven.iter().filter_map(|redriven| redriven.last.get(&key)).max()
    }
}

/// Why an event was not handled.
#[derive(Debug)]
pub enum Trouble {
    /// Not now nor later.
    Never(Code, String),
    /// It failed; it may work on another try.
    Failed(String),
    /// Nothing was tried: something outside is in the way.
    Outside(String),
}

impl From<ports::Error> for Trouble {
    fn from(error: ports::Error) -> Self {
        Self::Outside(error.to_string())
    }
}
