//! The world outside the code under test: services that can fail, and the truth that the invariants are checked against.

pub(crate) mod stream;
pub(crate) mod tables;
pub(crate) mod truth;

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use penstock::ShardId;
use penstock::fingerprint::Fingerprinter;
use penstock::settle::ItemLimits;
use penstock::time::Timestamp;

use crate::agenda::Agenda;
use crate::chance::{Chance, Fate};
use crate::plan::Op;
use stream::Stream;
use tables::Tables;
use truth::Truth;

/// A process: a Lambda execution environment.
pub(crate) type Pid = u32;

/// A consumer group, by its index.
pub(crate) type GroupIndex = usize;

/// What is to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The schedule says so.
    Op(Op),
    /// A call arrives at its service.
    Arrive(usize),
    /// The caller of a call hears of it, or a sleep is over.
    Return(usize),
    /// A process is killed.
    Kill(Pid),
    /// A process that was stopped goes on.
    Thaw(Pid),
    /// A group's event source mapping looks what to do.
    Tick(GroupIndex),
    /// A listing of shards arrives at a mapping of this generation.
    Listed(GroupIndex, u32),
    /// A read arrives.
    Read(GroupIndex, u32, ShardId, penstock_event_source::ReadFrom, usize),
    /// An invocation that did not run, or whose process died, is reported.
    Failed(GroupIndex, u32, ShardId, penstock_event_source::Invocation),
    /// A give-up is told.
    ExpiredRange(GroupIndex, u32, ShardId),
    /// An invocation's time is over.
    TimeOut(Pid, u64),
    /// A group's redrive queue is received from.
    Receive(GroupIndex),
    /// A group's notices are received.
    Recover(GroupIndex),
    /// A client sends what it has to.
    Send(usize),
    /// Whether all is quiet is looked at.
    Look,
}

/// Calls that change nothing: nobody hears of their echoes.
const READS: [&str; 8] =
    ["look", "load", "load states", "load redriven", "lineage", "list shards", "read back", "recovered"];

/// What a call does when it arrives.
pub(crate) trait Effect: Send {
    fn arrive(self: Box<Self>, world: &mut World) -> Box<dyn Any + Send>;
    fn again(&self) -> Box<dyn Effect>;
}

impl<T: Any + Send, F: FnOnce(&mut World) -> T + Clone + Send + 'static> Effect for F {
    fn arrive(self: Box<Self>, world: &mut World) -> Box<dyn Any + Send> {
        Box::new(self(world))
    }
    fn again(&self) -> Box<dyn Effect> {
        Box::new(self.clone())
    }
}

#[derive(Default)]
struct Ticket {
    /// What it does when it arrives, if it ever does.
    effect: Option<Box<dyn Effect>>,
    /// What the caller hears: `None` until it is there.
    reply: Option<Result<Box<dyn Any + Send>, penstock::ports::Error>>,
    /// Instead of the service's reply.
    error: Option<penstock::ports::Error>,
    /// Whether the caller will hear of it.
    returns: bool,
    returned: bool,
    waker: Option<Waker>,
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which, as in `docs/reliability.md`.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// The world.
pub(crate) struct World {
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) chance: Chance,
    pub(crate) stream: Stream,
    pub(crate) tables: Vec<Tables>,
    pub(crate) truth: Truth,
    pub(crate) fingerprints: Fingerprinter,
    pub(crate) broken: Option<Broken>,
    /// Processes that stop, and for how long.
    pub(crate) stops: Vec<(Pid, u64)>,
    /// How long an event that fails is tried again at least.
    pub(crate) patience: Duration,
    /// What fits an item.
    pub(crate) item: ItemLimits,
    /// Processes whose run had been overtaken when it committed: it can say nothing of itself any more.
    pub(crate) fenced: BTreeSet<Pid>,
    /// Until when a group's downstream fails.
    pub(crate) downstream_down_until: Vec<u64>,
    /// Until when the tables throttle.
    pub(crate) tables_down_until: u64,
    /// Until when the queues fail.
    pub(crate) queues_down_until: u64,
    /// Groups whose events are all handled now, whatever was wrong with them.
    pub(crate) mended: Vec<bool>,
    trace: Option<String>,
    /// By their ids, which are never given again; `None` is over.
    tickets: Vec<Option<Ticket>>,
}

