//! A world in memory that a run can be made to die in, and what the tests do in it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::*;
use crate::batch::Record;
use crate::dead_letter::DeadLetter;
use crate::handler::{EventHandler, Failure, HandlerContext};
use crate::hash::HashRange;
use crate::ports::{Lineage, ListedShard, Next, Page, Records, Recoveries, StateWrite, States};
use crate::progress::Cursor;
use crate::progress::{Commit, Committed};
use crate::projection::{Stored, StoredState};
use crate::window::{Redriven, Segment, Wanted};
use crate::{Event, PartitionKey, Position};

/// A step of the protocol, as the world sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Begin,
    Load,
    Record,
    Commit,
    Letter,
}

#[derive(Default)]
pub(super) struct Store {
    pub(super) progress: HashMap<ShardId, (Begun, Option<(Commit, u64)>)>,
    pub(super) segments: HashMap<ShardId, Vec<Segment>>,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) states: HashMap<PartitionKey, StoredState>,
    pub(super) states_read: usize,
    /// What handlers call is away until then.
    pub(super) away_until: u64,
    /// The state of this key cannot be written.
    pub(super) unwritable: Option<PartitionKey>,
    pub(super) handled: Vec<String>,
    pub(super) now: u64,
    /// This letter, counted from 1, is not sent, once.
    pub(super) crash_letter: Option<usize>,
    /// The run dies here, once.
    pub(super) crash_at: Option<Step>,
    /// A call never answers here, once.
    pub(super) hang_at: Option<Step>,
    /// A newer run begins just before the next commit.
    pub(super) usurp: bool,
    /// One begins just before the next state is read.
    pub(super) usurp_at_load: bool,
    pub(super) parents: Vec<ShardId>,
    /// What shards hold, if not all.
    pub(super) range: Option<HashRange>,
    pub(super) redriven: Vec<Redriven>,
    pub(super) redriven_read: usize,
    /// Whose turn it is to redrive, and until when.
    pub(super) turn: Option<(String, Timestamp)>,
    /// What can be read back of the shard.
    pub(super) records: Vec<Record>,
    pub(super) closed: bool,
    /// Milliseconds.
    pub(super) letter_takes: u64,
    /// The shard has outlived the stream's retention.
    pub(super) gone: bool,
    pub(super) unlisted: bool,
    pub(super) cursors: HashMap<(SequenceNumber, SequenceNumber), Position>,
}

#[derive(Clone, Default)]
pub(super) struct World(pub(super) Arc<Mutex<Store>>);

