//! Recovery: dead letters for records that the event source has gone on past because of their age.
//!
//! When a record becomes too old, the event source goes on behind it and says so in a notice that holds a range of
//! sequence numbers and no bytes. The range is read back from the stream; every event of it that the group has not
//! settled becomes a dead letter with its bytes. What has expired from the stream meanwhile becomes one letter that
//! says so. What is settled is known as a run knows it: from the positions and the window of the shard, and from what was
//! redriven.
//!
//! A recovery keeps a cursor, and one that was stopped goes on there. At least once: what was sent after the cursor was
//! written last is sent again, with the same positions. A redrive handles one of them.

use std::time::Duration;

use crate::batch::{CLOCKS_DIFFER, Delivery, Record, ShardBatch};
use crate::dead_letter::{Code, DeadLetter};
use crate::fingerprint::Fingerprinter;
use crate::hash::HashRange;
use crate::ports::{Clock, DeadLetters, Error, Ledger, Next, Records, Recoveries, Shards};
use crate::position::{Position, SequenceNumber, ShardId};
use crate::progress::Cursor;
use crate::settle::loading::{LookingBack, known_up_to};
use crate::settle::times::{Times, within};
use crate::time::Timestamp;
use crate::window::{Age, Window};

/// Kept back at the end of a recovery's time for writing the cursor.
const MARGIN: Duration = Duration::from_secs(4);

/// Letters that are sent before what has become of them is looked at and the cursor is written.
const LETTERS_AT_ONCE: usize = 100;

/// Records that the event source has gone on past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredRange {
    /// The shard.
    pub shard: ShardId,
    /// The first record.
    pub first: SequenceNumber,
    /// The last one.
    pub last: SequenceNumber,
    /// When the first one arrived.
    pub arrival: Timestamp,
    /// When the last one arrived.
    pub last_arrival: Timestamp,
    /// How often the function was invoked with them, about.
    pub attempts: u32,
    /// Why, for people.
    pub reason: String,
}

impl ExpiredRange {
    /// The highest position that an event of it can have.
    fn end(&self) -> Position {
        Position::new(self.last.clone(), u32::MAX)
    }
}

/// What a recovery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Events that became dead letters.
    pub letters: usize,
    /// Events that the group had settled.
    pub settled: usize,
    /// Whether records had expired.
    pub expired: bool,
    /// Whether nothing of the range is left to do. If there is, the next recovery goes on there.
    pub complete: bool,
}

/// Everything that a recovery needs from outside.
pub trait Outside: Records + Ledger + Shards + Recoveries + DeadLetters + Clock {}

impl<T: Records + Ledger + Shards + Recoveries + DeadLetters + Clock> Outside for T {}

/// Makes dead letters of what has expired for one group.
#[derive(Debug)]
pub struct Recoverer<O> {
    /// The group's name.
    pub group: String,
    /// The stream's name.
    pub stream: String,
    /// As the group's own.
    pub fingerprints: Fingerprinter,
    /// As the group's own: how long an event's duplicate is recognised.
    pub horizon: Duration,
    /// Bytes that the window of a recovery may take.
    pub window_bytes: usize,
    /// A younger record has not expired. The stream may keep records longer.
    pub retention_min: Duration,
    /// The outside.
    pub outside: O,
}

impl<O: Outside> Recoverer<O> {
    /// Sends a dead letter for every event of the range that the group has not settled, until `deadline`. P1: what the
    /// event source goes on behind is not lost, and what expires is told.
    ///
    /// # Errors
    /// Whatever outside failed, and when the stream does not give what it must still have. Letters may have been sent;
    /// the next recovery goes on behind them.
    pub async fn recover(&self, given_up: &ExpiredRange, deadline: Timestamp) -> Result<Recovered, Error> {
        let times = Times::new(self.outside.now(), deadline, MARGIN);
        let ExpiredRange { shard, first, last, .. } = given_up;
        let done = within(&self.outside, times.stop, self.outside.recovered(shard, first, last)).await?;
        let mut recovery =
            Recovery { of: self, given_up, times, done, unsaved: false, known: None, recovered: Recovered::default() };
        let ended = recovery.run().await;
        // after an error too: what was sent need not be sent again
        let saved = recovery.save().await;
        ended.and(saved).map(|()| recovery.recovered)
    }
}

/// The recovery of one range.
struct Recovery<'a, O> {
    of: &'a Recoverer<O>,
    given_up: &'a ExpiredRange,
    times: Times,
    /// Every event of the range up to here is settled or became a letter.
    done: Option<Position>,
    /// Whether the cursor has to be written.
    unsaved: bool,
    /// What is settled, and the shard's hash keys. Asked for when there is an event to judge: a shard of which nothing can
    /// be read need not be listed any more.
    known: Option<(Window, HashRange)>,
    recovered: Recovered,
}