/// Everybody's handle on the world.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(crate) fn new(chance: Chance, stream: Stream, groups: usize, traced: bool) -> Self {
        Self {
            agenda: Agenda::new(),
            chance,
            stream,
            tables: (0..groups).map(|_| Tables::default()).collect(),
            truth: Truth::new(groups),
            fingerprints: Fingerprinter::new("simulation"),
            broken: None,
            stops: Vec::new(),
            fenced: BTreeSet::new(),
            patience: Duration::ZERO,
            item: ItemLimits::DEFAULT,
            downstream_down_until: vec![0; groups],
            tables_down_until: 0,
            queues_down_until: 0,
            mended: vec![false; groups],
            trace: traced.then(String::new),
            tickets: Vec::new(),
        }
    }

    /// Writes a line of the history, if one is kept.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let elapsed = self.agenda.elapsed();
        if let Some(trace) = &mut self.trace {
            let (seconds, millis) = (elapsed / 1000, elapsed % 1000);
            _ = writeln!(trace, "{seconds:>5}.{millis:03}  {}", line());
        }
    }

    pub(crate) fn take_trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }

    /// Notes the first broken invariant.
    pub(crate) fn breaks(&mut self, invariant: &'static str, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            let what = what();
            self.note(|| format!("BROKEN {invariant}: {what}"));
            self.broken = Some(Broken { invariant, what });
        }
    }

    /// Sends a call on its way. `down` says that the service throttles just now, `downstream` that a handler calls it.
    pub(crate) fn issue(
        &mut self,
        pid: Pid,
        name: &'static str,
        down: bool,
        downstream: bool,
        effect: Box<dyn Effect>,
    ) -> usize {
        let id = self.ticket(Ticket::default());
        let there = 1 + self.chance.below(12);
        let back = 1 + self.chance.below(12);
        let fate = match self.chance.fate(name) {
            _ if down => Fate::Throttled,
            // what a handler calls late or twice is between the two of them
            Fate::Straggles if downstream => Fate::RequestLost,
            Fate::Echoes if downstream || READS.contains(&name) => Fate::Delivered,
            fate => fate,
        };
        if fate != Fate::Delivered {
            self.note(|| format!("process {pid}: {name} {fate:?}"));
        }
        let mut ticket = Ticket::default();
        let lost = |text: &str| Some(penstock::ports::Error::Unavailable(text.to_owned()));
        let mut echo = None;
        let (arrives, returns) = match fate {
            Fate::Delivered => (Some(there), Some(there + back)),
            Fate::Slow => (Some(there), Some(there + 4000 + back)),
            Fate::RequestLost => {
                ticket.error = lost("the request was lost");
                (None, Some(1000 + back))
            }
            Fate::ReplyLost => {
                ticket.error = lost("the reply was lost");
                (Some(there), Some(1000 + back))
            }
            Fate::Straggles => {
                ticket.error = lost("the request was late");
                (Some(1000 + self.chance.below(20_000)), Some(1000 + back))
            }
            Fate::Echoes => {
                echo = Some(100 + self.chance.below(20_000));
                (Some(there), Some(there + back))
            }
            Fate::Throttled => {
                ticket.error = Some(penstock::ports::Error::Throttled("asked too much".to_owned()));
                (None, Some(there + back))
            }
            Fate::Hangs => (Some(there), None),
            Fate::CrashBefore => {
                self.agenda.after(0, Happening::Kill(pid));
                (None, None)
            }
            Fate::CrashAfter => {
                self.agenda.after(there + 1, Happening::Kill(pid));
                (Some(there), None)
            }
            Fate::LateArrival => {
                self.agenda.after(1, Happening::Kill(pid));
                (Some(100 + self.chance.below(20_000)), None)
            }
            Fate::Pauses => {
                self.stops.push((pid, 500 + self.chance.below(6000)));
                (Some(there), Some(there + back))
            }
            Fate::Sleeps => {
                self.stops.push((pid, 15_000 + self.chance.below(40_000)));
                (Some(there), Some(there + back))
            }
        };
        if let Some(millis) = echo {
            let again = self.ticket(Ticket { effect: Some(effect.again()), ..Ticket::default() });
            self.agenda.after(millis, Happening::Arrive(again));
        }
        if let Some(millis) = arrives {
            ticket.effect = Some(effect);
            self.agenda.after(millis, Happening::Arrive(id));
        }
        if let Some(millis) = returns {
            ticket.returns = true;
            self.agenda.after(millis, Happening::Return(id));
        }
        self.tickets[id] = Some(ticket);
        id
    }

    /// The id of a new ticket.
    fn ticket(&mut self, ticket: Ticket) -> usize {
        self.tickets.push(Some(ticket));
        self.tickets.len() - 1
    }

    /// As of when a listing shows the shards: now and then it is some seconds old.
    pub(crate) fn listing_seen(&mut self) -> Timestamp {
        let now = self.agenda.now();
        if self.stream.retention.is_some() && self.chance.strikes(5) {
            self.note(|| "the listing is old".to_owned());
            return now.minus(Duration::from_secs(5));
        }
        now
    }

    /// Starts a sleep.
    pub(crate) fn sleep(&mut self, millis: u64) -> usize {
        let reply: Box<dyn Any + Send> = Box::new(());
        let id = self.ticket(Ticket { reply: Some(Ok(reply)), returns: true, ..Ticket::default() });
        self.agenda.after(millis, Happening::Return(id));
        id
    }

    /// A call arrives at its service and has its effect, whatever became of its caller.
    pub(crate) fn arrive(&mut self, id: usize) {
        let Some(effect) = self.tickets[id].as_mut().and_then(|ticket| ticket.effect.take()) else { return };
        let reply = effect.arrive(self);
        if let Some(ticket) = &mut self.tickets[id] {
            ticket.reply = Some(Ok(reply));
        }
    }

    /// The caller of a call hears of it.
    pub(crate) fn returns(&mut self, id: usize) {
        let Some(ticket) = &mut self.tickets[id] else { return };
        if let Some(error) = ticket.error.take() {
            ticket.reply = Some(Err(error));
        }
        ticket.returned = true;
        if let Some(waker) = ticket.waker.take() {
            waker.wake();
        }
    }

    /// What a call gave, once it has returned.
    pub(crate) fn take_reply(
        &mut self,
        id: usize,
        waker: &Waker,
    ) -> Option<Result<Box<dyn Any + Send>, penstock::ports::Error>> {
        let ticket = self.tickets[id].as_mut()?;
        if !ticket.returned {
            match &mut ticket.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return None;
        }
        self.tickets[id].take().and_then(|ticket| ticket.reply)
    }

    /// Nobody waits for a call any more. It has its effect all the same when it arrives.
    pub(crate) fn forget(&mut self, id: usize) {
        if let Some(ticket) = &mut self.tickets[id] {
            if ticket.effect.is_none() {
                self.tickets[id] = None;
            } else {
                ticket.waker = None;
            }
        }
    }

    /// Calls that still have an effect to come, or that somebody will hear of and go on: a zombie among them.
    pub(crate) fn calls_under_way(&self) -> usize {
        let open = |ticket: &&Ticket| ticket.effect.is_some() || (ticket.returns && !ticket.returned);
        self.tickets.iter().flatten().filter(open).count()
    }
}
