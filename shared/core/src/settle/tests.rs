use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::*;
use crate::batch::Record;
use crate::dead_letter::DeadLetter;
use crate::handler::{EventHandler, Failure, HandlerContext};
use crate::hash::HashRange;
use crate::ports::{Lineage, ListedShard, States};
use crate::projection::{Projection, Refusal, Stored, StoredState};
use crate::window::{Redriven, Segment};
use crate::{Event, PartitionKey, Position};

/// A step of the protocol, as the world sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Record,
    Commit,
    Letter,
}

#[derive(Default)]
struct Store {
    progress: HashMap<ShardId, (Begun, Option<Commit>)>,
    segments: HashMap<ShardId, Vec<Segment>>,
    letters: Vec<DeadLetter>,
    states: HashMap<PartitionKey, StoredState>,
    handled: Vec<String>,
    now: u64,
    /// The run dies here, once.
    crash_at: Option<Step>,
    /// A newer run begins just before the next commit.
    usurp: bool,
    parents: Vec<ShardId>,
    redriven: Vec<Redriven>,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Store>>);

impl World {
    fn store<T>(&self, f: impl FnOnce(&mut Store) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    fn step(&self, step: Step) -> Result<(), ports::Error> {
        self.store(|s| match s.crash_at {
            Some(at) if at == step => {
                s.crash_at = None;
                Err(ports::Error::Unavailable("crashed".into()))
            }
            _ => Ok(()),
        })
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp(self.store(|s| s.now))
    }
    async fn sleep(&self, duration: Duration) {
        let end = self.store(|s| s.now) + u64::try_from(duration.as_millis()).unwrap();
        // lanes poll their handler first; time passes only when that is stuck
        self.store(|s| s.now = s.now.max(end));
    }
}

impl Progress for World {
    async fn begin(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        Ok(self.store(|s| {
            let (begun, _) = s.progress.entry(shard.clone()).or_insert_with(|| (Begun::nothing(), None));
            begun.epoch += 1;
            begun.attempts += 1;
            begun.clone()
        }))
    }

    async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, ports::Error> {
        self.step(Step::Commit)?;
        Ok(self.store(|s| {
            let (begun, last) = s.progress.get_mut(shard).unwrap();
            if std::mem::take(&mut s.usurp) {
                begun.epoch += 1;
            }
            if begun.epoch != epoch {
                return Committed::Fenced;
            }
            assert!(commit.position >= begun.position, "P4: a position never retreats");
            begun.position = commit.position.clone();
            begun.failures = commit.failures.clone();
            begun.suspect = commit.suspect.clone();
            begun.ahead_from = commit.ahead_from;
            begun.attempts = commit.attempts;
            *last = Some(commit.clone());
            Committed::Yes
        }))
    }
}

impl Windows for World {
    async fn load(
        &self,
        shard: &ShardId,
        after: u64,
        since: Timestamp,
        kept_from: Option<u64>,
    ) -> Result<Vec<Segment>, ports::Error> {
        let all = self.store(|s| s.segments.get(shard).cloned().unwrap_or_default());
        let wanted = |segment: &Segment| segment.at >= since || kept_from.is_some_and(|from| segment.epoch >= from);
        Ok(all.into_iter().filter(|segment| segment.epoch > after && wanted(segment)).collect())
    }
    async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), ports::Error> {
        self.step(Step::Record)?;
        self.store(|s| s.segments.entry(shard.clone()).or_default().push(segment.clone()));
        Ok(())
    }
}

impl DeadLetters for World {
    async fn send(&self, letter: &DeadLetter) -> Result<(), ports::Error> {
        self.step(Step::Letter)?;
        self.store(|s| s.letters.push(letter.clone()));
        Ok(())
    }
}

