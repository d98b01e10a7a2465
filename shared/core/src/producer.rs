//! The producer: gets the events of one request onto the stream, or says of each why not.
//!
//! Guarantees: an event is [`Fate::Accepted`] only after Kinesis has said that it is stored; a key's events are stored
//! in order whatever part of a put fails; every event gets exactly one fate; nothing is kept past the answer.
//! Does not guarantee that an event with another fate is not on the stream: a reply can be lost. The client sends it
//! again and the consumers' windows find it.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

pub use crate::packing::Outgoing;
use crate::packing::{Lane, PackedRecord, RECORD_BYTES_MAX, pack};
use crate::ports::{Clock, Error, PutResult, Stream};
use crate::position::{SequenceNumber, ShardId};
use crate::time::Timestamp;

/// Records of one `PutRecords` call.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
const PUT_RECORDS_MAX: usize = 500;

/// Bytes of one `PutRecords` call, keys included. Kinesis takes 10 MiB, some emulators 5 MiB.
const PUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The first retry waits up to this long, every further one up to twice as long as the one before.
const BACKOFF_BASE: Duration = Duration::from_millis(50);

/// No retry waits longer.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What clients are asked to wait. A shard's limits are counted by the second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What they are asked to wait when the stream refuses: somebody has to mend something first, or a deploy has to end.
const REFUSED_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Stored durably.
    Accepted {
        /// On this shard.
        shard: ShardId,
        /// In the record with this number.
        sequence: SequenceNumber,
    },
    /// Not stored: its shard takes no more just now.
    Throttled {
        /// What the client should wait.
        retry_after: Duration,
    },
    /// The stream did not answer, or failed.
    Unavailable {
        /// What the client should wait.
        retry_after: Duration,
        /// What was seen last.
        detail: String,
    },
    /// Not tried: time ran out before its turn.
    OutOfTime {
        /// What the client should wait.
        retry_after: Duration,
    },
    /// Not stored: the stream refuses whatever is put on it, until somebody mends its permissions, its key or its name.
    /// What it said is in the log.
    StreamRefused {
        /// What the client should wait.
        retry_after: Duration,
    },
}

/// Puts events on a stream.
#[derive(Debug)]
pub struct Producer<S, C, J = fn() -> f64> {
    stream: S,
    clock: C,
    jitter: J,
}

/// Why a lane's first record is still not stored.
#[derive(Debug, Clone)]
enum Obstacle {
    NotTried,
    Throttled,
    Unavailable(String),
}

impl<S: Stream, C: Clock, J: Fn() -> f64 + Send + Sync> Producer<S, C, J> {
    /// A producer for `stream`. `jitter` draws uniformly from 0 to 1.
    pub fn new(stream: S, clock: C, jitter: J) -> Self {
        Self { stream, clock, jitter }
    }

    /// Stores events, retrying what fails until `deadline`. One fate an event, in their order. A stream that refuses is not
    /// asked again: what it takes to change that rarely ends before the deadline.
    pub async fn publish(&self, events: Vec<Outgoing>, deadline: Timestamp) -> Vec<Fate> {
        let mut fates: Vec<Option<Fate>> = vec![None; events.len()];
        let mut lanes: Vec<(Lane, Obstacle)> =
            pack(&events, RECORD_BYTES_MAX).into_iter().map(|lane| (lane, Obstacle::NotTried)).collect();
        drop(events);
        let mut retries = 0;
        while !lanes.is_empty() && self.clock.now() < deadline {
            let round = self.round(&mut lanes, &mut fates, deadline).await;
            lanes.retain(|(lane, _)| !lane.is_empty());
            match round {
                Round::Refused(detail) => {
                    let records = lanes.iter().flat_map(|(lane, _)| lane);
                    let events: usize = records.map(|record| record.events.len()).sum();
                    // logged here, because not every fate below says it
                    tracing::error!(events, %detail, "the stream refuses what is put on it");
                    settle(&lanes, &mut fates, |obstacle| match obstacle {
                        // an earlier put of it may have stored it
                        Obstacle::Unavailable(detail) => {
                            Fate::Unavailable { retry_after: REFUSED_RETRY_AFTER, detail: detail.clone() }
                        }
                        Obstacle::NotTried | Obstacle::Throttled => {
                            Fate::StreamRefused { retry_after: REFUSED_RETRY_AFTER }
                        }
                    });
                    lanes.clear();
                }
                Round::Stored => retries = 0,
                Round::Stuck => {
                    let delay = full_jitter(retries, (self.jitter)());
                    retries += 1;
                    if self.clock.now().plus(delay) >= deadline {
                        break;
                    }
                    self.clock.sleep(delay).await;
                }
            }
        }
        settle(&lanes, &mut fates, |obstacle| match obstacle {
            Obstacle::NotTried => Fate::OutOfTime { retry_after: RETRY_AFTER },
            Obstacle::Throttled => Fate::Throttled { retry_after: RETRY_AFTER },
            Obstacle::Unavailable(detail) => Fate::Unavailable { retry_after: RETRY_AFTER, detail: detail.clone() },
        });
        #[expect(clippy::expect_used, reason = "packing puts every event into one record of one lane")]
        fates.into_iter().map(|fate| fate.expect("every event has a fate")).collect()
    }

