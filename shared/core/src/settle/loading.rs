//! Loading: how what a process remembers of a shard is brought up to date.

use std::time::Duration;

use tracing::warn;

use super::memory::{Known, Memory};
use super::returned::REDRIVEN_LATE;
use super::settler::{Outside, Settler};
use crate::batch::{CLOCKS_DIFFER, ShardBatch};
use crate::hash::HashRange;
use crate::ports::{self, Ledger, Shards};
use crate::position::{Position, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::{Age, Wanted, Window};

impl<W, O: Outside> Settler<W, O> {
    /// Events whose names this process keeps of a shard between its runs.
    pub fn remembered(&self, shard: &ShardId) -> usize {
        let shards = self.memory.lock();
        let known = shards.of.get(&(Age::Arrival, shard.clone()));
        known.and_then(|known| known.window.as_ref()).map_or(0, Window::len)
    }

    /// What was settled before this is forgotten. The horizon counts back from the batch and not from now: a duplicate
    /// that has waited on the stream is no less a duplicate.
    pub(super) fn forget_before(&self, batch: &ShardBatch) -> Timestamp {
        let now = self.outside.now();
        let oldest = batch.records.iter().map(|record| record.arrival).min().unwrap_or(now);
        oldest.min(now).minus(self.settings.horizon + CLOCKS_DIFFER)
    }

    /// The window of `shard`, with what every earlier run recorded: P3, none of it is handled again. `windows` is how many are
    /// loaded together and have to share the memory.
    pub(super) async fn load(
        &self,
        shard: &ShardId,
        begun: &Begun,
        known: &mut Known,
        (age, since): (Age, Timestamp),
        windows: usize,
    ) -> Result<Window, ports::Error> {
        let (horizon, until) = (self.settings.horizon, Timestamp(u64::MAX));
        let looking = LookingBack { horizon, age, since, until, names_max: self.memory.names_max() / windows.max(1) };
        load(&self.outside, &self.memory, looking, shard, begun, known).await
    }

    /// Forgets a window's oldest names if there is no room for so many more.
    pub(super) fn make_room_for(&self, shard: &ShardId, window: &mut Window, events: usize) {
        let names_max = self.memory.names_max();
        if let Some(oldest) = window.trim(names_max.saturating_sub(events)) {
            let recognised_s = window.latest().since(oldest).as_secs();
            warn!(%shard, names_max, recognised_s, "a window is full and forgets its oldest names: give the function more memory");
        }
    }
}

/// Which names are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookingBack {
    pub(crate) horizon: Duration,
    pub(crate) age: Age,
    pub(crate) since: Timestamp,
    /// By arrival.
    pub(crate) until: Timestamp,
    pub(crate) names_max: usize,
}

/// The window and the hash keys of `shard` as a run would load them now, for a recovery of records up to `last`, within so
/// many bytes.
///
/// A position above `last` does not say that the range is settled: after the event source has gone on past it, runs commit
/// positions behind it without having seen it. So only what was committed or recorded up to `last` counts.
pub(crate) async fn known_up_to(
    outside: &(impl Ledger + Shards),
    looking: LookingBack,
    shard: &ShardId,
    last: Position,
    bytes_max: usize,
) -> Result<(Window, HashRange), ports::Error> {
    let begun = outside.look(shard).await?;
    let mut known = Known { bound: Some(last), ..Known::default() };
    let next = Begun { epoch: begun.epoch + 1, ..begun };
    let memory = Memory::new(bytes_max);
    let looking = LookingBack { names_max: memory.names_max(), ..looking };
    let window = load(outside, &memory, looking, shard, &next, &mut known).await?;
    let range = known.lineage.map_or(HashRange::ALL, |lineage| lineage.range);
    Ok((window, range))
}

async fn load(
    outside: &(impl Ledger + Shards),
    memory: &Memory,
    LookingBack { horizon, age, since, until, names_max }: LookingBack,
    shard: &ShardId,
    begun: &Begun,
    known: &mut Known,
) -> Result<Window, ports::Error> {
    let lineage = match known.lineage.take() {
        Some(lineage) => lineage,
        None => outside.lineage(shard).await?.ok_or_else(|| not_listed(shard))?,
    };
    let inherits = known.window.is_none();
    let mut window = known.window.take().unwrap_or_else(|| Window::bounded(age, known.bound.clone()));
    if inherits {
        (known.redriven, known.redriven_at) = (0, Timestamp(0));
    }
    if window.epoch() + 1 < begun.epoch {
        let (after, kept_from) = (window.epoch(), Some(begun.kept_from()));
        for segment in outside.load(shard, &Wanted { after, age, since, until, kept_from, names_max }).await? {
            window.add(&segment);
        }
        // make room: the oldest names are the least likely to be needed
        window.trim(names_max);
        memory.make_room(window.bytes());
    }
    for (ancestor, _) in lineage.ancestors.iter().filter(|_| inherits) {
        let names_max = names_max.saturating_sub(window.len());
        let wanted = Wanted { after: 0, age, since, until, kept_from: None, names_max };
        for segment in outside.load(ancestor, &wanted).await? {
            window.inherit(&segment);
        }
        for redriven in outside.load_redriven(ancestor, since).await? {
            window.add_redriven(&redriven);
        }
        memory.make_room(window.bytes());
    }
    if known.redriven != begun.redriven {
        // earlier ones are in the window already
        let new_since = since.max(known.redriven_at.minus(REDRIVEN_LATE));
        for redriven in outside.load_redriven(shard, new_since).await? {
            known.redriven_at = known.redriven_at.max(redriven.at);
            window.add_redriven(&redriven);
        }
        known.redriven = begun.redriven;
    }
    known.lineage = Some(lineage);
    window.advance(&begun.position);
    window.sweep(since, horizon / 8);
    Ok(window)
}

/// The listing is older than the shard, whose records have just been read. Without its hash keys and its parents no event
/// of it can be judged.
fn not_listed(shard: &ShardId) -> ports::Error {
    ports::Error::Unavailable(format!("shard {shard} is not listed yet"))
}
