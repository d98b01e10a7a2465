//! One run of a schedule.

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
use penstock::recover::{GivenUp, Recoverer};
use penstock::settle::{self, Handling, Left, Projecting, Settled, Settler};
use penstock::time::Timestamp;
use penstock_event_source::{Action, Backoff, Checkpoint, EventSource, Invocation, Mapping, Pacing, Settings, Step};

use crate::chance::Chance;
use crate::client::Client;
use crate::plan::{FUNCTION_TIMEOUT, HORIZON, Op, Plan};
use crate::ports::{Process, Request};
use crate::work::{ATTEMPTS_MAX, GroupWork, Handler, Killed, List};
use crate::world::stream::Stream;
use crate::world::truth::{EventRef, GARBAGE};
use crate::world::{Broken, GroupIndex, Happening, Pid, Shared, World};

/// The groups: one handler, one projection.
const GROUPS: usize = 2;

/// How long everything may take to come to rest once nothing fails any more.
const REST_WITHIN: u64 = 60 * 60 * 1000;

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
    Redriven(Vec<Result<settle::Outcome, Left>>),
    Recovered(bool),
}

type Task = Pin<Box<dyn Future<Output = Output> + Send>>;

/// What a process is doing.
#[derive(Debug, Clone)]
enum Job {
    Batch { group: GroupIndex, generation: u32, shard: ShardId },
    Request { client: usize },
    Redrive { group: GroupIndex, letters: Vec<(DeadLetter, u32)> },
    Recovery { group: GroupIndex, notice: GivenUp },
}

/// A process. It outlives its invocations, as an execution environment does.
struct Running {
    settler: Option<(GroupIndex, Arc<Settler<GroupWork, Process>>)>,
    task: Option<Task>,
    job: Option<(u64, Job)>,
    stopped_until: u64,
    woken: bool,
    doing: Arc<AtomicU64>,
}

