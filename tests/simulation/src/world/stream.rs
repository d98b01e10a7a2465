//! A Kinesis stream: shards that split and merge, records with numbers that grow in length.

use std::time::Duration;

use penstock::hash::{HashKey, HashRange};
use penstock::packing::PackedRecord;
use penstock::ports::{Lineage, Next, PutResult};
use penstock::time::Timestamp;
use penstock::{Position, SequenceNumber, ShardId, batch, ports};
use penstock_event_source::{ListedShard, ReadFrom, Record};

use super::truth::EventRef;

/// A shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) parents: Vec<ShardId>,
    pub(crate) range: HashRange,
    pub(crate) open: bool,
    opened: Timestamp,
    closed: Timestamp,
    pub(crate) records: Vec<Stored>,
    /// Until when it throttles.
    pub(crate) busy_until: u64,
}

/// A record, and what is in it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) events: Vec<EventRef>,
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) shards: Vec<Shard>,
    /// How long records are kept; `None` is for ever. A closed shard goes with its last one.
    pub(crate) retention: Option<Duration>,
    sequence: u64,
}

impl Stream {
    /// So many shards that divide the hash keys evenly. Numbers begin at `sequence`.
    pub(crate) fn new(shards: u64, sequence: u64) -> Self {
        let mut stream = Self { shards: Vec::new(), retention: None, sequence };
        let width = u128::MAX / u128::from(shards);
        for n in 0..u128::from(shards) {
            let end = if n + 1 == u128::from(shards) { u128::MAX } else { (n + 1) * width - 1 };
            stream.open(Vec::new(), HashRange { start: HashKey(n * width), end: HashKey(end) }, Timestamp(0));
        }
        stream
    }

    fn open(&mut self, parents: Vec<ShardId>, range: HashRange, opened: Timestamp) {
        let id = ShardId::new(&format!("shardId-{:012}", self.shards.len()));
        let closed = Timestamp(u64::MAX);
        self.shards.push(Shard { id, parents, range, open: true, opened, closed, records: Vec::new(), busy_until: 0 });
    }

