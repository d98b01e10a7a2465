//! What a process remembers of its shards between runs, and how it is brought up to date.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::warn;

use super::redrive::REDRIVEN_LATE;
use super::redrive::returned::RedrivenLately;
use super::{Outside, Settler, Work};
use crate::batch::{CLOCKS_DIFFER, ShardBatch};
use crate::hash::HashRange;
use crate::ports::{self, Ledger, Lineage, Shards};
use crate::position::{Position, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::{Age, Wanted, Window, names_in};

/// What the process remembers of shards: as runs know them, and as redrives do, whose names age otherwise. All windows
/// together stay within so many bytes; the one that was used longest ago goes first.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    known: Mutex<KnownShards>,
}

#[derive(Debug, Default)]
struct KnownShards {
    of: BTreeMap<(Age, ShardId), Known>,
    uses: u64,
}

/// What the process remembers of a shard between runs.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) lineage: Option<Lineage>,
    pub(super) window: Option<Window>,
    /// How often redriven events had been recorded when the window was loaded.
    pub(super) redriven: u64,
    /// Runs in a row that failed without a crash and could not say so: their attempts do not count.
    pub(super) failed: u32,
    /// The suspicion of the last such run.
    pub(super) innocent: Option<(Position, u32)>,
    /// What was redriven lately, for redrives.
    pub(super) lately: Option<RedrivenLately>,
    /// When the latest of what was redriven on the shard and is in the window was.
    redriven_at: Timestamp,
    /// Runs in a row that settled nothing of what they were given.
    pub(super) fruitless: u32,
    /// When it was used last, as a count of uses.
    used: u64,
    /// See [`Window::bounded`].
    bound: Option<Position>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            lineage: None,
            window: None,
            redriven: 0,
            failed: 0,
            innocent: None,
            lately: None,
            redriven_at: Timestamp(0),
            fruitless: 0,
            used: 0,
            bound: None,
        }
    }
}

/// Shards that a process remembers anything of. Lambda sends a process the batches of any shard.
const SHARDS_MAX: usize = 1024;

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, KnownShards> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is known of a shard; it is put back by [`remember`](Self::remember).
    pub(super) fn recall(&self, age: Age, shard: &ShardId) -> Known {
        self.lock().of.remove(&(age, shard.clone())).unwrap_or_default()
    }

    pub(super) fn remember(&self, age: Age, shard: ShardId, mut known: Known) {
        let mut shards = self.lock();
        shards.uses += 1;
        known.used = shards.uses;
        if shards.of.len() >= SHARDS_MAX
            && let Some(oldest) = shards.of.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone())
        {
            shards.of.remove(&oldest);
        }
        let bytes = known.window.as_ref().map_or(0, Window::bytes);
        shards.make_room(bytes, self.bytes_max);
        shards.of.insert((age, shard), known);
    }

    /// Forgets windows until there is room for one of so many bytes.
    fn make_room(&self, bytes: usize) {
        self.lock().make_room(bytes, self.bytes_max);
    }

    /// Names that a window can have.
    fn names_max(&self) -> usize {
        names_in(self.bytes_max)
    }
}

impl KnownShards {
    fn make_room(&mut self, bytes: usize, bytes_max: usize) {
        let bytes_of = |known: &Known| known.window.as_ref().map_or(0, Window::bytes);
        let mut all: usize = bytes + self.of.values().map(bytes_of).sum::<usize>();
        while all > bytes_max {
            let with_window = self.of.values_mut().filter(|known| known.window.is_some());
            let Some(oldest) = with_window.min_by_key(|known| known.used) else { return };
            all -= bytes_of(oldest);
            oldest.window = None;
        }
    }
}

impl<W: Work, O: Outside> Settler<W, O> {
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

    /// The window of `shard` with every run below this one in it, as one of so many that are looked at together. P3: what
    /// such a run recorded is not handled again.
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

    /// Makes room in a window for the names of so many events, so that its table need not grow for them.
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

/// What a run of `shard` would know that began now, and the shard's hash keys; for a recovery of records up to `last`,
/// within so many bytes.
///
/// Runs go on behind what the event source gave up, and their positions pass it without speaking of it. So only positions
/// up to `last` count here: to have written one of these, a run had to be handed the range, or what is before it.
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
        // what is new is worth more than what is old
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
        // what it has read before is in the window
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

/// Its records were read a moment ago, so the listing is too old. Without its hash keys and its parents nothing can be
/// judged.
fn not_listed(shard: &ShardId) -> ports::Error {
    ports::Error::Unavailable(format!("shard {shard} is not listed yet"))
}
