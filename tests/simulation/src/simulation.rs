//! One run of a schedule.

mod consumers;
mod operations;
mod processes;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use penstock::PartitionKey;
use penstock::ShardId;
use penstock::batch::{Record, ShardBatch};
use penstock::dead_letter::DeadLetter;
use penstock::hash::HashKey;
use penstock::packing::PackedRecord;
use penstock::producer::{Fate, Producer};
use penstock::recover::{ExpiredRange, Recoverer};
use penstock::settle::{self, Handling, LetterEnd, Projecting, Settled, Settler};
use penstock::time::Timestamp;
use penstock_event_source::{
    Action, Backoff, Checkpoint, EventSource, Invocation, Mapping, Pacing, Settings, StartingPosition, Step,
};

use crate::chance::Chance;
use crate::client::Client;
use crate::plan::{FUNCTION_TIMEOUT, HORIZON, Op, Plan, millis};
use crate::ports::{Process, Request};
use crate::work::{ATTEMPTS_MAX, GroupWork, Handler, Killed, List, OUTAGE_KEYS};
use crate::world::stream::Stream;
use crate::world::truth::{EventRef, GARBAGE};
use crate::world::{Broken, GroupIndex, Happening, Pid, Shared, World};

/// The groups: one handler, one projection.
const GROUPS: usize = 2;

/// The latter's index.
pub(crate) const PROJECTION: GroupIndex = 1;

/// Milliseconds between two clocks at most.
pub(crate) const CLOCKS_DIFFER: u64 = 10_000;

/// How long everything may take to come to rest once nothing fails any more.
const REST_WITHIN: u64 = 4 * 60 * 60 * 1000;

/// Things that happen in one run at most.
const HAPPENINGS_MAX: u64 = 2_000_000;

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) broken: Option<Broken>,
    pub(crate) history: String,
    /// The decisions that were faults.
    pub(crate) faults: Vec<u64>,
    pub(crate) events: usize,
}

enum Output {
    Settled(Result<Settled, settle::Error>),
    Published(Vec<Fate>),
    Redriven(Vec<LetterEnd>),
    /// Whether all of a notice was dealt with.
    Recovered(bool),
}

type Task = Pin<Box<dyn Future<Output = Output> + Send>>;

/// How often letters that come back are sent back again when all is mended: an overtaken one is handled the second time, and
/// a call that died with its turn can keep others from theirs.
const SENT_BACK_MAX: u32 = 3;

/// What a process is doing.
#[derive(Debug, Clone)]
enum Job {
    /// With the arrivals of its first and last record.
    Batch {
        group: GroupIndex,
        generation: u32,
        shard: ShardId,
        arrivals: (u64, u64),
    },
    Request {
        client: usize,
    },
    Redrive {
        group: GroupIndex,
        letters: Vec<(DeadLetter, u32)>,
    },
    Recovery {
        group: GroupIndex,
        notice: ExpiredRange,
    },
}

/// A process. It outlives its invocations, as an execution environment does.
struct Running {
    settler: Option<(GroupIndex, Arc<Settler<GroupWork, Process>>)>,
    task: Option<Task>,
    job: Option<(u64, Job)>,
    /// Its clock, as against the world's.
    skew: i64,
    stopped_until: u64,
    /// Since its job began.
    stopped_in_job: bool,
    woken: bool,
    doing: Arc<AtomicU64>,
    waker: Waker,
}

impl Running {
    fn new(
        settler: Option<(GroupIndex, Arc<Settler<GroupWork, Process>>)>,
        process: &Process,
        ready: &Arc<Mutex<Vec<Pid>>>,
    ) -> Self {
        let alarm = Alarm { pid: process.pid, ready: Arc::clone(ready) };
        Self {
            settler,
            task: None,
            job: None,
            skew: process.skew,
            stopped_until: 0,
            stopped_in_job: false,
            woken: false,
            doing: Arc::clone(&process.doing),
            waker: Waker::from(Arc::new(alarm)),
        }
    }
}

struct Group {
    mapping: Mapping,
    generation: u32,
    saved: Option<Checkpoint>,
    tick_due: Option<u64>,
}

/// Says that a process can go on.
struct Alarm {
    pid: Pid,
    ready: Arc<Mutex<Vec<Pid>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.pid);
    }
}

struct Simulation {
    plan: Plan,
    world: Shared,
    groups: Vec<Group>,
    processes: BTreeMap<Pid, Running>,
    clients: Vec<Client>,
    ready: Arc<Mutex<Vec<Pid>>>,
    /// As on the world's agenda.
    now: Timestamp,
    pids: Pid,
    jobs: u64,
    calm: bool,
    mended: bool,
    /// How often the letters that were left then have been sent back again.
    sent_back: u32,
    done: bool,
    /// Whether the schedule starts a mapping over.
    restarts: bool,
}

