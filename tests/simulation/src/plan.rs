//! A schedule: what clients, operators and the weather do, and when. All of it follows from the seed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::aggregates::Packer;
use penstock::settle::ItemLimits;

use crate::work::Kind;

/// How long duplicates are recognised.
pub(crate) const HORIZON: Duration = Duration::from_secs(60);

/// How long an invocation may take.
pub(crate) const FUNCTION_TIMEOUT: u64 = 12_000;

/// Something that is done to the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// A client sends new events: so many of each key, in one request.
    Send { client: usize, keys: Vec<(u32, Vec<Kind>)> },
    /// A client sends an event of this key that was accepted before.
    Again { key: u32, choice: u64 },
    /// Somebody else puts bytes on the stream that are no event.
    Garbage { choice: u64 },
    /// A record of new events is stored, some of which belong to another shard.
    Aggregate { packer: Packer, choice: u64, kinds: Vec<Kind> },
    /// An operator splits a shard.
    Split { choice: u64 },
    /// An operator merges two.
    Merge { choice: u64 },
    /// A shard throttles.
    ShardBusy { choice: u64, millis: u64 },
    /// The tables throttle.
    TablesDown { millis: u64 },
    /// The queues throttle.
    QueuesDown { millis: u64 },
    /// What a group's handler calls is down.
    DownstreamDown { group: usize, millis: u64 },
    /// A group's event source mapping starts over from where it last saved its place.
    RestartMapping { group: usize },
    /// What was wrong with a group's events is mended.
    Mend { group: usize },
    /// A group's dead letters are sent back to it.
    Redrive { group: usize },
    /// A process is killed.
    Kill { choice: u64 },
}

/// A schedule.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) shards: u64,
    pub(crate) first_sequence: u64,
    pub(crate) failing: u64,
    pub(crate) clients: usize,
    pub(crate) batch_size: usize,
    pub(crate) batching_window: Duration,
    pub(crate) concurrency: usize,
    /// The mappings begin at `LATEST`.
    pub(crate) latest: bool,
    /// What is stored at most in one item.
    pub(crate) item: ItemLimits,
    /// How old a record may become before the event source gives it up.
    pub(crate) record_age: Option<Duration>,
    /// How long the stream keeps records; `None` is for ever.
    pub(crate) retention: Option<Duration>,
    /// `BisectBatchOnFunctionError`.
    pub(crate) bisect: bool,
    /// One invocation in so many goes to a new process though an old one is free: a deployment, or a fleet that is
    /// replaced. What a process only remembers is lost with it.
    pub(crate) cold: u64,
    /// Bytes of states that a process of the projection remembers.
    pub(crate) cache_bytes: usize,
    /// How long an event that fails is tried again at least.
    pub(crate) patience: Duration,
    pub(crate) ops: Vec<(u64, Op)>,
    pub(crate) end: u64,
    /// Which decisions may be faults; `None` allows all.
    pub(crate) faults: Option<BTreeSet<u64>>,
}