impl Redrives for World {
    async fn look(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        Ok(self.store(|s| s.progress.get(shard).map_or_else(Begun::nothing, |(begun, _)| begun.clone())))
    }
    async fn load_redriven(&self, _: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, ports::Error> {
        Ok(self.store(|s| s.redriven.iter().filter(|redriven| redriven.at >= since).cloned().collect()))
    }
    async fn record_redriven(&self, _: &ShardId, redriven: &Redriven) -> Result<(), ports::Error> {
        self.store(|s| s.redriven.push(redriven.clone()));
        Ok(())
    }
    async fn give_up(&self, shard: &ShardId, last: &Position) -> Result<(), ports::Error> {
        self.store(|s| {
            s.progress.entry(shard.clone()).or_insert_with(|| (Begun::nothing(), None)).0.given_up = last.clone();
        });
        Ok(())
    }
    async fn announce(&self, shard: &ShardId) -> Result<(), ports::Error> {
        self.store(|s| s.progress.entry(shard.clone()).or_insert_with(|| (Begun::nothing(), None)).0.redriven += 1);
        Ok(())
    }
}

impl Shards for World {
    async fn lineage(&self, _: &ShardId) -> Result<Lineage, ports::Error> {
        Ok(Lineage {
            ancestors: self.store(|s| s.parents.iter().map(|id| (id.clone(), HashRange::ALL)).collect()),
            range: HashRange::ALL,
        })
    }
    async fn list(&self) -> Result<Vec<ListedShard>, ports::Error> {
        let shard = ShardId::new(SHARD);
        Ok(vec![ListedShard { shard, range: HashRange::ALL, parents: Vec::new() }])
    }
}

impl States for World {
    async fn load(&self, key: &PartitionKey) -> Result<Option<StoredState>, ports::Error> {
        Ok(self.store(|s| s.states.get(key).cloned()))
    }
    async fn store(&self, key: &PartitionKey, state: &StoredState, over: Option<u64>) -> Result<Stored, ports::Error> {
        Ok(self.store(|s| {
            if s.states.get(key).map(|stored| stored.revision) != over {
                return Stored::Superseded;
            }
            s.states.insert(key.clone(), state.clone());
            Stored::Yes
        }))
    }
}

/// Does what the event's `data` says: `ok`, `retry`, `refuse`, `panic`, `hang`.
struct Obedient(World);

impl EventHandler for Obedient {
    async fn handle(&self, event: &Event, context: &HandlerContext<'_>) -> Result<(), Failure> {
        assert_eq!(context.idempotency_key(event).len(), 32);
        match event.data_as::<String>()?.as_str() {
            "retry" => return Err(Failure::retry("later")),
            "refuse" => return Err(Failure::refuse("never")),
            "panic" => panic!("boom"),
            "hang" => std::future::pending().await,
            _ => {}
        }
        self.0.store(|s| s.handled.push(event.id().to_owned()));
        Ok(())
    }
}

const SHARD: &str = "shardId-000000000000";

/// (key, id, data) of each record, numbered from `first`.
fn batch(first: u32, events: &[(&str, &str, &str)]) -> ShardBatch {
    let record = |(number, (key, id, data)): (u32, &(&str, &str, &str))| Record {
        sequence: number.to_string().parse().unwrap(),
        arrival: Timestamp(500),
        partition_key: (*key).to_owned(),
        data: match *data {
            "garbage" => Bytes::from_static(&[0xff]),
            _ => format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t","data":"{data}"}}"#).into(),
        },
    };
    ShardBatch { shard: ShardId::new(SHARD), records: (first..).zip(events).map(record).collect() }
}

fn settler(world: &World) -> Settler<Handling<Obedient>, World> {
    let work = Handling(Obedient(world.clone()));
    Settler::new(Settings::new("g", "stream"), Fingerprinter::new("test"), work, world.clone())
}

fn settle<W: Work>(settler: &Settler<W, World>, batch: &ShardBatch) -> Result<Settled, Error> {
    let deadline = Timestamp(settler.outside.now().0 + 30_000);
    settler.settle(batch, deadline).now_or_never().expect("nothing here waits")
}

fn resume(settled: &Settled) -> Option<&str> {
    settled.resume_at.as_ref().map(SequenceNumber::as_str)
}

fn handled(world: &World) -> Vec<String> {
    world.store(|s| s.handled.clone())
}

fn letters(world: &World) -> Vec<(String, Code)> {
    world.store(|s| s.letters.iter().map(|l| (l.position.to_string(), l.code)).collect())
}

#[test]
fn duplicates_are_found_in_the_batch_and_across_batches() {
    let world = World::default();
    let first = settle(&settler(&world), &batch(1, &[("k", "a", "ok"), ("k", "a", "ok"), ("l", "b", "ok")])).unwrap();
    assert_eq!(first.counts, Counts { handled: 2, duplicates: 1, dead_letters: 0, foreign: 0 });
    // another process, with nothing in memory
    let second = settle(&settler(&world), &batch(4, &[("other", "a", "ok"), ("k", "c", "ok")])).unwrap();
    assert_eq!(second.counts, Counts { handled: 1, duplicates: 1, dead_letters: 0, foreign: 0 });
    assert_eq!(handled(&world), ["a", "b", "c"]);
}

#[test]
fn a_warm_process_loads_nothing_and_still_finds_duplicates() {
    let world = World::default();
    let settler = settler(&world);
    settle(&settler, &batch(1, &[("k", "a", "ok")])).unwrap();
    world.store(|s| s.segments.clear());
    assert_eq!(settle(&settler, &batch(2, &[("k", "a", "ok")])).unwrap().counts.duplicates, 1);
}

#[test]
fn a_retry_holds_its_key_and_no_other_and_ends_in_the_dead_letters() {
    let world = World::default();
    let settler = settler(&world);
    let events = batch(1, &[("k", "a", "ok"), ("k", "b", "retry"), ("k", "c", "ok"), ("l", "d", "ok")]);
    let first = settle(&settler, &events).unwrap();
    assert_eq!((resume(&first), first.unsettled), (Some("2"), 2));
    assert_eq!(handled(&world), ["a", "d"]);
    let second = settle(&settler, &events).unwrap();
    assert_eq!((resume(&second), second.passed_over), (Some("2"), 2));
    let third = settle(&settler, &events).unwrap();
    assert_eq!((resume(&third), third.unsettled), (None, 0));
    assert_eq!(handled(&world), ["a", "d", "c"]);
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::RetriesExhausted)]);
    assert_eq!(world.store(|s| s.letters[0].attempts), 3);
}

