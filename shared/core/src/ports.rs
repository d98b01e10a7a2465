//! What the core needs from the outside, in its own words.
//!
//! Every trait's documentation states each legal outcome. The adapters are in `penstock-aws`; a simulation brings its
//! own.

use std::future::Future;
use std::time::Duration;

use crate::batch::Record;
use crate::dead_letter::DeadLetter;
use crate::hash::HashRange;
use crate::key::PartitionKey;
use crate::packing::PackedRecord;
use crate::position::{Position, SequenceNumber, ShardId};
use crate::progress::Cursor;
use crate::progress::{Begun, Commit, Committed};
use crate::projection::{Stored, StoredState};
use crate::time::Timestamp;
use crate::window::{Redriven, Segment, Wanted};

/// Time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Why the outside did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Asked too much. It did not happen; later it may.
    #[error("throttled: {0}")]
    Throttled(String),
    /// No answer, or an internal failure. It may have happened; asking again is safe.
    #[error("no answer: {0}")]
    Unavailable(String),
    /// Refused: permissions, a missing resource, a malformed request. It did not happen, and does not until somebody
    /// changes something.
    #[error("refused: {0}")]
    Refused(String),
    /// What is stored cannot be read.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

/// What became of one record of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutResult {
    /// Stored durably.
    Stored {
        /// On this shard.
        shard: ShardId,
        /// With this number.
        sequence: SequenceNumber,
    },
    /// Not stored: the shard takes no more just now.
    Throttled,
    /// Not stored: Kinesis failed inside.
    Failed(String),
}

/// The stream, as a producer sees it.
pub trait Stream: Send + Sync {
    /// Puts records; one result a record, in the order of the records. No order is promised between records of one
    /// call. On an error nothing is known of any record, except as the error says.
    fn put(&self, records: &[PackedRecord]) -> impl Future<Output = Result<Vec<PutResult>, Error>> + Send;
}

/// Where a shard comes from and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The shards that it was split or merged from, those that they came from, and so on, as far as they still exist:
    /// each with the hash keys it held.
    pub ancestors: Vec<(ShardId, HashRange)>,
    /// The hash keys it holds.
    pub range: HashRange,
}

/// A shard that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedShard {
    /// Its id.
    pub shard: ShardId,
    /// The hash keys it holds.
    pub range: HashRange,
    /// The shards that it was split or merged from, whether they still exist or not.
    pub parents: Vec<ShardId>,
}

/// The shard map.
pub trait Shards: Send + Sync {
    /// The lineage of a shard. `None`: it is not listed, because it has outlived the stream's retention, or because the
    /// listing is older than the shard.
    fn lineage(&self, shard: &ShardId) -> impl Future<Output = Result<Option<Lineage>, Error>> + Send;
    /// All shards that exist, open and closed. A listing can be some seconds old.
    fn list(&self) -> impl Future<Output = Result<Vec<ListedShard>, Error>> + Send;
}

/// What a group keeps of each shard: its progress (the fence, the position, the failures), the segments of its window, and
/// what was redriven there. One store, with one writer that has the fence and redrives beside it.
pub trait Ledger: Send + Sync {
    /// Starts a run: adds one to the epoch and to the attempts and returns all of the progress. Every run with a lower epoch
    /// is fenced from here on.
    fn begin(&self, shard: &ShardId) -> impl Future<Output = Result<Begun, Error>> + Send;
    /// The progress as the last run left it, or has it now. It fences nobody. Epoch 0 on a shard that no run has begun on.
    fn look(&self, shard: &ShardId) -> impl Future<Output = Result<Begun, Error>> + Send;
    /// The segments of `shard` that [`Wanted`] wants. May return more; callers must tolerate it.
    fn load(&self, shard: &ShardId, wanted: &Wanted) -> impl Future<Output = Result<Vec<Segment>, Error>> + Send;
    /// What was redriven on `shard` at `since` or later. May return more; callers must tolerate it.
    fn load_redriven(
        &self,
        shard: &ShardId,
        since: Timestamp,
    ) -> impl Future<Output = Result<Vec<Redriven>, Error>> + Send;
    /// Keeps a segment. Segments are never overwritten: epoch and part name each.
    fn record(&self, shard: &ShardId, segment: &Segment) -> impl Future<Output = Result<(), Error>> + Send;
    /// Keeps what was redriven, and then counts it in the progress: what the next [`begin`](Self::begin) gives is higher. On
    /// an error it may be kept and not counted.
    fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> impl Future<Output = Result<(), Error>> + Send;
    /// Writes the progress if `epoch` is still the last one begun, and no commit of it with a higher number was written.
    /// [`Committed::Fenced`]: it is not, or one was, and nothing was written. P4: who knew less cannot take a position
    /// back, and neither can a commit that arrives late.
    fn commit(
        &self,
        shard: &ShardId,
        epoch: u64,
        commit: &Commit,
    ) -> impl Future<Output = Result<Committed, Error>> + Send;
}

