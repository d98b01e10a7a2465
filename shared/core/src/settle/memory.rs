//! What a process remembers of its shards between runs, and how it is brought up to date.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Outside, Settler, Work};
use crate::batch::{CLOCKS_DIFFER, ShardBatch};
use crate::hash::HashRange;
use crate::ports::{self, Lineage, Redrives, Shards, Windows};
use crate::position::{Position, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::Window;

/// What the process remembers of shards.
pub(super) type Memory = Mutex<BTreeMap<ShardId, Known>>;

/// What the process remembers of a shard between runs.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) lineage: Option<Lineage>,
    pub(super) window: Option<Window>,
    /// How often redriven events had been recorded when the window was loaded.
    pub(super) redriven: u64,
    /// Runs in a row that failed without a crash and could not say so: their attempts do not count.
    pub(super) failed: u32,
    /// The suspicion of the last such run.
    pub(super) innocent: Option<(Position, u32)>,
    /// See [`Window::bounded`].
    bound: Option<Position>,
}

/// Shards whose windows a process keeps. Lambda sends a process the batches of any shard.
const SHARDS_KEPT: usize = 64;

pub(super) fn recall(memory: &Memory, shard: &ShardId) -> Known {
    memory.lock().unwrap_or_else(PoisonError::into_inner).remove(shard).unwrap_or_default()
}

pub(super) fn remember(memory: &Memory, shard: ShardId, known: Known) {
    let mut shards = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if shards.len() >= SHARDS_KEPT {
        // the lowest id is the oldest shard
        shards.pop_first();
    }
    shards.insert(shard, known);
}

impl<W: Work, O: Outside> Settler<W, O> {
    /// What was settled before this is forgotten. The horizon counts back from the batch and not from now: a duplicate
    /// that has waited on the stream is no less a duplicate.
    pub(super) fn forget_before(&self, batch: &ShardBatch) -> Timestamp {
        let now = self.outside.now();
        let oldest = batch.records.iter().map(|record| record.arrival).min().unwrap_or(now);
        oldest.min(now).minus(self.settings.horizon + CLOCKS_DIFFER)
    }

    /// The window of `shard` with every run below this one in it. P3: what it recorded is not handled again.
    pub(super) async fn load(
        &self,
        shard: &ShardId,
        begun: &Begun,
        known: &mut Known,
        since: Timestamp,
    ) -> Result<Window, ports::Error> {
        load(&self.outside, self.settings.horizon, shard, begun, known, since).await
    }
}

/// What a run of `shard` would know that began now, and the shard's hash keys; for a recovery of records up to `last`.
///
/// Runs go on behind what the event source gave up, and their positions pass it without speaking of it. So only positions
/// up to `last` count here: to have written one of these, a run had to be handed the range, or what is before it.
pub(crate) async fn known_up_to(
    outside: &(impl Windows + Redrives + Shards),
    horizon: Duration,
    shard: &ShardId,
    last: Position,
    since: Timestamp,
) -> Result<(Window, HashRange), ports::Error> {
    let begun = outside.look(shard).await?;
    let mut known = Known { bound: Some(last), ..Known::default() };
    let next = Begun { epoch: begun.epoch + 1, ..begun };
    let window = load(outside, horizon, shard, &next, &mut known, since).await?;
    let range = known.lineage.map_or(HashRange::ALL, |lineage| lineage.range);
    Ok((window, range))
}

async fn load(
    outside: &(impl Windows + Redrives + Shards),
    horizon: Duration,
    shard: &ShardId,
    begun: &Begun,
    known: &mut Known,
    since: Timestamp,
) -> Result<Window, ports::Error> {
    let lineage = match known.lineage.take() {
        Some(lineage) => lineage,
        None => outside.lineage(shard).await?.ok_or_else(|| not_listed(shard))?,
    };
    let mut window = match known.window.take() {
        Some(window) => window,
        None => {
            let mut window = Window::bounded(known.bound.clone());
            for (ancestor, _) in &lineage.ancestors {
                for segment in outside.load(ancestor, 0, since, None).await? {
                    window.inherit(&segment);
                }
                for redriven in outside.load_redriven(ancestor, since).await? {
                    window.add_redriven(&redriven);
                }
            }
            known.redriven = 0;
            window
        }
    };
    known.lineage = Some(lineage);
    if window.epoch() + 1 < begun.epoch {
        for segment in outside.load(shard, window.epoch(), since, Some(begun.kept_from())).await? {
            window.add(&segment);
        }
    }
    if known.redriven != begun.redriven {
        for redriven in outside.load_redriven(shard, since).await? {
            window.add_redriven(&redriven);
        }
        known.redriven = begun.redriven;
    }
    window.advance(&begun.position);
    window.sweep(since, horizon / 8);
    Ok(window)
}

/// Its records were read a moment ago, so the listing is too old. Without its hash keys and its parents nothing can be
/// judged.
fn not_listed(shard: &ShardId) -> ports::Error {
    ports::Error::Unavailable(format!("shard {shard} is not listed yet"))
}