#[test]
fn a_refusal_and_garbage_are_dead_lettered_with_their_bytes_and_the_shard_goes_on() {
    let world = World::default();
    let settled =
        settle(&settler(&world), &batch(1, &[("k", "a", "refuse"), ("k", "", "garbage"), ("k", "b", "ok")])).unwrap();
    assert_eq!(settled.counts, Counts { handled: 1, duplicates: 0, dead_letters: 2, foreign: 0 });
    let mut letters = letters(&world);
    letters.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(letters, [("1.0".to_owned(), Code::Refused), ("2.0".to_owned(), Code::NotAnEvent)]);
    assert!(world.store(|s| s.letters.iter().any(|l| l.data[..] == [0xff])));
}

#[test]
fn redriven_event_is_not_swallowed_by_the_window() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "refuse")])).unwrap();
    let again = settle(&settler(&world), &batch(2, &[("k", "a", "ok")])).unwrap();
    assert_eq!(again.counts.handled, 1);
}

#[test]
fn a_dead_letter_beyond_the_watermark_is_not_sent_again() {
    let world = World::default();
    let settler = settler(&world);
    let events = batch(1, &[("k", "a", "retry"), ("l", "b", "refuse"), ("m", "b", "ok")]);
    settle(&settler, &events).unwrap();
    settle(&settler, &events).unwrap();
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::Refused)]);
    assert_eq!(handled(&world), ["b"]);
}

#[test]
fn what_was_settled_beyond_a_retry_is_passed_over_however_late_and_in_whatever_pieces_it_comes_again() {
    for cold in [false, true] {
        let world = World::default();
        let mut run = settler(&world);
        let events = [("k", "a", "retry"), ("l", "b", "ok"), ("m", "c", "refuse"), ("n", "d", "ok")];
        settle(&run, &batch(1, &events)).unwrap();
        // long after the window's horizon
        world.store(|s| s.now += 100 * 60 * 60 * 1000);
        // Lambda halves what failed: first the event at fault alone, until it is given up
        for _ in 0..2 {
            if cold {
                run = settler(&world);
            }
            settle(&run, &batch(1, &events[..1])).unwrap();
        }
        if cold {
            run = settler(&world);
        }
        for half in [&events[1..2], &events[2..]] {
            let first = if half.len() == 1 { 2 } else { 3 };
            let again = settle(&run, &batch(first, half)).unwrap();
            assert_eq!((again.passed_over, again.counts.total()), (half.len(), 0), "cold: {cold}");
        }
        assert_eq!(handled(&world), ["b", "d"]);
        let progress = world.store(|s| s.progress[&ShardId::new(SHARD)].0.clone());
        assert_eq!((progress.position, progress.ahead_from), ("4.0".parse().unwrap(), None));
    }
}