    /// Puts the first record of every lane once, in as many calls as it takes.
    async fn round(&self, lanes: &mut [(Lane, Obstacle)], fates: &mut [Option<Fate>], deadline: Timestamp) -> Round {
        let mut stuck = false;
        let mut next = 0;
        while next < lanes.len() && self.clock.now() < deadline {
            let end = call_end(lanes, next);
            let records: Vec<_> = lanes[next..end].iter().map(|(lane, _)| lane[0].clone()).collect();
            match self.put(&records, deadline).await {
                Ok(verdicts) => {
                    assert_eq!(verdicts.len(), records.len(), "one verdict a record");
                    for ((lane, obstacle), verdict) in lanes[next..end].iter_mut().zip(verdicts) {
                        stuck |= !take(lane, obstacle, verdict, fates);
                    }
                }
                // Never held against an event, a malformed request (ValidationException, InvalidArgumentException) included:
                // a refusal is of the whole call and names no record, and what the edge lets through is within Kinesis's
                // bounds. So if it comes, a bound of the stream or of this code is wrong, and the event is still good
                Err(Error::Refused(detail) | Error::Damaged(detail)) => return Round::Refused(detail),
                Err(error) => {
                    stuck = true;
                    for (_, obstacle) in &mut lanes[next..end] {
                        *obstacle = match &error {
                            Error::Throttled(_) => Obstacle::Throttled,
                            other => Obstacle::Unavailable(other.to_string()),
                        };
                    }
                }
            }
            next = end;
        }
        if stuck { Round::Stuck } else { Round::Stored }
    }

    /// One call, cut off at the deadline: a stream that hangs must not keep the answer from the client.
    async fn put(&self, records: &[PackedRecord], deadline: Timestamp) -> Result<Vec<PutResult>, Error> {
        let left = deadline.since(self.clock.now());
        match select(pin!(self.stream.put(records)), pin!(self.clock.sleep(left))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(Error::Unavailable("the stream did not answer in time".to_owned())),
        }
    }
}

enum Round {
    /// Every record that was tried is stored.
    Stored,
    /// Some are not.
    Stuck,
    /// The stream refused a call. The next would fare no better.
    Refused(String),
}

/// Applies a verdict to the first record of a lane; false if it is not stored. P1: only what is stored is accepted. P2:
/// the lane's next record waits for this one.
fn take(lane: &mut Lane, obstacle: &mut Obstacle, verdict: PutResult, fates: &mut [Option<Fate>]) -> bool {
    match verdict {
        PutResult::Stored { shard, sequence } => {
            for index in lane.pop_front().into_iter().flat_map(|record| record.events) {
                fates[index] = Some(Fate::Accepted { shard: shard.clone(), sequence: sequence.clone() });
            }
            *obstacle = Obstacle::NotTried;
            true
        }
        PutResult::Throttled => {
            *obstacle = Obstacle::Throttled;
            false
        }
        PutResult::Failed(detail) => {
            *obstacle = Obstacle::Unavailable(detail);
            false
        }
    }
}

/// Where the call that begins at lane `next` ends, so that it stays within the bounds of a call.
fn call_end(lanes: &[(Lane, Obstacle)], next: usize) -> usize {
    let mut bytes = 0;
    let mut end = next;
    while end < lanes.len() && end - next < PUT_RECORDS_MAX {
        bytes += lanes[end].0[0].data.len() + lanes[end].0[0].key.as_str().len();
        if bytes > PUT_BYTES_MAX && end > next {
            break;
        }
        end += 1;
    }
    end
}

fn settle(lanes: &[(Lane, Obstacle)], fates: &mut [Option<Fate>], fate: impl Fn(&Obstacle) -> Fate) {
    for (lane, obstacle) in lanes {
        for index in lane.iter().flat_map(|record| &record.events) {
            fates[*index] = Some(fate(obstacle));
        }
    }
}

/// Full jitter: anything between nothing and the exponential step.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn full_jitter(retries: u32, unit: f64) -> Duration {
    BACKOFF_BASE.saturating_mul(1 << retries.min(10)).min(BACKOFF_MAX).mul_f64(unit.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
