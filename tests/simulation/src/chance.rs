//! What a seed decides. The n-th decision of a run depends on the seed and on n alone, so that a fault can be taken out
//! of a schedule without changing the others: that is how a broken schedule is made small.

use std::collections::BTreeSet;

/// A source of decisions.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: u64,
    drawn: u64,
    /// How often a call to the outside fails, of 10,000.
    failing: u64,
    /// Calls that fail more often than the others: what takes the same fault three times over is rare otherwise.
    weak: Option<u64>,
    /// The faults that this seed makes.
    palette: Vec<Fate>,
    /// Decisions that may be faults; `None` allows all.
    allowed: Option<BTreeSet<u64>>,
    /// Decisions that were faults.
    faults: Vec<u64>,
}

/// What happens to a call to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives, and so does the reply.
    Delivered,
    /// As above, after a long time.
    Slow,
    /// It never arrives; the caller hears of no answer.
    RequestLost,
    /// It arrives; the caller hears of no answer.
    ReplyLost,
    /// It arrives long after its caller was told that there was no answer.
    Straggles,
    /// It arrives, and much later once more: the client's own retry overtook a first try.
    Echoes,
    /// It is refused for now, with no effect.
    Throttled,
    /// It arrives, and the caller hears nothing at all.
    Hangs,
    /// The process is killed before it is sent.
    CrashBefore,
    /// The process is killed after it has arrived.
    CrashAfter,
    /// The process is killed, and it arrives later all the same.
    LateArrival,
    /// The process stops for some seconds in the middle of it.
    Pauses,
    /// The process stops for longer than its invocation may take: it wakes up as a zombie.
    Sleeps,
}

/// The first ones of [`FAULTS`] are the network's, the others kill or stop a process.
const NETWORK: usize = 7;

const FAULTS: [Fate; 12] = [
    Fate::Slow,
    Fate::RequestLost,
    Fate::ReplyLost,
    Fate::Straggles,
    Fate::Echoes,
    Fate::Throttled,
    Fate::Hangs,
    Fate::CrashBefore,
    Fate::CrashAfter,
    Fate::LateArrival,
    Fate::Pauses,
    Fate::Sleeps,
];

/// Names of calls fall into so many kinds.
const KINDS_OF_CALLS: u64 = 5;

impl Chance {
    pub(crate) fn new(seed: u64, failing: u64, allowed: Option<BTreeSet<u64>>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x3EA6);
        let weak = rng.bool().then(|| rng.u64(0..KINDS_OF_CALLS));
        Self { seed, drawn: 0, failing, weak, palette: palette(seed), allowed, faults: Vec::new() }
    }

    /// No more faults from here on.
    pub(crate) fn calm_down(&mut self) {
        self.failing = 0;
    }

    /// The faults there were.
    pub(crate) fn into_faults(self) -> Vec<u64> {
        self.faults
    }

    fn draw(&mut self) -> (u64, fastrand::Rng) {
        self.drawn += 1;
        (self.drawn, fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.drawn))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draw().1.u64(0..bound.max(1))
    }

    /// Something uniform between 0 and 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.draw().1.f64()
    }

    /// What happens to a call with this name.
    pub(crate) fn fate(&mut self, name: &str) -> Fate {
        let (number, mut rng) = self.draw();
        let kind = name.bytes().map(u64::from).sum::<u64>() % KINDS_OF_CALLS;
        let weak = self.weak == Some(kind);
        let failing = if weak { (self.failing * 5).min(3_000) } else { self.failing };
        if rng.u64(0..10_000) >= failing || !self.allows(number) {
            return Fate::Delivered;
        }
        self.palette[rng.usize(0..self.palette.len())]
    }

    /// Whether something goes wrong that goes wrong `of_10_000` times as seldom as a call.
    pub(crate) fn strikes(&mut self, times: u64) -> bool {
        let (number, mut rng) = self.draw();
        rng.u64(0..10_000) < self.failing * times && self.allows(number)
    }

    fn allows(&mut self, number: u64) -> bool {
        let allowed = self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&number));
        if allowed {
            self.faults.push(number);
        }
        allowed
    }
}

/// All faults; or, for every other seed, those of processes, those of the network, or one to three of any: what takes
/// several of a kind is rare among all.
fn palette(seed: u64) -> Vec<Fate> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xFA_17);
    let mut palette = FAULTS.to_vec();
    match rng.u32(0..8) {
        0 | 1 => {
            rng.shuffle(&mut palette);
            palette.truncate(rng.usize(1..=3));
        }
        2 => palette.truncate(NETWORK),
        3 => drop(palette.drain(..NETWORK)),
        _ => {}
    }
    palette
}
