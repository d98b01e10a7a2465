//! The core's ports for one process, over the world.

use std::any::Any;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use penstock::dead_letter::DeadLetter;
use penstock::packing::PackedRecord;
use penstock::ports::{
    Clock, DeadLetters, Error, Ledger, Lineage, ListedShard, Page, PutResult, Records, Recoveries, Shards, StateWrite,
    States, Stream, Turns,
};
use penstock::progress::Cursor;
use penstock::progress::{Begun, Commit, Committed};
use penstock::projection::{Stored, StoredState};
use penstock::time::Timestamp;
use penstock::window::{Redriven, Segment, Wanted};
use penstock::{Event, PartitionKey, Position, SequenceNumber, ShardId};

use crate::plan::HORIZON;
use crate::work::Kind;
use crate::world::truth::{Act, EventRef};
use crate::world::{GroupIndex, Happening, Pid, Shared, World};

/// A process's view of the world.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) world: Shared,
    pub(crate) pid: Pid,
    pub(crate) group: GroupIndex,
    /// Milliseconds that its clock is ahead.
    pub(crate) skew: i64,
    /// When what it does now began, and in the lowest bit whether it redrives.
    pub(crate) doing: Arc<AtomicU64>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

/// Which service a call goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Stream,
    Tables,
    Queues,
    Downstream,
}

struct Reply<T> {
    world: Shared,
    ticket: usize,
    of: PhantomData<fn() -> T>,
}

impl<T: 'static> Future for Reply<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = self.world.lock().take_reply(self.ticket, context.waker());
        match reply {
            None => Poll::Pending,
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(reply)) => match reply.downcast::<T>() {
                Ok(reply) => Poll::Ready(Ok(*reply)),
                Err(_) => unreachable!("a call's effect gives what its caller expects"),
            },
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.world.lock().forget(self.ticket);
    }
}

impl Process {
    async fn call<T: Any + Send>(
        &self,
        service: Service,
        name: &'static str,
        effect: impl FnOnce(&mut World) -> T + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let ticket = {
            let mut world = self.world.lock();
            let now = world.agenda.now().0;
            let down = match service {
                Service::Tables => now < world.tables_down_until,
                Service::Queues => now < world.queues_down_until,
                Service::Stream | Service::Downstream => false,
            };
            world.issue(self.pid, name, down, service == Service::Downstream, Box::new(effect))
        };
        Reply::<T> { world: self.world.clone(), ticket, of: PhantomData }.await
    }

    /// The second call of two: a process can die between them.
    async fn count_redriven(&self, shard: ShardId) -> Result<(), Error> {
        let group = self.group;
        self.call(Service::Tables, "count redriven", move |world| world.tables[group].count_redriven(&shard)).await
    }

    /// Waits.
    pub(crate) async fn wait(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let ticket = self.world.lock().sleep(millis);
        _ = Reply::<()> { world: self.world.clone(), ticket, of: PhantomData }.await;
    }

    /// What an event does, as things are now.
    pub(crate) fn kind(&self, event: &Event) -> Kind {
        let mut world = self.world.lock();
        match Kind::of(event) {
            _ if world.mended[self.group] => Kind::Plain,
            Kind::MostlyKills if world.chance.below(4) == 0 => Kind::Plain,
            kind => kind,
        }
    }

    /// The process kills itself.
    pub(crate) fn die(&self) {
        self.world.lock().agenda.after(0, Happening::Kill(self.pid));
    }

    /// A handler's side effect; false if the downstream is down.
    pub(crate) async fn act(
        &self,
        event: EventRef,
        shard: ShardId,
        position: Position,
        epoch: u64,
    ) -> Result<bool, Error> {
        let (group, pid, doing) = (self.group, self.pid, self.doing.load(Ordering::Relaxed));
        let act = Act { epoch, began: doing >> 1, redrives: doing & 1 == 1 };
        self.call(Service::Downstream, "act", move |world| {
            if world.agenda.now().0 < world.downstream_down_until[group] {
                world.saw_down(group, pid, event);
                return false;
            }
            world.note(|| format!("process {pid}: effect of {event} in run {epoch} of {shard}"));
            if act.redrives {
                world.saw_redriven_effect(group, event, &position);
            }
            world.saw_effect(group, event, &shard, act);
            true
        })
        .await
    }
}

impl Clock for Process {
    fn now(&self) -> Timestamp {
        Timestamp(self.world.lock().agenda.now().0.saturating_add_signed(self.skew))
    }
    async fn sleep(&self, duration: Duration) {
        self.wait(duration).await;
    }
}

