//! Which segments of a shard are looked for.

use super::{Age, Segment};
use crate::time::Timestamp;

/// Which segments of a shard are to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Those of runs above this one...
    pub after: u64,
    /// ...that are, by this,
    pub age: Age,
    /// no older than this...
    pub since: Timestamp,
    /// ...(what arrived later takes at most half of the room for names)...
    pub until: Timestamp,
    /// ...or are of this run or a later one, however old they are.
    pub kept_from: Option<u64>,
    /// At most so many names, the newest: older segments come without.
    pub names_max: usize,
}

impl Wanted {
    /// All that runs above `after` recorded.
    pub fn all(after: u64) -> Self {
        Self {
            after,
            age: Age::Arrival,
            since: Timestamp(0),
            until: Timestamp(u64::MAX),
            kept_from: None,
            names_max: usize::MAX,
        }
    }

    /// A segment as it is to be loaded, when `names` names of later ones are loaded already; `None` if it is not, nor any
    /// before it. Segments of one shard have to be asked for from the newest on.
    pub fn take(&self, mut segment: Segment, names: usize) -> Option<Segment> {
        let at = match self.age {
            Age::Arrival => segment.arrival,
            Age::Recording => segment.at,
        };
        let kept = self.kept_from.is_some_and(|from| segment.epoch >= from);
        if segment.arrival > self.until && names + segment.handled.len() > self.names_max / 2 {
            segment.handled.clear();
        }
        if names + segment.handled.len() > self.names_max {
            segment.handled.clear();
        }
        (kept || at >= self.since).then_some(segment)
    }
}