/// Runs a schedule to its end, or to the first broken invariant.
pub(crate) fn run(plan: &Plan, traced: bool) -> Outcome {
    let chance = Chance::new(plan.seed, plan.failing, plan.faults.clone());
    let mut stream = Stream::new(plan.shards, plan.first_sequence);
    stream.retention = plan.retention;
    let mut world = World::new(chance, stream, GROUPS, traced);
    world.item = plan.item;
    world.patience = plan.patience;
    let now = world.agenda.now();
    let world = Shared::new(world);
    let mut simulation = Simulation {
        groups: Vec::new(),
        processes: BTreeMap::new(),
        // the last one sends what was sent before
        clients: (0..=plan.clients).map(|_| Client::default()).collect(),
        ready: Arc::default(),
        now,
        pids: 0,
        jobs: 0,
        calm: false,
        mended: false,
        sent_back: 0,
        done: false,
        restarts: plan.ops.iter().any(|(_, op)| matches!(op, Op::RestartMapping { .. })),
        plan: plan.clone(),
        world,
    };
    simulation.start();
    simulation.go();
    // tasks hold the world
    simulation.processes.clear();
    let mut world = simulation.world.lock();
    let (broken, history) = (world.broken.take(), world.take_trace());
    let events = usize::try_from(world.stream.count()).unwrap_or(usize::MAX);
    let chance = std::mem::replace(&mut world.chance, Chance::new(0, 0, None));
    Outcome { broken, history, faults: chance.into_faults(), events }
}

impl Simulation {
    fn start(&mut self) {
        for group in 0..GROUPS {
            let now = self.world.lock().agenda.now();
            let mapping = self.mapping(None, now);
            self.groups.push(Group { mapping, generation: 0, saved: None, tick_due: None });
            self.tick(group);
        }
        let mut world = self.world.lock();
        for (time, op) in &self.plan.ops {
            world.agenda.after(*time, Happening::Op(op.clone()));
        }
        world.agenda.after(self.plan.end, Happening::Look);
    }

    fn mapping(&self, saved: Option<Checkpoint>, now: Timestamp) -> Mapping {
        let settings = Settings {
            batch_size: self.plan.batch_size,
            batching_window: self.plan.batching_window,
            starting_position: if self.plan.latest { StartingPosition::Latest } else { StartingPosition::TrimHorizon },
            report_batch_item_failures: true,
            bisect_batch_on_function_error: self.plan.bisect,
            maximum_record_age: self.plan.record_age,
            pacing: Pacing {
                idle_poll_min: Duration::from_millis(200),
                idle_poll_max: Duration::from_secs(5),
                list_every: Duration::from_secs(5),
                backoff: Backoff::default(),
            },
            ..Settings::default()
        };
        let source =
            EventSource { stream_arn: "arn".to_owned(), region: "here".to_owned(), role_arn: "role".to_owned() };
        Mapping::new(settings, source, saved, now)
    }