impl Plan {
    /// The schedule of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0x5EED);
        let clients = rng.usize(1..=3);
        let keys_each = rng.u32(1..=5);
        // in some, a group falls behind by many horizons
        let lags = rng.u32(0..12) == 0;
        let length = if lags { rng.u64(180_000..420_000) } else { rng.u64(5_000..60_000) };
        // some schedules are calm, so that what only shows without noise shows
        let failing = [0, 20, 100, 300, 800][rng.usize(0..5)];
        let spice = rng.u64(0..50);
        // a few have lanes of hundreds
        let long = rng.u32(0..30) == 0;
        let mut ops: Vec<(u64, Op)> = Vec::new();
        if lags {
            let down = if rng.bool() {
                Op::TablesDown { millis: length }
            } else {
                Op::DownstreamDown { group: 0, millis: length }
            };
            ops.push((rng.u64(0..length / 4), down));
        }
        for _ in 0..if lags { rng.usize(20..50) } else { rng.usize(3..25) } {
            ops.push((rng.u64(0..length), send(&mut rng, clients, keys_each, (spice, long))));
        }
        // and some are all of one kind
        let favourite = rng.bool().then(|| rng.u32(0..17));
        for _ in 0..rng.usize(0..12) {
            let kind = favourite.filter(|_| rng.bool()).unwrap_or_else(|| rng.u32(0..17));
            let op = match kind {
                0 | 1 => Op::Split { choice: rng.u64(..) },
                2 => Op::Merge { choice: rng.u64(..) },
                3 => Op::Garbage { choice: rng.u64(..) },
                4 => Op::ShardBusy { choice: rng.u64(..), millis: rng.u64(100..15_000) },
                5 => Op::TablesDown { millis: rng.u64(100..20_000) },
                6 => Op::QueuesDown { millis: rng.u64(100..20_000) },
                7 => Op::DownstreamDown { group: rng.usize(0..2), millis: rng.u64(1000..120_000) },
                8 => Op::RestartMapping { group: rng.usize(0..2) },
                9 => Op::Kill { choice: rng.u64(..) },
                10 => Op::Mend { group: rng.usize(0..2) },
                11 | 12 => Op::Redrive { group: rng.usize(0..2) },
                13 | 14 => Op::Aggregate {
                    packer: if rng.bool() { Packer::Penstock } else { Packer::Other },
                    choice: rng.u64(..),
                    kinds: (0..rng.usize(2..=5)).map(|_| self::kind(&mut rng, spice)).collect(),
                },
                _ => Op::Again { key: any_key(&mut rng, clients, keys_each), choice: rng.u64(..) },
            };
            ops.push((rng.u64(0..length), op));
        }
        if rng.u32(0..12) == 0 {
            // what was redriven on a shard, and then comes again on its child
            let (group, from) = (rng.usize(0..2), rng.u64(0..length));
            ops.push((from, Op::Mend { group }));
            ops.push((from + rng.u64(1..2000), Op::Redrive { group }));
            ops.extend((0..4).map(|_| (from + rng.u64(4000..8000), Op::Split { choice: rng.u64(..) })));
            for key in 0..u32::try_from(clients).unwrap_or(1) * keys_each {
                ops.push((from + rng.u64(9000..25_000), Op::Again { key, choice: rng.u64(..) }));
            }
        }
        let mut end = if lags { 2 * length } else { length + 5000 };
        if rng.bool() {
            // hours later, as the horizon counts
            end += 4 * millis(HORIZON);
            for _ in 0..rng.usize(1..4) {
                let key = any_key(&mut rng, clients, keys_each);
                ops.push((end - rng.u64(0..10_000), Op::Again { key, choice: rng.u64(..) }));
            }
            ops.push((end - rng.u64(0..10_000), send(&mut rng, clients, keys_each, (spice, long))));
        }
        ops.sort_by_key(|(time, _)| *time);
        // a batch that is not halved and looks like an outage is given up by its age alone
        let bisect = lags || rng.u32(0..4) > 0;
        let record_age = (!bisect || (!lags && rng.u32(0..4) == 0)).then(|| Duration::from_secs(rng.u64(30..100)));
        // long enough for the event source to give a record up first, unless it is started over
        let mut other = fastrand::Rng::with_seed(seed ^ 0xE7_91);
        let retention = record_age.filter(|_| other.bool()).map(|age| age + Duration::from_secs(other.u64(400..700)));
        let cold = if fastrand::Rng::with_seed(seed ^ 0xC0_1D).u32(0..6) == 0 { 1 } else { 8 };
        Self {
            seed,
            shards: rng.u64(1..=3),
            // numbers grow by a digit somewhere in the run
            first_sequence: 10_u64.pow(rng.u32(2..9)) - rng.u64(1..90),
            failing,
            clients,
            batch_size: [1, 2, 5, 10, 100, 1000][rng.usize(0..6)],
            batching_window: Duration::from_millis([0, 0, 500, 2000][rng.usize(0..4)]),
            concurrency: rng.usize(1..=8),
            // one that is made anew begins at its own time, and what came before is nobody's
            latest: rng.bool() && !ops.iter().any(|(_, op)| matches!(op, Op::RestartMapping { .. })),
            item: ItemLimits {
                // a list of numbers in JSON
                state_bytes: [60, 300, 350_000, 350_000][rng.usize(0..4)],
                refused: [1, 3, 4096][rng.usize(0..3)],
                segment_events: [2, 20, 20_000][rng.usize(0..3)],
            },
            record_age,
            retention,
            bisect,
            cold,
            // none, some, and all of the few keys that there are
            cache_bytes: [0, 2000, 1 << 20][fastrand::Rng::with_seed(seed ^ 0xCA_C4E).usize(0..3)],
            patience: Duration::from_secs([0, 3, 20, 60][fastrand::Rng::with_seed(seed ^ 0x9A_71E).usize(0..4)]),
            ops,
            end,
            faults: None,
        }
    }
}

fn any_key(rng: &mut fastrand::Rng, clients: usize, keys_each: u32) -> u32 {
    rng.u32(0..u32::try_from(clients).unwrap_or(1) * keys_each)
}

fn send(rng: &mut fastrand::Rng, clients: usize, keys_each: u32, (spice, long): (u64, bool)) -> Op {
    let client = rng.usize(0..clients);
    let first = u32::try_from(client).unwrap_or(0) * keys_each;
    let mut keys: Vec<(u32, Vec<Kind>)> = Vec::new();
    for key in first..first + keys_each {
        if rng.u32(0..3) > 0 {
            let kinds = if long && rng.u32(0..30) == 0 {
                let refused = rng.u32(0..100);
                let plain_or_not = |refuses| if refuses { Kind::Refused } else { Kind::Plain };
                (0..rng.usize(5..200)).map(|_| plain_or_not(rng.u32(0..100) < refused)).collect()
            } else {
                (0..rng.usize(1..=4)).map(|_| kind(rng, spice)).collect()
            };
            keys.push((key, kinds));
        }
    }
    Op::Send { client, keys }
}

fn kind(rng: &mut fastrand::Rng, spice: u64) -> Kind {
    if rng.u64(0..100) >= spice {
        return Kind::Plain;
    }
    match rng.u32(0..20) {
        0 => Kind::Kills,
        1 | 2 => Kind::MostlyKills,
        3 => Kind::Hangs,
        4 | 5 => Kind::Poison,
        6..=8 => Kind::Slow,
        9..=13 => Kind::Retried,
        _ => Kind::Refused,
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