/// Whose turn it is to redrive: one call of a group at a time.
pub trait Turns: Send + Sync {
    /// Gives the turn to the call `id` until `until`. False: at `now` another call has it. A call that has it can ask again.
    fn take_turn(&self, id: &str, now: Timestamp, until: Timestamp)
    -> impl Future<Output = Result<bool, Error>> + Send;
    /// Ends the turn of the call `id`, if it still has it.
    fn end_turn(&self, id: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Where dead letters go.
pub trait DeadLetters: Send + Sync {
    /// Sends dead letters: one result a letter, in their order, however many there are. A letter is durable if its result
    /// is `Ok`. No order is kept among them. If the call is cancelled, any of them may have been sent.
    fn send(&self, letters: &[DeadLetter]) -> impl Future<Output = Vec<Result<(), Error>>> + Send;
}

/// What follows a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Perhaps more records.
    More,
    /// None now: the page reaches the tip of the shard.
    Tip,
    /// None ever: the shard is closed.
    End,
}

/// A page of records that are read back.
#[derive(Debug, Clone)]
pub struct Page {
    /// The records, in the order of the shard.
    pub records: Vec<Record>,
    /// What follows them.
    pub next: Next,
}

/// The stream's records, read again from a place.
pub trait Records: Send + Sync {
    /// Records of `shard` from the number `from` on, or `after` it; from the oldest on if that one has expired. At least
    /// one, unless it is the tip or the end. `None`: the shard has outlived the stream's retention, and all its records
    /// have expired.
    fn read_back(
        &self,
        shard: &ShardId,
        from: &SequenceNumber,
        after: bool,
    ) -> impl Future<Output = Result<Option<Page>, Error>> + Send;
}

/// How far the recoveries of expired ranges have come, and that they have expired.
pub trait Recoveries: Send + Sync {
    /// Up to where the recovery of the range `first` to `last` has dealt with every event. `None`: it has not begun, or
    /// that was more than 14 days ago.
    fn recovered(
        &self,
        shard: &ShardId,
        first: &SequenceNumber,
        last: &SequenceNumber,
    ) -> impl Future<Output = Result<Option<Position>, Error>> + Send;
    /// Keeps how far it has come. A lower position than the one stored changes nothing.
    fn record_recovered(&self, shard: &ShardId, cursor: &Cursor) -> impl Future<Output = Result<(), Error>> + Send;
    /// Notes in the progress of a shard that the event source has gone on past everything up to `last`: what is not settled of
    /// it is handed out no more. A lower position than the one stored changes nothing.
    fn expire(&self, shard: &ShardId, last: &Position) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One write of a state.
#[derive(Debug, Clone)]
pub struct StateWrite {
    /// Whose state it is.
    pub key: PartitionKey,
    /// What is written.
    pub state: StoredState,
    /// The revision that was read, and over which it is written; `None` if there was no state.
    pub over: Option<u64>,
}

/// The states of a projection, by key. No key stands twice in a call.
pub trait States: Send + Sync {
    /// The states of `keys`, each as it was written last: one result a key, in their order. Some can fail while others do
    /// not. On an error nothing is known of that key.
    fn load(&self, keys: &[PartitionKey]) -> impl Future<Output = Vec<Result<Option<StoredState>, Error>>> + Send;
    /// Writes each state if the one stored is still the one that was read: it has the revision [`StateWrite::over`], or
    /// there is none. One result a write, in their order, and each is judged alone: [`Stored::Superseded`] and an error are
    /// about one of them and say nothing of the others. Superseded: it was not written.
    fn store(&self, writes: &[StateWrite]) -> impl Future<Output = Vec<Result<Stored, Error>>> + Send;
}