impl World {
    pub(super) fn store<T>(&self, f: impl FnOnce(&mut Store) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    pub(super) async fn step(&self, step: Step) -> Result<(), ports::Error> {
        if self.store(|s| s.hang_at.take_if(|at| *at == step)).is_some() {
            std::future::pending::<()>().await;
        }
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

impl Ledger for World {
    async fn begin(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        self.step(Step::Begin).await?;
        Ok(self.store(|s| {
            let (begun, _) = s.progress.entry(shard.clone()).or_insert_with(|| (Begun::nothing(), None));
            begun.epoch += 1;
            begun.attempts += 1;
            begun.clone()
        }))
    }

    async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, ports::Error> {
        self.step(Step::Commit).await?;
        Ok(self.store(|s| {
            let (begun, last) = s.progress.get_mut(shard).unwrap();
            if std::mem::take(&mut s.usurp) {
                begun.epoch += 1;
            }
            if begun.epoch != epoch {
                return Committed::Fenced;
            }
            if last.as_ref().is_some_and(|last| last.1 == epoch && last.0.number > commit.number) {
                return Committed::Fenced;
            }
            assert!(commit.position >= begun.position, "P4: a position never retreats");
            begun.position = commit.position.clone();
            begun.failures = commit.failures.clone();
            begun.suspect = commit.suspect.clone();
            begun.ahead_from = commit.ahead_from;
            begun.attempts = commit.attempts;
            *last = Some((commit.clone(), epoch));
            Committed::Yes
        }))
    }

    async fn load(&self, shard: &ShardId, wanted: &Wanted) -> Result<Vec<Segment>, ports::Error> {
        self.step(Step::Load).await?;
        let all = self.store(|s| s.segments.get(shard).cloned().unwrap_or_default());
        let mut found: Vec<Segment> = Vec::new();
        for segment in all.into_iter().rev().filter(|segment| segment.epoch > wanted.after) {
            let names = found.iter().map(|segment| segment.handled.len()).sum();
            found.extend(wanted.take(segment, names));
        }
        Ok(found)
    }
    async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), ports::Error> {
        self.step(Step::Record).await?;
        self.store(|s| s.segments.entry(shard.clone()).or_default().push(segment.clone()));
        Ok(())
    }
    async fn look(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        Ok(self.store(|s| s.progress.get(shard).map_or_else(Begun::nothing, |(begun, _)| begun.clone())))
    }
    async fn load_redriven(&self, _: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, ports::Error> {
        Ok(self.store(|s| {
            let found: Vec<_> = s.redriven.iter().filter(|redriven| redriven.at >= since).cloned().collect();
            s.redriven_read += found.len();
            found
        }))
    }
    async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), ports::Error> {
        self.store(|s| {
            s.redriven.push(redriven.clone());
            s.progress.entry(shard.clone()).or_insert_with(|| (Begun::nothing(), None)).0.redriven += 1;
        });
        Ok(())
    }
}

impl Turns for World {
    async fn take_turn(&self, id: &str, now: Timestamp, until: Timestamp) -> Result<bool, ports::Error> {
        Ok(self.store(|s| {
            let is_free = s.turn.as_ref().is_none_or(|(holder, until)| holder == id || *until < now);
            if is_free {
                s.turn = Some((id.to_owned(), until));
            }
            is_free
        }))
    }
    async fn end_turn(&self, id: &str) -> Result<(), ports::Error> {
        self.store(|s| s.turn.take_if(|(holder, _)| holder == id));
        Ok(())
    }
}

impl DeadLetters for World {
    async fn send(&self, letters: &[DeadLetter]) -> Vec<Result<(), ports::Error>> {
        let mut results = Vec::new();
        for letter in letters {
            self.store(|s| s.now += s.letter_takes);
            let mut result = self.step(Step::Letter).await;
            if self.store(|s| s.crash_letter.take_if(|number| *number == s.letters.len() + 1)).is_some() {
                result = Err(ports::Error::Unavailable("crashed".into()));
            }
            if result.is_ok() {
                self.store(|s| s.letters.push(letter.clone()));
            }
            results.push(result);
        }
        results
    }
}

impl Shards for World {
    async fn lineage(&self, _: &ShardId) -> Result<Option<Lineage>, ports::Error> {
        let lineage = Lineage {
            ancestors: self.store(|s| s.parents.iter().map(|id| (id.clone(), HashRange::ALL)).collect()),
            range: self.store(|s| s.range).unwrap_or(HashRange::ALL),
        };
        Ok(Some(lineage).filter(|_| self.store(|s| !s.gone && !s.unlisted)))
    }
    async fn list(&self) -> Result<Vec<ListedShard>, ports::Error> {
        let shard = ShardId::new(SHARD);
        Ok(vec![ListedShard { shard, range: HashRange::ALL, parents: Vec::new() }])
    }
}

impl Records for World {
    async fn read_back(&self, _: &ShardId, from: &SequenceNumber, after: bool) -> Result<Option<Page>, ports::Error> {
        let page = self.store(|s| {
            let found =
                s.records.iter().filter(|record| record.sequence > *from || (record.sequence == *from && !after));
            let mut records: Vec<Record> = found.cloned().collect();
            let next = match records.len() > 2 {
                true => Next::More,
                false if s.closed => Next::End,
                false => Next::Tip,
            };
            records.truncate(2);
            Page { records, next }
        });
        Ok(Some(page).filter(|_| self.store(|s| !s.gone)))
    }
}

impl Recoveries for World {
    async fn recovered(
        &self,
        _: &ShardId,
        first: &SequenceNumber,
        last: &SequenceNumber,
    ) -> Result<Option<Position>, ports::Error> {
        Ok(self.store(|s| s.cursors.get(&(first.clone(), last.clone())).cloned()))
    }
    async fn record_recovered(&self, _: &ShardId, cursor: &Cursor) -> Result<(), ports::Error> {
        let Cursor { first, last, done, .. } = cursor.clone();
        self.store(|s| s.cursors.insert((first, last), done));
        Ok(())
    }
    async fn expire(&self, shard: &ShardId, last: &Position) -> Result<(), ports::Error> {
        self.store(|s| {
            s.progress.entry(shard.clone()).or_insert_with(|| (Begun::nothing(), None)).0.expired = last.clone();
        });
        Ok(())
    }
}

impl States for World {
    async fn load(&self, keys: &[PartitionKey]) -> Vec<Result<Option<StoredState>, ports::Error>> {
        self.store(|s| {
            if std::mem::take(&mut s.usurp_at_load) {
                s.progress.values_mut().for_each(|(begun, _)| begun.epoch += 1);
            }
            s.states_read += keys.len();
            keys.iter().map(|key| Ok(s.states.get(key).cloned())).collect()
        })
    }
    async fn store(&self, writes: &[StateWrite]) -> Vec<Result<Stored, ports::Error>> {
        let write = |StateWrite { key, state, over }: &StateWrite| {
            self.store(|s| {
                if s.unwritable.as_ref() == Some(key) {
                    return Err(ports::Error::Throttled("this one of them".to_owned()));
                }
                if s.states.get(key).map(|stored| stored.revision) != *over {
                    return Ok(Stored::Superseded);
                }
                s.states.insert(key.clone(), state.clone());
                Ok(Stored::Yes)
            })
        };
        writes.iter().map(write).collect()
    }
}

/// Does what the event's `data` says: `ok`, `retry`, `refuse`, `panic`, `hang`.
pub(super) struct Obedient(pub(super) World);

impl EventHandler for Obedient {
    async fn handle(&self, event: &Event, context: &HandlerContext<'_>) -> Result<(), Failure> {
        assert_eq!(context.idempotency_key(event).len(), 32);
        match event.data_as::<String>()?.as_str() {
            "retry" => return Err(Failure::retry("later")),
            "away" if self.0.store(|s| s.now < s.away_until) => return Err(Failure::retry("away")),
            "refuse" => return Err(Failure::refuse("never")),
            "panic" => panic!("boom"),
            "hang" => std::future::pending().await,
            _ => {}
        }
        self.0.store(|s| s.handled.push(event.id().to_owned()));
        Ok(())
    }
}

pub(super) const SHARD: &str = "shardId-000000000000";

/// (key, id, data) of each record, numbered from `first`.
pub(super) fn batch(first: u32, events: &[(&str, &str, &str)]) -> ShardBatch {
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

/// The event with this id, as [`batch`] makes it.
pub(super) fn batch_event(id: &str) -> Event {
    let text = format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t"}}"#);
    Event::from_json(&text, &crate::Limits::DEFAULT).unwrap()
}

pub(super) fn settler(world: &World) -> Settler<Handling<Obedient>, World> {
    let work = Handling(Obedient(world.clone()));
    Settler::new(impatient(), Fingerprinter::new("test"), work, world.clone())
}

/// Each run tries an event once, and the third that fails is the last.
pub(super) fn impatient() -> Settings {
    Settings { patience: Duration::ZERO, ..Settings::new("g", "stream") }
}

pub(super) fn settle<W: Work>(settler: &Settler<W, World>, batch: &ShardBatch) -> Result<Settled, Error> {
    let deadline = Timestamp(settler.outside.now().0 + 30_000);
    settler.settle(batch, deadline).now_or_never().expect("nothing here waits")
}

pub(super) fn resume(settled: &Settled) -> Option<&str> {
    settled.resume_at.as_ref().map(SequenceNumber::as_str)
}

pub(super) fn handled(world: &World) -> Vec<String> {
    world.store(|s| s.handled.clone())
}

pub(super) fn letters(world: &World) -> Vec<(String, Code)> {
    world.store(|s| s.letters.iter().map(|l| (l.position.to_string(), l.code)).collect())
}

/// A process that dies where a call or a handler hangs.
pub(super) fn dying(world: &World) -> Settler<Handling<Obedient>, Frozen> {
    let Settler { settings, fingerprints, .. } = settler(world);
    Settler::new(settings, fingerprints, Handling(Obedient(world.clone())), Frozen(world.clone()))
}

/// The world of a process that is about to die: its clock never wakes it.
#[derive(Clone)]
pub(super) struct Frozen(pub(super) World);

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}
impl Ledger for Frozen {
    async fn begin(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        self.0.begin(shard).await
    }
    async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, ports::Error> {
        self.0.commit(shard, epoch, commit).await
    }
    async fn load(&self, shard: &ShardId, wanted: &Wanted) -> Result<Vec<Segment>, ports::Error> {
        Ledger::load(&self.0, shard, wanted).await
    }
    async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), ports::Error> {
        self.0.record(shard, segment).await
    }
    async fn look(&self, shard: &ShardId) -> Result<Begun, ports::Error> {
        self.0.look(shard).await
    }
    async fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, ports::Error> {
        self.0.load_redriven(shard, since).await
    }
    async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), ports::Error> {
        self.0.record_redriven(shard, redriven).await
    }
}

impl Turns for Frozen {
    async fn take_turn(&self, id: &str, now: Timestamp, until: Timestamp) -> Result<bool, ports::Error> {
        self.0.take_turn(id, now, until).await
    }
    async fn end_turn(&self, id: &str) -> Result<(), ports::Error> {
        self.0.end_turn(id).await
    }
}

impl DeadLetters for Frozen {
    async fn send(&self, letters: &[DeadLetter]) -> Vec<Result<(), ports::Error>> {
        self.0.send(letters).await
    }
}
impl Shards for Frozen {
    async fn lineage(&self, shard: &ShardId) -> Result<Option<Lineage>, ports::Error> {
        self.0.lineage(shard).await
    }
    async fn list(&self) -> Result<Vec<ListedShard>, ports::Error> {
        self.0.list().await
    }
}