#[test]
fn after_a_crash_between_record_and_commit_nothing_is_repeated() {
    for cold in [false, true] {
        let world = World::default();
        let mut run = settler(&world);
        let events = batch(1, &[("k", "a", "ok"), ("l", "b", "retry"), ("m", "c", "ok"), ("m", "c", "ok")]);
        world.store(|s| s.crash_at = Some(Step::Commit));
        assert!(matches!(settle(&run, &events), Err(Error::Commit(_))));
        if cold {
            run = settler(&world);
        }
        let again = settle(&run, &events).unwrap();
        assert_eq!((again.passed_over, again.counts.total()), (3, 0));
        assert_eq!(handled(&world), ["a", "c"]);
        let total: u64 = world.store(|s| s.segments.values().flatten().map(|segment| segment.counts.total()).sum());
        assert_eq!(total, 3, "each event is counted once");
    }
}

#[test]
fn after_a_crash_before_record_a_handlers_effects_repeat_and_nothing_is_lost() {
    let world = World::default();
    let events = batch(1, &[("k", "a", "ok"), ("k", "b", "ok")]);
    world.store(|s| s.crash_at = Some(Step::Record));
    assert!(matches!(settle(&settler(&world), &events), Err(Error::Record(_))));
    settle(&settler(&world), &events).unwrap();
    assert_eq!(handled(&world), ["a", "b", "a", "b"]);
}

#[test]
fn a_run_that_lost_its_fence_commits_nothing() {
    let world = World::default();
    world.store(|s| s.usurp = true);
    let result = settle(&settler(&world), &batch(1, &[("k", "a", "ok")]));
    assert!(matches!(result, Err(Error::Fenced(_))));
    // what it recorded is true all the same
    let again = settle(&settler(&world), &batch(1, &[("k", "a", "ok")])).unwrap();
    assert_eq!((again.passed_over, resume(&again)), (1, None));
}

#[test]
fn many_failing_keys_are_an_outage_and_count_against_no_event() {
    let world = World::default();
    let settler = settler(&world);
    let keys: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let events: Vec<_> = keys.iter().map(|k| (k.as_str(), k.as_str(), "retry")).collect();
    for _ in 0..5 {
        let settled = settle(&settler, &batch(1, &events)).unwrap();
        assert!(settled.outage);
        assert_eq!(resume(&settled), Some("1"));
    }
    assert_eq!(letters(&world), []);
}

#[test]
fn poison_beside_healthy_keys_is_no_outage_in_its_redelivery_either() {
    let world = World::default();
    let settler = settler(&world);
    let keys: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let told = |n: usize| if n < 10 { "retry" } else { "ok" };
    let events: Vec<_> = keys.iter().enumerate().map(|(n, k)| (k.as_str(), k.as_str(), told(n))).collect();
    for run in 1..=3 {
        let settled = settle(&settler, &batch(1, &events)).unwrap();
        assert!(!settled.outage, "run {run}");
    }
    assert_eq!(letters(&world).len(), 10);
    assert_eq!(handled(&world).len(), 50);
}

#[test]
fn a_run_that_recorded_and_did_not_commit_is_known_however_late_the_redelivery_comes() {
    let world = World::default();
    let events = batch(1, &[("k", "a", "ok"), ("l", "b", "refuse")]);
    world.store(|s| s.crash_at = Some(Step::Commit));
    assert!(settle(&settler(&world), &events).is_err());
    world.store(|s| s.now += 20 * 60 * 60 * 1000);
    let again = settle(&settler(&world), &events).unwrap();
    assert_eq!((again.passed_over, again.counts.total()), (2, 0));
}

