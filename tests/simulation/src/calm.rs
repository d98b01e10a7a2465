//! The simulated services without a simulation: nothing fails, and a call is over when it returns. For the contract suite,
//! which compares them with the real ones.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use penstock::dead_letter::DeadLetter;
use penstock::packing::PackedRecord;
use penstock::ports::{
    DeadLetters, Error, Ledger, Lineage, ListedShard, Page, PutResult, Records, Recoveries, Shards, StateWrite, States,
    Stream, Turns,
};
use penstock::progress::Cursor;
use penstock::progress::{Begun, Commit, Committed};
use penstock::projection::{Stored, StoredState};
use penstock::time::Timestamp;
use penstock::window::{Redriven, Segment, Wanted};
use penstock::{PartitionKey, Position, SequenceNumber, ShardId};

use crate::chance::Chance;
use crate::ports::{Process, Request};
use crate::world::truth::{EventRef, GARBAGE};
use crate::world::{Happening, Shared, World, stream};

/// Groups that a calm world has.
const NAMES: [&str; 6] = ["g", "h", "one", "other", "projection", "edge"];

/// A group's ports in a world of its own.
#[derive(Debug, Clone)]
pub struct Calm(Process);

impl Calm {
    /// A fresh world with one shard.
    #[expect(clippy::new_without_default, reason = "each is another world")]
    pub fn new() -> Self {
        let stream = stream::Stream::new(1, 100);
        let mut world = World::new(Chance::new(0, 0, None), stream, NAMES.len(), false);
        // events that are given up unrun come on top of what a lane may add
        world.item.refused += 100;
        let world = Shared::new(world);
        Self(Process { world, pid: 0, group: 0, skew: 0, doing: Arc::default() })
    }

    /// The ports of a group in this world.
    pub fn group(&self, name: &str) -> Self {
        let group = NAMES.iter().position(|known| *known == name);
        let Some(group) = group else { panic!("there is no group `{name}` here") };
        Self(Process { group, ..self.0.clone() })
    }

    /// Splits a shard.
    pub fn split(&self, shard: &ShardId) {
        let mut world = self.0.world.lock();
        let open: Vec<_> =
            world.stream.shards.iter().filter(|shard| shard.open).map(|shard| shard.id.clone()).collect();
        let choice = open.iter().position(|other| other == shard).unwrap_or(0);
        let now = world.agenda.now();
        world.stream.split(choice as u64, now);
    }

    /// The group's dead letters.
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.0.world.lock().tables[self.0.group].letters.clone()
    }

    /// Lets the world go on until a call is over.
    fn drive<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        loop {
            if let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return result;
            }
            let mut world = self.0.world.lock();
            match world.agenda.next() {
                Some(Happening::Arrive(ticket)) => world.arrive(ticket),
                Some(Happening::Return(ticket)) => world.returns(ticket),
                other => panic!("nothing else happens here: {other:?}"),
            }
        }
    }
}

impl Ledger for Calm {
    async fn begin(&self, shard: &ShardId) -> Result<Begun, Error> {
        self.drive(self.0.begin(shard))
    }
    async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, Error> {
        self.drive(self.0.commit(shard, epoch, commit))
    }
    async fn load(&self, shard: &ShardId, wanted: &Wanted) -> Result<Vec<Segment>, Error> {
        self.drive(Ledger::load(&self.0, shard, wanted))
    }
    async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), Error> {
        self.drive(self.0.record(shard, segment))
    }
    async fn look(&self, shard: &ShardId) -> Result<Begun, Error> {
        self.drive(self.0.look(shard))
    }
    async fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, Error> {
        self.drive(self.0.load_redriven(shard, since))
    }
    async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), Error> {
        self.drive(self.0.record_redriven(shard, redriven))
    }
}

impl Turns for Calm {
    async fn take_turn(&self, id: &str, now: Timestamp, until: Timestamp) -> Result<bool, Error> {
        self.drive(self.0.take_turn(id, now, until))
    }
    async fn end_turn(&self, id: &str) -> Result<(), Error> {
        self.drive(self.0.end_turn(id))
    }
}

impl DeadLetters for Calm {
    async fn send(&self, letters: &[DeadLetter]) -> Vec<Result<(), Error>> {
        self.drive(self.0.send(letters))
    }
}

impl Shards for Calm {
    async fn lineage(&self, shard: &ShardId) -> Result<Option<Lineage>, Error> {
        self.drive(self.0.lineage(shard))
    }
    async fn list(&self) -> Result<Vec<ListedShard>, Error> {
        self.drive(self.0.list())
    }
}

impl Records for Calm {
    async fn read_back(&self, shard: &ShardId, from: &SequenceNumber, after: bool) -> Result<Option<Page>, Error> {
        self.drive(self.0.read_back(shard, from, after))
    }
}

impl Recoveries for Calm {
    async fn recovered(
        &self,
        shard: &ShardId,
        first: &SequenceNumber,
        last: &SequenceNumber,
    ) -> Result<Option<Position>, Error> {
        self.drive(self.0.recovered(shard, first, last))
    }
    async fn record_recovered(&self, shard: &ShardId, cursor: &Cursor) -> Result<(), Error> {
        self.drive(self.0.record_recovered(shard, cursor))
    }
    async fn expire(&self, shard: &ShardId, last: &Position) -> Result<(), Error> {
        self.drive(self.0.expire(shard, last))
    }
}

impl States for Calm {
    async fn load(&self, keys: &[PartitionKey]) -> Vec<Result<Option<StoredState>, Error>> {
        self.drive(States::load(&self.0, keys))
    }
    async fn store(&self, writes: &[StateWrite]) -> Vec<Result<Stored, Error>> {
        self.drive(self.0.store(writes))
    }
}

impl Stream for Calm {
    async fn put(&self, records: &[PackedRecord]) -> Result<Vec<PutResult>, Error> {
        let events = vec![EventRef { key: GARBAGE, ordinal: 0 }; records.len().max(1)];
        self.drive(Request { process: self.0.clone(), events }.put(records))
    }
}