    pub(crate) fn shard(&self, id: &ShardId) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.id == *id)
    }

    fn open_shards(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|index| self.shards[*index].open).collect()
    }

    /// An open shard.
    pub(crate) fn any_open(&mut self, choice: u64) -> &mut Shard {
        let open = self.open_shards();
        let index = open[usize::try_from(choice).unwrap_or(0) % open.len()];
        &mut self.shards[index]
    }

    /// Splits an open shard in the middle.
    pub(crate) fn split(&mut self, choice: u64, now: Timestamp) -> Option<ShardId> {
        if self.open_shards().len() >= 8 {
            return None;
        }
        let shard = self.any_open(choice);
        let (id, HashRange { start, end }) = (shard.id.clone(), shard.range);
        if end.0 - start.0 < 4 {
            return None;
        }
        (shard.open, shard.closed) = (false, now);
        let middle = start.0 + (end.0 - start.0) / 2;
        self.open(vec![id.clone()], HashRange { start, end: HashKey(middle) }, now);
        self.open(vec![id.clone()], HashRange { start: HashKey(middle + 1), end }, now);
        Some(id)
    }

    /// Merges two neighbours.
    pub(crate) fn merge(&mut self, choice: u64, now: Timestamp) -> Option<(ShardId, ShardId)> {
        let mut open = self.open_shards();
        if open.len() < 2 {
            return None;
        }
        open.sort_by_key(|index| self.shards[*index].range.start);
        let first = usize::try_from(choice).unwrap_or(0) % (open.len() - 1);
        let (left, right) = (open[first], open[first + 1]);
        let range = HashRange { start: self.shards[left].range.start, end: self.shards[right].range.end };
        let ids = (self.shards[left].id.clone(), self.shards[right].id.clone());
        for index in [left, right] {
            (self.shards[index].open, self.shards[index].closed) = (false, now);
        }
        self.open(vec![ids.0.clone(), ids.1.clone()], range, now);
        Some(ids)
    }

    /// Stores a record on the shard that holds its hash key.
    pub(crate) fn put(&mut self, packed: &PackedRecord, events: Vec<EventRef>, now: Timestamp, gap: u64) -> PutResult {
        self.sequence += 1 + gap;
        let sequence: SequenceNumber = number(self.sequence);
        let shard = self.shards.iter_mut().find(|shard| shard.open && shard.range.contains(packed.hash_key));
        let Some(shard) = shard else { return PutResult::Failed("no shard holds the key".to_owned()) };
        if now.0 < shard.busy_until {
            return PutResult::Throttled;
        }
        let record = Record {
            sequence: sequence.clone(),
            partition_key: packed.key.as_str().into(),
            data: packed.data.clone(),
            arrival: now,
        };
        shard.records.push(Stored { record, events });
        PutResult::Stored { shard: shard.id.clone(), sequence }
    }

    /// Whether a record that arrived then has expired.
    pub(crate) fn has_expired(&self, arrival: Timestamp, now: Timestamp) -> bool {
        self.retention.is_some_and(|retention| arrival.plus(retention) < now)
    }

    /// Records of a shard that have not expired; `None` if the shard has, or never was.
    fn kept(&self, id: &ShardId, now: Timestamp) -> Option<(&Shard, &[Stored])> {
        let shard = self.shard(id).filter(|shard| !self.has_expired(shard.closed, now))?;
        let first = shard.records.partition_point(|stored| self.has_expired(stored.record.arrival, now));
        Some((shard, &shard.records[first..]))
    }

    /// The shards that a listing shows which is as old as `seen`.
    fn listed(&self, seen: Timestamp) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |shard| shard.opened <= seen && !self.has_expired(shard.closed, seen))
    }

    pub(crate) fn listing(&self, now: Timestamp) -> Vec<ListedShard> {
        self.listed(now).map(|shard| ListedShard { id: shard.id.clone(), parents: shard.parents.clone() }).collect()
    }

    /// Records of a shard, and whether it ends behind them.
    pub(crate) fn read(&self, id: &ShardId, from: &ReadFrom, limit: usize, now: Timestamp) -> (Vec<Record>, bool) {
        let Some((shard, kept)) = self.kept(id, now) else { return (Vec::new(), true) };
        let first = kept.partition_point(|stored| match from {
            ReadFrom::TrimHorizon => false,
            ReadFrom::AtTimestamp(at) => stored.record.arrival < *at,
            ReadFrom::After(sequence) => stored.record.sequence <= *sequence,
        });
        let end = kept.len().min(first + limit);
        let records = kept[first..end].iter().map(|stored| stored.record.clone()).collect();
        (records, !shard.open && end == kept.len())
    }

    /// As a listing knows it that is as old as `seen`.
    pub(crate) fn lineage(&self, id: &ShardId, seen: Timestamp) -> Option<Lineage> {
        let find = |id: &ShardId| self.listed(seen).find(|shard| shard.id == *id);
        let shard = find(id)?;
        let mut ancestors: Vec<(ShardId, HashRange)> = Vec::new();
        let mut open = shard.parents.clone();
        while let Some(parent) = open.pop() {
            let known = ancestors.iter().any(|(known, _)| *known == parent);
            if let Some(found) = find(&parent).filter(|_| !known) {
                open.extend(found.parents.clone());
                ancestors.push((parent, found.range));
            }
        }
        Some(Lineage { ancestors, range: shard.range })
    }

    /// As above.
    pub(crate) fn list(&self, seen: Timestamp) -> Vec<ports::ListedShard> {
        let listed = |Shard { id, range, parents, .. }: &Shard| {
            let (shard, range, parents) = (id.clone(), *range, parents.clone());
            ports::ListedShard { shard, range, parents }
        };
        self.listed(seen).map(listed).collect()
    }

    /// A page of records, read again.
    pub(crate) fn read_back(
        &self,
        id: &ShardId,
        from: &SequenceNumber,
        after: bool,
        now: Timestamp,
    ) -> Option<ports::Page> {
        let (shard, kept) = self.kept(id, now)?;
        let before = |stored: &Stored| match after {
            true => stored.record.sequence <= *from,
            false => stored.record.sequence < *from,
        };
        let first = kept.partition_point(before);
        let end = kept.len().min(first + 3);
        let record = |stored: &Stored| batch::Record {
            sequence: stored.record.sequence.clone(),
            arrival: stored.record.arrival,
            partition_key: stored.record.partition_key.as_ref().to_owned(),
            data: stored.record.data.clone(),
        };
        let records = kept[first..end].iter().map(record).collect();
        let next = match end < kept.len() {
            true => Next::More,
            false if shard.open => Next::Tip,
            false => Next::End,
        };
        Some(ports::Page { records, next })
    }

    /// Every event of a shard, with its place.
    pub(crate) fn events(&self, shard: &ShardId) -> impl Iterator<Item = (Place<'_>, EventRef)> {
        let records = self.shard(shard).map_or(&[][..], |shard| &shard.records);
        records.iter().flat_map(|stored| {
            let place = |index| Place { sequence: &stored.record.sequence, index };
            (0..).zip(&stored.events).map(move |(index, event)| (place(index), *event))
        })
    }

    /// How many events of a shard arrived between two times, and in so many records before and after.
    pub(crate) fn events_arrived(&self, shard: &ShardId, since: u64, until: u64, around: usize) -> usize {
        let records = self.shard(shard).map_or(&[][..], |shard| &shard.records);
        let first = records.partition_point(|stored| stored.record.arrival.0 < since).saturating_sub(around);
        let end = records.partition_point(|stored| stored.record.arrival.0 <= until);
        let end = records.len().min(end + around);
        records[first.min(end)..end].iter().map(|stored| stored.events.len()).sum()
    }

    /// Those above `after` and up to `to`.
    pub(crate) fn events_between(
        &self,
        shard: &ShardId,
        after: &Position,
        to: &Position,
    ) -> impl Iterator<Item = (Place<'_>, EventRef)> {
        let records = self.shard(shard).map_or(&[][..], |shard| &shard.records);
        let first = records.partition_point(|stored| stored.record.sequence < after.sequence);
        let end = records.partition_point(|stored| stored.record.sequence <= to.sequence);
        let (after, to) = (Place::of(after), Place::of(to));
        records[first..end.max(first)]
            .iter()
            .flat_map(|stored| {
                let place = |index| Place { sequence: &stored.record.sequence, index };
                (0..).zip(&stored.events).map(move |(index, event)| (place(index), *event))
            })
            .filter(move |(place, _)| *place > after && *place <= to)
    }

    /// The event at a place.
    pub(crate) fn event_at(&self, shard: &ShardId, position: &Position) -> Option<EventRef> {
        let records = &self.shard(shard)?.records;
        let found = records.binary_search_by(|stored| stored.record.sequence.cmp(&position.sequence)).ok()?;
        records[found].events.get(usize::try_from(position.index).ok()?).copied()
    }

    /// Events on all shards.
    pub(crate) fn count(&self) -> u64 {
        self.shards.iter().flat_map(|shard| &shard.records).map(|stored| stored.events.len() as u64).sum()
    }
}

/// A position that borrows: there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place<'a> {
    pub(crate) sequence: &'a SequenceNumber,
    index: u32,
}

impl<'a> Place<'a> {
    pub(crate) fn of(position: &'a Position) -> Self {
        Self { sequence: &position.sequence, index: position.index }
    }

    pub(crate) fn position(self) -> Position {
        Position::new(self.sequence.clone(), self.index)
    }
}

fn number(n: u64) -> SequenceNumber {
    n.to_string().parse().unwrap_or_else(|_| SequenceNumber::zero())
}