impl Running {
    fn new(settler: Option<(GroupIndex, Arc<Settler<GroupWork, Process>>)>, process: &Process) -> Self {
        Self { settler, task: None, job: None, stopped_until: 0, woken: false, doing: Arc::clone(&process.doing) }
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
    pids: Pid,
    jobs: u64,
    calm: bool,
    mended: bool,
    done: bool,
}

/// Runs a schedule to its end, or to the first broken invariant.
pub(crate) fn run(plan: &Plan, traced: bool) -> Outcome {
    let chance = Chance::new(plan.seed, plan.failing, plan.faults.clone());
    let stream = Stream::new(plan.shards, plan.first_sequence);
    let world = Shared::new(World::new(chance, stream, GROUPS, traced));
    let mut simulation = Simulation {
        groups: Vec::new(),
        processes: BTreeMap::new(),
        // the last one sends what was sent before
        clients: (0..=plan.clients).map(|_| Client::default()).collect(),
        ready: Arc::default(),
        pids: 0,
        jobs: 0,
        calm: false,
        mended: false,
        done: false,
        plan: plan.clone(),
        world,
    };
    simulation.start();
    simulation.go();
    // tasks hold the world
    simulation.processes.clear();
    let mut world = simulation.world.lock();
    let (broken, history) = (world.broken.take(), world.take_trace());
    let events = world.stream.events(None).count();
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
            report_batch_item_failures: true,
            bisect_batch_on_function_error: true,
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
                let listing = self.world.lock().stream.listing();
                let strikes = self.world.lock().chance.strikes(1);
                let (now, jitter) = (self.now(), self.world.lock().chance.below(u64::MAX));
                self.tell(group, generation, |mapping| {
                    if strikes {
                        mapping.on_listing_failed(now, jitter);
                    } else {
                        mapping.on_listing(&listing);
                    }
                });
            }
            Happening::Read(group, generation, shard, from, limit) => {
                let (records, at_end) = self.world.lock().stream.read(&shard, &from, limit);
                let strikes = self.world.lock().chance.strikes(1);
                let (now, jitter) = (self.now(), self.world.lock().chance.below(u64::MAX));
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
            Happening::GivenUp(group, generation, shard) => {
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
        self.world.lock().agenda.now()
    }

    fn operate(&mut self, op: Op) {
        self.world.lock().note(|| format!("{op:?}"));
        let mut world = self.world.lock();
        let now = world.agenda.now().0;
        match op {
            Op::Send { client, keys } => {
                // the keys' events alternate, as they would in a batch that a busy service collected
                let longest = keys.iter().map(|(_, kinds)| kinds.len()).max().unwrap_or(0);
                let turns = (0..longest).flat_map(|turn| {
                    keys.iter().filter_map(move |(key, kinds)| kinds.get(turn).map(|kind| (*key, *kind)))
                });
                let events: Vec<_> = turns.map(|(key, kind)| world.new_event(key, kind)).collect();
                if !events.is_empty() && self.clients[client].enqueue(events) {
                    world.agenda.after(0, Happening::Send(client));
                }
            }
            Op::Again { key, choice } => {
                let of_key = EventRef { key, ordinal: 0 }..EventRef { key: key + 1, ordinal: 0 };
                let accepted = world.truth.events.range(of_key).filter(|(_, fact)| fact.accepted);
                let accepted: Vec<_> = accepted.map(|(event, _)| *event).collect();
                if !accepted.is_empty() {
                    let client = self.clients.len() - 1;
                    let event = accepted[usize::try_from(choice % accepted.len() as u64).unwrap_or(0)];
                    if self.clients[client].enqueue(vec![event]) {
                        world.agenda.after(0, Happening::Send(client));
                    }
                }
            }
            Op::Garbage { choice } => {
                let range = world.stream.any_open(choice).range;
                if let Some(key) = PartitionKey::new("garbage") {
                    let event = EventRef { key: GARBAGE, ordinal: u32::try_from(choice % 1000).unwrap_or(0) };
                    let hash_key = HashKey(range.start.0);
                    let record = PackedRecord { key, hash_key, data: Bytes::from_static(b"\xffjunk"), events: vec![0] };
                    let now = world.agenda.now();
                    _ = world.stream.put(&record, vec![event], now, 1);
                }
            }
            Op::Split { choice } => _ = world.stream.split(choice),
            Op::Merge { choice } => _ = world.stream.merge(choice),
            Op::ShardBusy { choice, millis } => world.stream.any_open(choice).busy_until = now + millis,
            Op::TablesDown { millis } => world.tables_down_until = now + millis,
            Op::QueuesDown { millis } => world.queues_down_until = now + millis,
            Op::DownstreamDown { group, millis } => world.downstream_down_until[group] = now + millis,
            Op::RestartMapping { group } => {
                drop(world);
                let mapping = self.mapping(self.groups[group].saved.clone(), self.now());
                let generation = self.groups[group].generation + 1;
                let saved = self.groups[group].saved.take();
                self.groups[group] = Group { mapping, generation, saved, tick_due: None };
                self.tick(group);
            }
            Op::Mend { group } => world.mended[group] = true,
            Op::Redrive { group } => world.send_back(group),
            Op::Kill { choice } => {
                drop(world);
                let busy: Vec<Pid> = self.processes.iter().filter(|(_, p)| p.job.is_some()).map(|(p, _)| *p).collect();
                if !busy.is_empty() {
                    self.kill(busy[usize::try_from(choice % busy.len() as u64).unwrap_or(0)]);
                }
            }
        }
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

    fn tick(&mut self, group: GroupIndex) {
        loop {
            let now = self.now();
            let this = &mut self.groups[group];
            let generation = this.generation;
            match this.mapping.next(now) {
                Step::WaitUntil(until) => {
                    let until = until.0.max(now.0 + 1);
                    if this.tick_due.is_none_or(|due| until < due) {
                        this.tick_due = Some(until);
                        self.world.lock().agenda.at(Timestamp(until), Happening::Tick(group));
                    }
                    if self.world.lock().chance.below(4) == 0 {
                        this.saved = Some(this.mapping.checkpoint());
                    }
                    return;
                }
                Step::List => {
                    self.world.lock().agenda.after(5, Happening::Listed(group, generation));
                }
                Step::Shard(shard, Action::Fetch { from, limit }) => {
                    let mut world = self.world.lock();
                    let takes = 1 + world.chance.below(20);
                    world.agenda.after(takes, Happening::Read(group, generation, shard, from, limit));
                }
                Step::Shard(shard, Action::Invoke(records)) => self.invoke(group, generation, shard, &records),
                Step::Shard(shard, Action::GiveUp(given_up)) => {
                    let (first, last) = (&given_up.records[0], &given_up.records[given_up.records.len() - 1]);
                    let notice = GivenUp {
                        shard: shard.clone(),
                        first: first.sequence.clone(),
                        last: last.sequence.clone(),
                        arrival: first.arrival,
                        attempts: given_up.invocations,
                        reason: format!("{:?}", given_up.condition),
                    };
                    let mut world = self.world.lock();
                    world.note(|| format!("group {group}: given up {} to {} of {shard}", notice.first, notice.last));
                    world.saw_given_up(group, &notice);
                    world.tables[group].notices.push(notice);
                    world.agenda.after(100, Happening::Recover(group));
                    world.agenda.after(5, Happening::GivenUp(group, generation, shard));
                }
            }
        }
    }

    fn invoke(
        &mut self,
        group: GroupIndex,
        generation: u32,
        shard: ShardId,
        records: &[penstock_event_source::Record],
    ) {
        let mut world = self.world.lock();
        world.saw_batch(group, &shard);
        if world.chance.strikes(1) {
            world.agenda.after(20, Happening::Failed(group, generation, shard, Invocation::Throttled));
            return;
        }
        drop(world);
        let Some((pid, settler)) = self.environment(group, false) else { return };
        let batch = ShardBatch {
            shard: shard.clone(),
            records: records
                .iter()
                .map(|record| Record {
                    sequence: record.sequence.clone(),
                    arrival: record.arrival,
                    partition_key: record.partition_key.as_ref().to_owned(),
                    data: record.data.clone(),
                })
                .collect(),
        };
        let deadline = self.now().plus(Duration::from_millis(FUNCTION_TIMEOUT));
        self.world.lock().note(|| {
            let (first, last) = (&records[0].sequence, &records[records.len() - 1].sequence);
            format!("process {pid}: group {group} gets {shard} {first} to {last}")
        });
        let task: Task = Box::pin(async move { Output::Settled(settler.settle(&batch, deadline).await) });
        self.run(pid, Job::Batch { group, generation, shard }, task, FUNCTION_TIMEOUT);
    }

    /// A process of a group that has nothing to do.
    fn environment(&mut self, group: GroupIndex, redrives: bool) -> Option<(Pid, Arc<Settler<GroupWork, Process>>)> {
        let warm = self.world.lock().chance.below(8) > 0;
        let idle = self.processes.iter().filter(|(_, process)| {
            process.job.is_none()
                && process.task.is_none()
                && process.settler.as_ref().is_some_and(|(other, _)| *other == group)
        });
        let idle: Vec<Pid> = idle.map(|(pid, _)| *pid).collect();
        let pid = if warm && !idle.is_empty() {
            let choice = self.world.lock().chance.below(idle.len() as u64);
            idle[usize::try_from(choice).unwrap_or(0)]
        } else {
            self.start_consumer(group)
        };
        let now = self.now().0;
        let process = self.processes.get_mut(&pid)?;
        process.doing.store(now << 1 | u64::from(redrives), Ordering::Relaxed);
        process.settler.as_ref().map(|(_, settler)| (pid, Arc::clone(settler)))
    }

    /// The event source of a redrive queue takes some of its messages, in any order.
    fn receive(&mut self, group: GroupIndex) {
        let mut world = self.world.lock();
        let mut letters = std::mem::take(&mut world.tables[group].returned);
        let mut taken = Vec::new();
        while !letters.is_empty() && taken.len() < 10 {
            let choice = usize::try_from(world.chance.below(letters.len() as u64)).unwrap_or(0);
            taken.push(letters.swap_remove(choice));
        }
        world.tables[group].returned = letters;
        drop(world);
        if taken.is_empty() {
            return;
        }
        let Some((pid, settler)) = self.environment(group, true) else { return };
        self.world.lock().note(|| format!("process {pid}: group {group} gets {} letters back", taken.len()));
        let letters: Vec<_> = taken.iter().map(|(letter, _)| letter.clone()).collect();
        let (id, deadline) = (format!("{}", self.jobs), self.now().plus(Duration::from_millis(FUNCTION_TIMEOUT)));
        let task: Task = Box::pin(async move {
            let results = settler.redrive(&letters, &id, deadline).await;
            Output::Redriven(results)
        });
        self.run(pid, Job::Redrive { group, letters: taken }, task, FUNCTION_TIMEOUT);
    }

    /// What a redrive did not settle is received again, and after three times goes back to the dead letters.
    fn received(&mut self, group: GroupIndex, letters: Vec<(DeadLetter, u32)>, settled: &[bool]) {
        let mut world = self.world.lock();
        for (index, (letter, receives)) in letters.into_iter().enumerate() {
            let deleted = settled.get(index).copied().unwrap_or(false) && !world.chance.strikes(2);
            if deleted {
                world.saw_redriven(group, &letter);
            } else if receives >= 2 {
                world.tables[group].letters.push(letter);
            } else {
                world.tables[group].returned.push((letter, receives + 1));
            }
        }
        world.agenda.after(1000, Happening::Receive(group));
    }

    fn recover(&mut self, group: GroupIndex) {
        let Some(notice) = self.world.lock().tables[group].notices.pop() else { return };
        let process = self.process(group);
        let pid = process.pid;
        self.processes.insert(pid, Running::new(None, &process));
        let fingerprints = self.world.lock().fingerprints.clone();
        let recoverer =
            Recoverer { group: format!("group-{group}"), stream: "stream".to_owned(), fingerprints, outside: process };
        let given_up = notice.clone();
        let task: Task = Box::pin(async move { Output::Recovered(recoverer.recover(&given_up).await.is_ok()) });
        self.run(pid, Job::Recovery { group, notice }, task, FUNCTION_TIMEOUT);
    }

    /// A job came to nothing: whoever gave it out gives it out again.
    fn lost(&mut self, job: Job, millis: u64, error: &'static str) {
        match job {
            Job::Batch { group, generation, shard } => {
                let mut world = self.world.lock();
                world.saw_crash(group);
                let failed = Invocation::failed(error, "it did not answer");
                world.agenda.after(millis, Happening::Failed(group, generation, shard, failed));
            }
            Job::Request { client } => self.world.lock().agenda.after(millis, Happening::Send(client)),
            Job::Redrive { group, letters } => self.received(group, letters, &[]),
            Job::Recovery { group, notice } => {
                let mut world = self.world.lock();
                world.tables[group].notices.push(notice);
                world.agenda.after(1000, Happening::Recover(group));
            }
        }
    }

    fn start_consumer(&mut self, group: GroupIndex) -> Pid {
        let process = self.process(group);
        let pid = process.pid;
        let settings = settle::Settings {
            horizon: HORIZON,
            attempts_max: ATTEMPTS_MAX,
            concurrency: self.plan.concurrency,
            outage_keys: 4,
            ..settle::Settings::new(format!("group-{group}"), "stream")
        };
        let work = if group == 0 {
            GroupWork::Handles(Handling(Handler(process.clone())))
        } else {
            GroupWork::Projects(Projecting::new(List(process.clone()), process.clone()))
        };
        let fingerprints = self.world.lock().fingerprints.clone();
        let settler = Arc::new(Settler::new(settings, fingerprints, work, process.clone()));
        self.processes.insert(pid, Running::new(Some((group, settler)), &process));
        pid
    }

    fn process(&mut self, group: GroupIndex) -> Process {
        self.pids += 1;
        let skew = i64::try_from(self.world.lock().chance.below(2000)).unwrap_or(0) - 1000;
        Process { world: self.world.clone(), pid: self.pids, group, skew, doing: Arc::default() }
    }

    fn run(&mut self, pid: Pid, job: Job, task: Task, timeout: u64) {
        self.jobs += 1;
        if let Some(process) = self.processes.get_mut(&pid) {
            process.job = Some((self.jobs, job));
            process.task = Some(task);
            self.world.lock().agenda.after(timeout, Happening::TimeOut(pid, self.jobs));
            self.poll(pid);
        }
    }

    fn poll_ready(&mut self) {
        loop {
            let ready = std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
            if ready.is_empty() {
                return;
            }
            for pid in ready {
                self.poll(pid);
            }
        }
    }

    fn poll(&mut self, pid: Pid) {
        let now = self.now().0;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.stopped_until > now {
            process.woken = true;
            return;
        }
        let Some(mut task) = process.task.take() else { return };
        let waker = Waker::from(Arc::new(Alarm { pid, ready: Arc::clone(&self.ready) }));
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
        match polled {
            Ok(Poll::Pending) => process.task = Some(task),
            Ok(Poll::Ready(output)) => self.finished(pid, output),
            Err(panic) if panic.is::<Killed>() => self.kill(pid),
            Err(panic) => resume_unwind(panic),
        }
        let stops = std::mem::take(&mut self.world.lock().stops);
        for (pid, millis) in stops {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.stopped_until = now + millis;
                self.world.lock().agenda.after(millis, Happening::Thaw(pid));
            }
        }
    }

    fn thaw(&mut self, pid: Pid) {
        let now = self.now().0;
        if let Some(process) = self.processes.get_mut(&pid)
            && process.stopped_until <= now
            && std::mem::take(&mut process.woken)
        {
            self.world.lock().note(|| format!("process {pid} goes on"));
            self.poll(pid);
        }
    }

    fn kill(&mut self, pid: Pid) {
        let Some(process) = self.processes.remove(&pid) else { return };
        self.world.lock().note(|| format!("process {pid} is killed"));
        if let Some((_, job)) = process.job.clone() {
            self.lost(job, 30, "Runtime.ExitError");
        }
    }

    /// An invocation is over for Lambda. A process that is stopped stays, and wakes up as a zombie.
    fn time_out(&mut self, pid: Pid, job: u64) {
        let now = self.now().0;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.job.as_ref().is_none_or(|(number, _)| *number != job) {
            return;
        }
        let timed_out = process.job.take();
        let zombie = process.stopped_until > now;
        self.world.lock().note(|| format!("process {pid} timed out{}", if zombie { ", and lives on" } else { "" }));
        if !zombie {
            self.processes.remove(&pid);
        }
        if let Some((_, job)) = timed_out {
            self.lost(job, 0, "Sandbox.Timedout");
        }
    }

    fn finished(&mut self, pid: Pid, output: Output) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let job = process.job.take();
        if job.is_none() || process.settler.is_none() {
            // a zombie's answer is heard by nobody
            self.processes.remove(&pid);
        }
        match (job, output) {
            (Some((_, Job::Batch { group, generation, shard })), Output::Settled(result)) => {
                self.world.lock().note(|| match &result {
                    Ok(settled) => format!("process {pid}: settled {:?}", settled.counts),
                    Err(error) => format!("process {pid}: {error}"),
                });
                let invocation = answer(result);
                self.invoked(group, generation, &shard, &invocation);
            }
            (Some((_, Job::Request { client })), Output::Published(fates)) => {
                let mut world = self.world.lock();
                if self.clients[client].answered(&mut world, &fates) {
                    let pause = 1 + world.chance.below(2000);
                    world.agenda.after(pause, Happening::Send(client));
                }
            }
            (Some((_, Job::Redrive { group, letters })), Output::Redriven(results)) => {
                for (result, (letter, _)) in results.iter().zip(&letters) {
                    let (position, told) = (&letter.position, || format!("{result:?}"));
                    self.world.lock().note(|| format!("process {pid}: letter {position}: {}", told()));
                }
                let settled: Vec<bool> = results.iter().map(Result::is_ok).collect();
                self.received(group, letters, &settled);
            }
            (Some((_, job @ Job::Recovery { .. })), Output::Recovered(false)) => self.lost(job, 0, ""),
            _ => {}
        }
    }