impl Ledger for Process {
    async fn begin(&self, shard: &ShardId) -> Result<Begun, Error> {
        let (group, pid, shard) = (self.group, self.pid, shard.clone());
        self.call(Service::Tables, "begin", move |world| {
            let begun = world.tables[group].begin(&shard);
            world.saw_begin(group, pid, &shard, begun.epoch);
            world.note(|| format!("process {pid}: run {} of {shard} begins at {}", begun.epoch, begun.position));
            begun
        })
        .await
    }

    async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, Error> {
        let (group, pid, shard, commit) = (self.group, self.pid, shard.clone(), commit.clone());
        self.call(Service::Tables, "commit", move |world| {
            let before = world.tables[group].position(&shard);
            let committed = world.tables[group].commit(&shard, epoch, &commit);
            world.note(|| format!("process {pid}: commit of run {epoch} at {}: {committed:?}", commit.position));
            if committed == Committed::Fenced {
                world.fenced.insert(pid);
            }
            if committed == Committed::Yes {
                world.saw_commit(group, (&shard, epoch), &before, &commit);
            }
            committed
        })
        .await
    }

    async fn load(&self, shard: &ShardId, wanted: &Wanted) -> Result<Vec<Segment>, Error> {
        let (group, shard, wanted) = (self.group, shard.clone(), *wanted);
        self.call(Service::Tables, "load", move |world| {
            let now = world.agenda.now();
            world.tables[group].load(&shard, &wanted, now, HORIZON)
        })
        .await
    }

    async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), Error> {
        let (group, pid, shard, segment) = (self.group, self.pid, shard.clone(), segment.clone());
        self.call(Service::Tables, "record", move |world| {
            world.note(|| {
                let (through, ahead) = (&segment.through, segment.ahead.len());
                format!("process {pid}: segment of run {}: through {through}, {ahead} ahead", segment.epoch)
            });
            world.saw_segment(group, &shard, &segment);
            world.tables[group].record(&shard, segment);
        })
        .await
    }

    async fn look(&self, shard: &ShardId) -> Result<Begun, Error> {
        let (group, shard) = (self.group, shard.clone());
        self.call(Service::Tables, "look", move |world| world.tables[group].look(&shard)).await
    }

    async fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, Error> {
        let (group, shard) = (self.group, shard.clone());
        self.call(Service::Tables, "load redriven", move |world| world.tables[group].load_redriven(&shard, since)).await
    }

    async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), Error> {
        let (group, pid, shard, redriven) = (self.group, self.pid, shard.clone(), redriven.clone());
        let counted = shard.clone();
        self.call(Service::Tables, "record redriven", move |world| {
            world.note(|| format!("process {pid}: {} redriven on {shard}", redriven.handled.len()));
            world.tables[group].record_redriven(&shard, redriven);
        })
        .await?;
        self.count_redriven(counted).await
    }
}

impl Turns for Process {
    async fn take_turn(&self, id: &str, now: Timestamp, until: Timestamp) -> Result<bool, Error> {
        let (group, id) = (self.group, id.to_owned());
        self.call(Service::Tables, "take turn", move |world| world.take_turn(group, &id, now, until)).await
    }

    async fn end_turn(&self, id: &str) -> Result<(), Error> {
        let (group, id) = (self.group, id.to_owned());
        self.call(Service::Tables, "end turn", move |world| world.tables[group].end_turn(&id)).await
    }
}

impl Records for Process {
    async fn read_back(&self, shard: &ShardId, from: &SequenceNumber, after: bool) -> Result<Option<Page>, Error> {
        let (shard, from) = (shard.clone(), from.clone());
        self.call(Service::Stream, "read back", move |world| {
            let now = world.agenda.now();
            world.stream.read_back(&shard, &from, after, now)
        })
        .await
    }
}

impl Recoveries for Process {
    async fn recovered(
        &self,
        shard: &ShardId,
        first: &SequenceNumber,
        last: &SequenceNumber,
    ) -> Result<Option<Position>, Error> {
        let (group, shard, first, last) = (self.group, shard.clone(), first.clone(), last.clone());
        self.call(Service::Tables, "recovered", move |world| world.tables[group].recovered(&shard, &first, &last)).await
    }

    async fn record_recovered(&self, shard: &ShardId, cursor: &Cursor) -> Result<(), Error> {
        let (group, pid, shard, cursor) = (self.group, self.pid, shard.clone(), cursor.clone());
        self.call(Service::Tables, "record recovered", move |world| {
            world.note(|| format!("process {pid}: recovered {shard} up to {}", cursor.done));
            world.tables[group].record_recovered(&shard, cursor);
        })
        .await
    }

    async fn expire(&self, shard: &ShardId, last: &Position) -> Result<(), Error> {
        let (group, shard, last) = (self.group, shard.clone(), last.clone());
        self.call(Service::Tables, "expire", move |world| world.tables[group].expire(&shard, &last)).await
    }
}