impl<O: Outside> Recovery<'_, O> {
    async fn run(&mut self) -> Result<(), Error> {
        let (outside, stop) = (&self.of.outside, self.times.stop);
        let ExpiredRange { shard, last, .. } = self.given_up;
        let end = self.given_up.end();
        // from a record that is done, not from behind it: if it is still there, nothing behind it has expired
        let mut from = self.done.as_ref().map_or(&self.given_up.first, |done| &done.sequence).clone();
        let mut after = false;
        while self.done.as_ref() < Some(&end) {
            if self.time_left().is_zero() {
                return Ok(());
            }
            let page = within(outside, stop, outside.read_back(shard, &from, after)).await?;
            let Some(page) = page else {
                self.expire(None).await?;
                break;
            };
            let oldest = page.records.first().map(|record| record.sequence.clone());
            if !after && let Some(oldest) = oldest.filter(|oldest| *oldest > from && self.leaves_out(oldest)) {
                self.expire(Some(&oldest)).await?;
            }
            let read_to = page.records.last().map(|record| record.sequence.clone());
            let records = page.records.into_iter().filter(|record| record.sequence <= *last).collect();
            if !self.settle(records).await? {
                return Ok(());
            }
            match (read_to, page.next) {
                _ if self.done.as_ref() >= Some(&end) => break,
                (Some(read_to), _) if read_to > *last => self.step(Some(end.clone())),
                // a page of the one record that is done
                (Some(read_to), Next::More) if read_to == from => after = true,
                (Some(read_to), Next::More) => (from, after) = (read_to, false),
                (_, Next::End) => self.expire(None).await?,
                (_, Next::Tip) if self.may_have_expired() => self.expire(None).await?,
                // it is there, and comes with a later read
                (_, Next::Tip) | (None, Next::More) => {
                    let what = format!("{shard} could not be read up to {last}, which has not expired");
                    return Err(Error::Unavailable(what));
                }
            }
        }
        within(outside, self.times.commit, outside.expire(shard, &end)).await?;
        self.recovered.complete = true;
        Ok(())
    }

    /// Whether there can be records between what is done and `oldest`.
    fn leaves_out(&self, oldest: &SequenceNumber) -> bool {
        self.done.as_ref() < Some(&below(oldest))
    }

    /// Makes letters of the events of a page that are not settled; false if time ran out.
    async fn settle(&mut self, records: Vec<Record>) -> Result<bool, Error> {
        let Some(end) = records.last().map(|record| Position::new(record.sequence.clone(), u32::MAX)) else {
            return Ok(true);
        };
        let batch = ShardBatch { shard: self.given_up.shard.clone(), records };
        let mut letters = Vec::new();
        let mut judged = self.done.clone();
        for delivery in batch.deliveries(&self.of.fingerprints) {
            if self.done.as_ref() >= Some(&delivery.position) {
                continue;
            }
            if self.time_left().is_zero() {
                self.send(letters, judged).await?;
                return Ok(false);
            }
            let (position, before) = (delivery.position.clone(), judged.clone());
            if !self.is_foreign_or_settled(&delivery).await? {
                letters.push((before, self.letter(delivery)));
            }
            judged = Some(position);
            if letters.len() == LETTERS_AT_ONCE {
                self.send(std::mem::take(&mut letters), judged.clone()).await?;
            }
        }
        self.send(letters, self.done.clone().max(Some(end))).await?;
        Ok(true)
    }

    async fn is_foreign_or_settled(&mut self, delivery: &Delivery) -> Result<bool, Error> {
        let Recoverer { outside, horizon, fingerprints, window_bytes, .. } = self.of;
        if self.known.is_none() {
            let ExpiredRange { shard, arrival, last_arrival, .. } = self.given_up;
            let since = arrival.minus(*horizon + CLOCKS_DIFFER);
            // a segment is as old as the newest event of its batch
            let until = last_arrival.plus(*horizon * 2 + CLOCKS_DIFFER);
            let looking = LookingBack { horizon: *horizon, age: Age::Arrival, since, until, names_max: usize::MAX };
            let known = known_up_to(outside, looking, shard, self.given_up.end(), *window_bytes);
            self.known = Some(within(outside, self.times.stop, known).await?);
        }
        let Some((window, range)) = &self.known else { unreachable!("it was loaded") };
        if delivery.is_foreign(*range) {
            return Ok(true);
        }
        let position = &delivery.position;
        let is_settled = window.is_settled(position, || fingerprints.position(position))
            || delivery.content.as_ref().is_ok_and(|content| window.has(content.fingerprint));
        self.recovered.settled += usize::from(is_settled);
        Ok(is_settled)
    }

    /// Sends the letter that says that what is not done before `oldest`, or up to the end of the range, has expired.
    async fn expire(&mut self, oldest: Option<&SequenceNumber>) -> Result<(), Error> {
        let ExpiredRange { first, last, arrival, reason, .. } = self.given_up;
        let oldest = oldest.filter(|oldest| *oldest <= last);
        let (from, position) = match &self.done {
            Some(done) => (format!("after {done}"), Position::new(done.sequence.clone(), done.index.saturating_add(1))),
            None => (format!("from {first} on"), Position::new(first.clone(), 0)),
        };
        let up_to = oldest.map_or_else(|| format!("up to {last}"), |oldest| format!("before {oldest}"));
        let reason =
            format!("{reason}; any records {from} {up_to} had expired from the stream before they could be read back");
        let letter = self.dead_letter(Code::Expired, reason, position, String::new(), *arrival, bytes::Bytes::new());
        self.recovered.expired = true;
        let done = oldest.map_or_else(|| self.given_up.end(), below);
        self.send(vec![(self.done.clone(), letter)], Some(done)).await
    }

    fn letter(&self, delivery: Delivery) -> DeadLetter {
        let (code, reason) = match &delivery.content {
            Ok(_) => (Code::GivenUp, self.given_up.reason.clone()),
            Err(why) => (Code::NotAnEvent, why.to_string()),
        };
        let key = delivery.key.as_str().to_owned();
        self.dead_letter(code, reason, delivery.position, key, delivery.arrival, delivery.data)
    }

    fn dead_letter(
        &self,
        code: Code,
        reason: String,
        position: Position,
        partition_key: String,
        arrival: Timestamp,
        data: bytes::Bytes,
    ) -> DeadLetter {
        DeadLetter {
            group: self.of.group.clone(),
            stream: self.of.stream.clone(),
            shard: self.given_up.shard.clone(),
            position,
            partition_key,
            arrival,
            at: self.of.outside.now(),
            attempts: self.given_up.attempts,
            code,
            reason,
            overtaken: false,
            data,
        }
    }

    /// Sends letters, each with what was judged before it. Everything up to `judged` is done then; if a letter was not sent,
    /// up to the one before.
    async fn send(
        &mut self,
        letters: Vec<(Option<Position>, DeadLetter)>,
        judged: Option<Position>,
    ) -> Result<(), Error> {
        let outside = &self.of.outside;
        let (before, letters): (Vec<_>, Vec<_>) = letters.into_iter().unzip();
        let sent = async { Ok(outside.send(&letters).await) };
        let results = match letters.is_empty() {
            true => Vec::new(),
            false => within(outside, self.times.letters, sent).await?,
        };
        let failed = results.into_iter().zip(before).find_map(|(result, before)| Some((result.err()?, before)));
        let (done, result) = match failed {
            Some((error, before)) => (before, Err(error)),
            None => (judged, Ok(())),
        };
        let is_sent = |letter: &&DeadLetter| letter.code != Code::Expired && Some(&letter.position) <= done.as_ref();
        self.recovered.letters += letters.iter().filter(is_sent).count();
        if done > self.done {
            self.step(done);
        }
        result.and(self.save().await)
    }

    /// Everything up to `position` is done.
    fn step(&mut self, position: Option<Position>) {
        self.done = position;
        self.unsaved = true;
    }

    /// Writes the cursor.
    async fn save(&mut self) -> Result<(), Error> {
        let Some(done) = self.done.clone().filter(|_| self.unsaved) else { return Ok(()) };
        let (outside, ExpiredRange { shard, first, last, .. }) = (&self.of.outside, self.given_up);
        let cursor = Cursor { first: first.clone(), last: last.clone(), done, at: outside.now() };
        within(outside, self.times.commit, outside.record_recovered(shard, &cursor)).await?;
        self.unsaved = false;
        Ok(())
    }

    fn may_have_expired(&self) -> bool {
        let age = self.of.outside.now().since(self.given_up.last_arrival);
        age > self.of.retention_min + CLOCKS_DIFFER
    }

    fn time_left(&self) -> Duration {
        self.times.stop.since(self.of.outside.now())
    }
}

/// Just below the events of a record.
fn below(record: &SequenceNumber) -> Position {
    Position::new(record.clone(), 0).previous()
}