#[test]
fn what_a_projection_refused_stays_refused_when_its_run_dies_after_a_second_write_of_the_key() {
    let world = World::default();
    // the duplicate in the middle makes two writes of one lane
    let events = batch(1, &[("k", "a", "ok"), ("k", "x", "refuse"), ("k", "a", "ok"), ("k", "b", "ok")]);
    world.store(|s| s.crash_at = Some(Step::Record));
    assert!(settle(&projecting(&world), &events).is_err());
    let settled = settle(&projecting(&world), &events).unwrap();
    assert_eq!(settled.counts, Counts { handled: 2, duplicates: 1, dead_letters: 1, foreign: 0 });
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::Refused)]);
}

#[test]
fn an_event_that_crashes_the_process_is_found_and_dead_lettered_unrun() {
    let world = World::default();
    let shard = ShardId::new(SHARD);
    let events = batch(1, &[("k", "a", "ok"), ("l", "bomb", "hang"), ("m", "c", "ok")]);
    // a process that dies in its handler: the future is dropped where it stands, no step after it runs
    let crash = |world: &World| {
        let settler = settler(world);
        let frozen = Frozen(world.clone());
        let settler = Settler::new(settler.settings, settler.fingerprints, Handling(Obedient(world.clone())), frozen);
        assert!(settler.settle(&events, Timestamp(30_000)).now_or_never().is_none());
    };
    for _ in 0..5 {
        crash(&world);
    }
    let progress = world.store(|s| s.progress[&shard].0.clone());
    assert_eq!(progress.suspect, Some(("2.0".parse().unwrap(), 3)));
    assert_eq!(progress.position, "1.0".parse().unwrap());
    let settled = settle(&settler(&world), &events).unwrap();
    assert!(settled.isolated);
    assert_eq!((resume(&settled), settled.unsettled), (None, 0));
    assert_eq!(letters(&world), [("2.0".to_owned(), Code::Crashed)]);
    assert_eq!(handled(&world).last().map(String::as_str), Some("c"));
    assert_eq!(world.store(|s| s.progress[&shard].0.attempts), 0);
}

/// The world of a process that is about to die: its clock never wakes it.
#[derive(Clone)]
struct Frozen(World);

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}
impl Progress for Frozen {
    async fn begin(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        self.0.begin(shard).await
    }
    async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, ports::Error> {
        self.0.commit(shard, epoch, commit).await
    }
}
impl Windows for Frozen {
    async fn load(
        &self,
        shard: &ShardId,
        after: u64,
        since: Timestamp,
        kept_from: Option<u64>,
    ) -> Result<Vec<Segment>, ports::Error> {
        Windows::load(&self.0, shard, after, since, kept_from).await
    }
    async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), ports::Error> {
        self.0.record(shard, segment).await
    }
}
impl Redrives for Frozen {
    async fn look(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        self.0.look(shard).await
    }
    async fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, ports::Error> {
        self.0.load_redriven(shard, since).await
    }
    async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), ports::Error> {
        self.0.record_redriven(shard, redriven).await
    }
    async fn announce(&self, shard: &ShardId) -> Result<(), ports::Error> {
        self.0.announce(shard).await
    }
    async fn give_up(&self, shard: &ShardId, last: &Position) -> Result<(), ports::Error> {
        self.0.give_up(shard, last).await
    }
}
impl DeadLetters for Frozen {
    async fn send(&self, letter: &DeadLetter) -> Result<(), ports::Error> {
        self.0.send(letter).await
    }
}
impl Shards for Frozen {
    async fn lineage(&self, shard: &ShardId) -> Result<Lineage, ports::Error> {
        self.0.lineage(shard).await
    }
    async fn list(&self) -> Result<Vec<ListedShard>, ports::Error> {
        self.0.list().await
    }
}

#[test]
fn a_panic_is_caught_and_counted_and_a_hanging_handler_is_cancelled() {
    let world = World::default();
    let settler = settler(&world);
    for _ in 0..3 {
        settle(&settler, &batch(1, &[("k", "a", "panic"), ("l", "b", "ok")])).unwrap();
    }
    assert_eq!(letters(&world), [("1.0".to_owned(), Code::RetriesExhausted)]);
    assert!(world.store(|s| s.letters[0].reason.contains("boom")));
    for _ in 0..3 {
        settle(&settler, &batch(3, &[("k", "c", "hang")])).unwrap();
    }
    assert_eq!(letters(&world)[1], ("3.0".to_owned(), Code::RetriesExhausted));
}