impl DeadLetters for Process {
    async fn send(&self, letters: &[DeadLetter]) -> Vec<Result<(), Error>> {
        let (group, pid, count, letters) = (self.group, self.pid, letters.len(), letters.to_vec());
        let doing = self.doing.load(Ordering::Relaxed);
        let (began, redrives) = (doing >> 1, doing & 1 == 1);
        let sent = self.call(Service::Queues, "dead letter", move |world| {
            let send = |letter: DeadLetter| {
                if world.chance.strikes(2) {
                    return Err(Error::Throttled("this one of them".to_owned()));
                }
                world.note(|| format!("process {pid}: dead letter {} {:?}", letter.position, letter.code));
                world.saw_letter(group, pid, &letter, (began, redrives));
                world.tables[group].letters.push(letter);
                Ok(())
            };
            letters.into_iter().map(send).collect::<Vec<_>>()
        });
        sent.await.unwrap_or_else(|error| vec![Err(error); count])
    }
}

impl Shards for Process {
    async fn lineage(&self, shard: &ShardId) -> Result<Option<Lineage>, Error> {
        let shard = shard.clone();
        self.call(Service::Stream, "lineage", move |world| {
            let seen = world.listing_seen();
            world.stream.lineage(&shard, seen)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<ListedShard>, Error> {
        self.call(Service::Stream, "list shards", |world| {
            let seen = world.listing_seen();
            world.stream.list(seen)
        })
        .await
    }
}

impl States for Process {
    async fn load(&self, keys: &[PartitionKey]) -> Vec<Result<Option<StoredState>, Error>> {
        let (group, pid, count) = (self.group, self.pid, keys.len());
        let keys: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        let loaded = self.call(Service::Tables, "load states", move |world| {
            let load = |key: String| {
                if world.chance.strikes(2) {
                    return Err(Error::Throttled("this one of them".to_owned()));
                }
                let state = world.tables[group].states.get(&key).cloned();
                world.saw_look(group, pid, key, state.as_ref());
                Ok(state)
            };
            keys.into_iter().map(load).collect::<Vec<_>>()
        });
        loaded.await.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn store(&self, writes: &[StateWrite]) -> Vec<Result<Stored, Error>> {
        let (group, pid, writes, count) = (self.group, self.pid, writes.to_vec(), writes.len());
        let stored = self.call(Service::Tables, "store states", move |world| {
            let store = |StateWrite { key, state, over }: StateWrite| {
                // a single statement of a call can fail, and what is said to have failed may have happened
                match world.chance.below(2) {
                    _ if !world.chance.strikes(3) => {}
                    0 => return Err(Error::Throttled("this one of them".to_owned())),
                    _ => {
                        world.store_state(group, pid, key.as_str(), &state, over)?;
                        return Err(Error::Unavailable("no answer for this one of them".to_owned()));
                    }
                }
                world.store_state(group, pid, key.as_str(), &state, over)
            };
            writes.into_iter().map(store).collect::<Vec<_>>()
        });
        stored.await.unwrap_or_else(|error| vec![Err(error); count])
    }
}

/// The stream as one request of the edge sees it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) process: Process,
    pub(crate) events: Vec<EventRef>,
}

impl Clock for Request {
    fn now(&self) -> Timestamp {
        self.process.now()
    }
    async fn sleep(&self, duration: Duration) {
        self.process.sleep(duration).await;
    }
}

impl Stream for Request {
    async fn put(&self, records: &[PackedRecord]) -> Result<Vec<PutResult>, Error> {
        let records: Vec<_> = records
            .iter()
            .map(|record| (record.clone(), record.events.iter().map(|index| self.events[*index]).collect::<Vec<_>>()))
            .collect();
        let pid = self.process.pid;
        self.process
            .call(Service::Stream, "put", move |world| {
                let now = world.agenda.now();
                let mut verdicts = vec![PutResult::Throttled; records.len()];
                // no order is promised between the records of one call
                let backwards = world.chance.below(2) == 1;
                let mut order: Vec<usize> = (0..records.len()).collect();
                if backwards {
                    order.reverse();
                }
                for index in order {
                    let (record, events) = &records[index];
                    let gap = world.chance.below(30);
                    verdicts[index] = if world.chance.strikes(4) {
                        PutResult::Failed("InternalFailure".to_owned())
                    } else {
                        world.stream.put(record, events.clone(), now, gap)
                    };
                    if matches!(verdicts[index], PutResult::Stored { .. }) {
                        events.iter().for_each(|event| world.saw_put(*event));
                    }
                    world.note(|| {
                        let names: Vec<_> = events.iter().map(EventRef::to_string).collect();
                        format!("process {pid}: put {}: {:?}", names.join(" "), verdicts[index])
                    });
                }
                verdicts
            })
            .await
    }
}
