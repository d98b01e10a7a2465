//! Recovery: dead letters for what the event source gave up.
//!
//! When a record becomes too old, the event source goes on behind it and says so in a notice that holds a range of
//! sequence numbers and no bytes. The range is read back from the stream; every event of it that the group has not
//! handled becomes a dead letter with its bytes. What has expired from the stream meanwhile becomes one letter that
//! says so.
//!
//! At least once: a recovery that dies is done again and sends the same letters again, with the same positions. A
//! redrive handles one of them.

use std::collections::HashSet;

use crate::batch::{CLOCKS_DIFFER, Delivery, Record, ShardBatch};
use crate::dead_letter::{Code, DeadLetter};
use crate::fingerprint::Fingerprinter;
use crate::ports::{Clock, DeadLetters, Error, Records, Redrives, Shards, Windows};
use crate::position::{Position, SequenceNumber, ShardId};
use crate::time::Timestamp;
use crate::window::Wanted;

/// Letters that are sent before what has become of them is looked at.
const LETTERS_AT_ONCE: usize = 100;

/// What the event source gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The shard.
    pub shard: ShardId,
    /// The first record.
    pub first: SequenceNumber,
    /// The last one.
    pub last: SequenceNumber,
    /// When the first one arrived.
    pub arrival: Timestamp,
    /// How often the function was invoked with them, about.
    pub attempts: u32,
    /// Why, for people.
    pub reason: String,
}

/// What a recovery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Events that became dead letters.
    pub letters: usize,
    /// Events that the group had handled.
    pub handled: usize,
    /// Whether records had expired.
    pub expired: bool,
}

/// Everything that a recovery needs from outside.
pub trait Outside: Records + Windows + Shards + Redrives + DeadLetters + Clock {}

impl<T: Records + Windows + Shards + Redrives + DeadLetters + Clock> Outside for T {}

/// Makes dead letters of what the event source gave up for one group.
#[derive(Debug)]
pub struct Recoverer<O> {
    /// The group's name.
    pub group: String,
    /// The stream's name.
    pub stream: String,
    /// As the group's own.
    pub fingerprints: Fingerprinter,
    /// The outside.
    pub outside: O,
}

impl<O: Outside> Recoverer<O> {
    /// Sends a dead letter for every event of the range that the group has not handled. P1: what the event source goes on
    /// behind is not lost.
    ///
    /// # Errors
    /// Whatever outside failed. Letters may have been sent; doing it again is safe.
    pub async fn recover(&self, given_up: &GivenUp) -> Result<Recovered, Error> {
        let GivenUp { shard, first, last, .. } = given_up;
        let mut recovered = Recovered::default();
        // a run may have settled some of it and not been able to say so before the records were given up
        let since = given_up.arrival.minus(CLOCKS_DIFFER);
        let segments = self.outside.load(shard, &Wanted { since, ..Wanted::all(0) }).await?;
        let handled: HashSet<_> = segments.into_iter().flat_map(|segment| segment.handled).collect();
        let range = self.outside.lineage(shard).await?.range;
        let mut page = self.outside.read_back(shard, first, false).await?;
        let oldest = page.records.first().map(|record| record.sequence.clone());
        if oldest.as_ref() != Some(first) {
            recovered.expired = true;
            self.send(vec![self.expired(given_up, oldest.as_ref())]).await?;
        }
        loop {
            let at_end = page.at_end || page.records.iter().any(|record| record.sequence >= *last);
            let read_to = page.records.last().map(|record| record.sequence.clone());
            let records: Vec<Record> = page.records.into_iter().filter(|record| record.sequence <= *last).collect();
            let batch = ShardBatch { shard: shard.clone(), records };
            let mut letters = Vec::new();
            for delivery in batch.deliveries(&self.fingerprints) {
                if delivery.is_foreign(range) {
                    continue;
                }
                if delivery.content.as_ref().is_ok_and(|content| handled.contains(&content.fingerprint)) {
                    recovered.handled += 1;
                    continue;
                }
                letters.push(self.letter(given_up, delivery));
                recovered.letters += 1;
            }
            self.send(letters).await?;
            let Some(read_to) = read_to.filter(|_| !at_end) else {
                let end = Position::new(last.clone(), u32::MAX);
                self.outside.give_up(shard, &end).await?;
                return Ok(recovered);
            };
            page = self.outside.read_back(shard, &read_to, true).await?;
        }
    }

    async fn send(&self, letters: Vec<DeadLetter>) -> Result<(), Error> {
        for chunk in letters.chunks(LETTERS_AT_ONCE) {
            self.outside.send(chunk).await.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    fn letter(&self, given_up: &GivenUp, delivery: Delivery) -> DeadLetter {
        let (code, reason) = match &delivery.content {
            Ok(_) => (Code::GivenUp, given_up.reason.clone()),
            Err(why) => (Code::NotAnEvent, why.to_string()),
        };
        DeadLetter {
            group: self.group.clone(),
            stream: self.stream.clone(),
            shard: given_up.shard.clone(),
            position: delivery.position,
            partition_key: delivery.key.as_str().to_owned(),
            arrival: delivery.arrival,
            at: self.outside.now(),
            attempts: given_up.attempts,
            code,
            reason,
            data: delivery.data,
        }
    }

    fn expired(&self, given_up: &GivenUp, oldest: Option<&SequenceNumber>) -> DeadLetter {
        let up_to = match oldest {
            Some(oldest) if *oldest <= given_up.last => format!("before {oldest}"),
            _ => format!("up to {}", given_up.last),
        };
        let reason = format!(
            "{}; the records from {} on {up_to} had expired from the stream before they could be read back",
            given_up.reason, given_up.first
        );
        DeadLetter {
            group: self.group.clone(),
            stream: self.stream.clone(),
            shard: given_up.shard.clone(),
            position: Position::new(given_up.first.clone(), 0),
            partition_key: String::new(),
            arrival: given_up.arrival,
            at: self.outside.now(),
            attempts: given_up.attempts,
            code: Code::Expired,
            reason,
            data: bytes::Bytes::new(),
        }
    }
}