    fn send(&mut self, client: usize) {
        let Some(events) = self.clients[client].request().map(<[EventRef]>::to_vec) else { return };
        let process = self.process(0);
        let pid = process.pid;
        self.processes.insert(pid, Running::new(None, &process));
        let mut world = self.world.lock();
        let outgoing: Vec<_> = events.iter().filter_map(|event| world.outgoing(*event)).collect();
        let unit = world.chance.unit();
        drop(world);
        let request = Request { process, events };
        let deadline = self.now().plus(Duration::from_secs(8));
        let producer = Producer::new(request.clone(), request, move || unit);
        let task: Task = Box::pin(async move { Output::Published(producer.publish(outgoing, deadline).await) });
        self.run(pid, Job::Request { client }, task, FUNCTION_TIMEOUT);
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
        } else if quiet {
            world.redriven_all();
            self.done = true;
        } else if world.agenda.elapsed() > self.plan.end + REST_WITHIN {
            world.breaks("P0", || "an hour after the last fault, not all is settled".to_owned());
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

/// What the function answers Lambda.
fn answer(result: Result<Settled, settle::Error>) -> Invocation {
    match result {
        Ok(Settled { resume_at: None, .. }) => Invocation::Returned(Bytes::from_static(br#"{"batchItemFailures":[]}"#)),
        Ok(Settled { resume_at: Some(sequence), .. }) => {
            Invocation::Returned(Bytes::from(format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{sequence}"}}]}}"#)))
        }
        Err(error) => Invocation::failed("Penstock.Unavailable", error.to_string()),
    }
}