    fn go(&mut self) {
        for _ in 0..HAPPENINGS_MAX {
            self.poll_ready();
            let mut world = self.world.lock();
            if self.done || world.broken.is_some() {
                return;
            }
            let Some(happening) = world.agenda.next() else { return };
            self.now = world.agenda.now();
            drop(world);
            self.happen(happening);
        }
        self.world.lock().breaks("P0", || "it never comes to rest".to_owned());
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Op(op) => self.operate(op),
            Happening::Arrive(ticket) => self.world.lock().arrive(ticket),
            Happening::Return(ticket) => self.world.lock().returns(ticket),
            Happening::Kill(pid) => self.kill(pid),
            Happening::Thaw(pid) => self.thaw(pid),
            Happening::Tick(group) => {
                if self.groups[group].tick_due == Some(self.now().0) {
                    self.groups[group].tick_due = None;
                    self.tick(group);
                }
            }
            Happening::Listed(group, generation) => {
                let (now, mut world) = (self.now(), self.world.lock());
                let listing = world.stream.listing(now);
                let (strikes, jitter) = (world.chance.strikes(1), world.chance.below(u64::MAX));
                drop(world);
                self.tell(group, generation, |mapping| {
                    if strikes {
                        mapping.on_listing_failed(now, jitter);
                    } else {
                        mapping.on_listing(&listing);
                    }
                });
            }
            Happening::Read(group, generation, shard, from, limit) => {
                let (now, mut world) = (self.now(), self.world.lock());
                let (records, at_end) = world.stream.read(&shard, &from, limit, now);
                let (strikes, jitter) = (world.chance.strikes(1), world.chance.below(u64::MAX));
                drop(world);
                self.tell(group, generation, |mapping| {
                    if strikes {
                        mapping.on_read_failed(&shard, now, jitter);
                    } else {
                        mapping.on_records(&shard, records, at_end, now);
                    }
                });
            }
            Happening::Failed(group, generation, shard, invocation) => {
                self.invoked(group, generation, &shard, &invocation);
            }
            Happening::ExpiredRange(group, generation, shard) => {
                self.tell(group, generation, |mapping| mapping.on_given_up(&shard));
            }
            Happening::TimeOut(pid, job) => self.time_out(pid, job),
            Happening::Receive(group) => self.receive(group),
            Happening::Recover(group) => self.recover(group),
            Happening::Send(client) => self.send(client),
            Happening::Look => self.look(),
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    /// Tells a mapping something, unless it has been started over since, and lets it go on.
    fn tell(&mut self, group: GroupIndex, generation: u32, tell: impl FnOnce(&mut Mapping)) {
        if self.groups[group].generation == generation {
            tell(&mut self.groups[group].mapping);
            self.tick(group);
        }
    }

    fn invoked(&mut self, group: GroupIndex, generation: u32, shard: &ShardId, invocation: &Invocation) {
        let (now, jitter) = (self.now(), self.world.lock().chance.below(u64::MAX));
        self.tell(group, generation, |mapping| mapping.on_invocation(shard, invocation, now, jitter));
    }

    fn process(&mut self, group: GroupIndex) -> Process {
        self.pids += 1;
        let skew =
            i64::try_from(self.world.lock().chance.below(CLOCKS_DIFFER)).unwrap_or(0) - CLOCKS_DIFFER.cast_signed() / 2;
        Process { world: self.world.clone(), pid: self.pids, group, skew, doing: Arc::default() }
    }

    fn send(&mut self, client: usize) {
        let Some(events) = self.clients[client].request().map(<[EventRef]>::to_vec) else { return };
        let process = self.process(0);
        let pid = process.pid;
        self.processes.insert(pid, Running::new(None, &process, &self.ready));
        let mut world = self.world.lock();
        let outgoing: Vec<_> = events.iter().filter_map(|event| world.outgoing(*event)).collect();
        let unit = world.chance.unit();
        drop(world);
        let request = Request { process, events };
        let deadline = self.deadline(pid, 8000);
        let producer = Producer::new(request.clone(), request, move || unit);
        let task: Task = Box::pin(async move { Output::Published(producer.publish(outgoing, deadline).await) });
        self.run(pid, Job::Request { client }, task, FUNCTION_TIMEOUT);
    }

    /// When what a process begins now has to be done, by the process's own clock: Lambda says it, on the same host.
    fn deadline(&self, pid: Pid, millis: u64) -> Timestamp {
        let skew = self.processes.get(&pid).map_or(0, |process| process.skew);
        Timestamp((self.now().0 + millis).saturating_add_signed(skew))
    }

    /// From the end of the schedule on nothing fails, and everything has to come to rest.
    fn look(&mut self) {
        let mut world = self.world.lock();
        if !self.calm {
            self.calm = true;
            world.note(|| "nothing fails from here on".to_owned());
            world.chance.calm_down();
            world.tables_down_until = 0;
            world.queues_down_until = 0;
            world.downstream_down_until.fill(0);
        }
        let now = world.agenda.now().0;
        let quiet = self.clients.iter().all(Client::is_idle)
            && self.processes.values().all(|process| process.job.is_none() && process.stopped_until <= now)
            && (0..GROUPS).all(|group| world.is_drained(group))
            && world.tables.iter().all(|tables| tables.returned.is_empty() && tables.notices.is_empty())
            && world.calls_under_way() == 0;
        if quiet && !self.mended {
            self.mended = true;
            world.rests();
            world.note(|| "all is mended, and all dead letters are sent back".to_owned());
            for group in 0..GROUPS {
                world.mended[group] = true;
                world.send_back(group);
            }
            world.agenda.after(1000, Happening::Look);
        } else if quiet
            && self.sent_back < SENT_BACK_MAX
            && world.tables.iter().any(|tables| !tables.letters.is_empty())
        {
            self.sent_back += 1;
            for group in 0..GROUPS {
                world.send_back(group);
            }
            world.agenda.after(1000, Happening::Look);
        } else if quiet {
            world.redriven_all();
            self.done = true;
        } else if world.agenda.elapsed() > self.plan.end + REST_WITHIN {
            world.breaks("P0", || "hours after the last fault, not all is settled".to_owned());
        } else {
            world.agenda.after(1000, Happening::Look);
        }
    }
}

impl World {
    /// An operator moves a group's dead letters to its redrive queue.
    fn send_back(&mut self, group: GroupIndex) {
        let letters = std::mem::take(&mut self.tables[group].letters);
        self.tables[group].returned.extend(letters.into_iter().map(|letter| (letter, 0)));
        self.agenda.after(1, Happening::Receive(group));
    }
}