#[test]
fn a_child_shard_finds_what_its_parent_settled() {
    let world = World::default();
    settle(&settler(&world), &batch(1, &[("k", "a", "ok")])).unwrap();
    world.store(|s| s.parents = vec![ShardId::new(SHARD)]);
    let mut child = batch(10, &[("k", "a", "ok"), ("k", "b", "ok")]);
    child.shard = ShardId::new("shardId-000000000001");
    let settled = settle(&settler(&world), &child).unwrap();
    assert_eq!((settled.counts.duplicates, settled.counts.handled), (1, 1));
}

#[test]
fn a_dead_letter_that_cannot_be_sent_leaves_its_event_unsettled() {
    let world = World::default();
    world.store(|s| s.crash_at = Some(Step::Letter));
    let events = batch(1, &[("k", "a", "refuse"), ("l", "b", "ok")]);
    let settled = settle(&settler(&world), &events).unwrap();
    assert_eq!(resume(&settled), Some("1"));
    assert_eq!(resume(&settle(&settler(&world), &events).unwrap()), None);
    assert_eq!(letters(&world), [("1.0".to_owned(), Code::Refused)]);
}

/// Joins the ids it sees; refuses what says `refuse`.
struct Join;

impl Projection for Join {
    type State = String;
    fn concerns(&self, event: &Event) -> bool {
        event.data_as::<String>().is_ok_and(|told| told != "other")
    }
    fn fold(&self, state: Option<String>, event: &Event) -> Result<String, Refusal> {
        match event.data_as::<String>()?.as_str() {
            "refuse" => Err(Refusal::new("illegal")),
            _ => Ok(state.unwrap_or_default() + event.id()),
        }
    }
}

fn projecting(world: &World) -> Settler<Projecting<Join, World>, World> {
    let work = Projecting::new(Join, world.clone());
    Settler::new(Settings::new("g", "stream"), Fingerprinter::new("test"), work, world.clone())
}

fn state(world: &World, key: &str) -> Option<String> {
    world.store(|s| s.states[&PartitionKey::new(key).unwrap()].state.clone())
}

#[test]
fn a_projection_applies_each_event_once_wherever_its_run_dies() {
    for crash in [None, Some(Step::Letter), Some(Step::Record), Some(Step::Commit)] {
        let world = World::default();
        world.store(|s| s.crash_at = crash);
        let events =
            batch(1, &[("k", "a", "ok"), ("k", "x", "refuse"), ("k", "b", "ok"), ("k", "a", "ok"), ("l", "c", "ok")]);
        while !settle(&projecting(&world), &events).is_ok_and(|settled| settled.resume_at.is_none()) {}
        assert_eq!(state(&world, "k").as_deref(), Some("\"ab\""), "crash at {crash:?}");
        assert_eq!(state(&world, "l").as_deref(), Some("\"c\""));
        assert_eq!(letters(&world), [("2.0".to_owned(), Code::Refused)]);
        let counts = world.store(|s| {
            s.segments.values().flatten().fold(Counts::default(), |mut sum, segment| {
                sum += segment.counts;
                sum
            })
        });
        assert_eq!(counts, Counts { handled: 3, duplicates: 1, dead_letters: 1, foreign: 0 }, "crash at {crash:?}");
    }
}

#[test]
fn a_projection_settles_what_does_not_concern_it_and_stores_nothing_for_it() {
    let world = World::default();
    let events = batch(1, &[("k", "a", "other"), ("l", "b", "other"), ("l", "c", "ok"), ("l", "d", "other")]);
    let settled = settle(&projecting(&world), &events).unwrap();
    assert_eq!((settled.counts.handled, resume(&settled)), (4, None));
    assert_eq!(state(&world, "l").as_deref(), Some("\"c\""));
    assert_eq!(world.store(|s| s.states.len()), 1);
}

mod redrive;
