//! Records that were read and belong to no batch yet: when to read more, and when they make a batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use penstock::ShardId;
use penstock::time::Timestamp;

use crate::event::{EventSource, PAYLOAD_MAX, payload_len};
use crate::record::{ReadFrom, Record};
use crate::settings::Settings;

/// Bytes that a read aims at. Kinesis ends a read at 10 MiB of itself; a local service may not.
const READ_BYTES: usize = 10 * 1024 * 1024;
/// What a record is taken to weigh before any was seen: small, as one read of large ones is bearable.
const FIRST_GUESS_BYTES: usize = 16 * 1024;
/// Records asked for at least when the batch size is tiny: a read for each record would be slow.
const READ_LEAST: usize = 100;

/// The read half of a shard.
#[derive(Debug)]
pub(crate) struct Buffer {
    shard: ShardId,
    source: Arc<EventSource>,
    records: VecDeque<(Record, usize)>,
    read_from: ReadFrom,
    /// Records that arrived before it are not delivered.
    since: Timestamp,
    /// When the batching window of the buffered records ends.
    window_ends: Timestamp,
    next_read: Timestamp,
    idle_wait: Duration,
    /// When a read found nothing last.
    found_nothing: Timestamp,
    /// Records may have come since the read that is under way began.
    woken: bool,
    failed_reads: u32,
    mean_bytes: usize,
    caught_up: bool,
}

impl Buffer {
    pub(crate) fn new(shard: ShardId, source: Arc<EventSource>, read_from: ReadFrom) -> Self {
        let since = match read_from {
            ReadFrom::AtTimestamp(since) => since,
            ReadFrom::TrimHorizon | ReadFrom::After(_) => Timestamp(0),
        };
        Self {
            since,
            shard,
            source,
            records: VecDeque::new(),
            read_from,
            window_ends: Timestamp(0),
            next_read: Timestamp(0),
            idle_wait: Duration::ZERO,
            found_nothing: Timestamp(0),
            woken: false,
            failed_reads: 0,
            mean_bytes: FIRST_GUESS_BYTES,
            caught_up: false,
        }
    }

    pub(crate) fn oldest(&self) -> Option<&Record> {
        self.records.front().map(|(record, _)| record)
    }

    /// Whether the last read found nothing.
    pub(crate) fn caught_up(&self) -> bool {
        self.caught_up && self.records.is_empty()
    }

    pub(crate) fn read_from(&self) -> &ReadFrom {
        &self.read_from
    }

    pub(crate) fn next_read(&self) -> Timestamp {
        self.next_read
    }

    /// How many records to ask for.
    pub(crate) fn read_limit(&self, settings: &Settings) -> usize {
        let room = settings.batch_size.saturating_sub(self.records.len()).max(READ_LEAST);
        room.min(READ_BYTES / self.mean_bytes).max(1)
    }

    /// When something is to be done if nothing happens until then.
    pub(crate) fn wake_at(&self) -> Timestamp {
        if self.records.is_empty() { self.next_read } else { self.next_read.min(self.window_ends) }
    }

    /// Takes what a read gave. Records that were read before are dropped: a service that answers twice delivers once.
    /// So are those that arrived before the time asked for: ferrokinesis 0.7 reads the whole shard when none is younger.
    pub(crate) fn take(&mut self, records: Vec<Record>, settings: &Settings, now: Timestamp) {
        self.failed_reads = 0;
        self.caught_up = records.is_empty();
        let woken = std::mem::take(&mut self.woken);
        if records.is_empty() {
            let pacing = &settings.pacing;
            let longer = if woken { Duration::ZERO } else { self.idle_wait.saturating_mul(2) };
            self.idle_wait = longer.clamp(pacing.idle_poll_min, pacing.idle_poll_max);
            self.found_nothing = now;
            self.next_read = now.plus(self.idle_wait);
            return;
        }
        self.idle_wait = Duration::ZERO;
        self.next_read = now;
        let bytes: usize = records.iter().map(|record| record.data.len()).sum();
        self.mean_bytes = (bytes / records.len()).max(1);
        for record in records {
            if matches!(&self.read_from, ReadFrom::After(last) if record.sequence <= *last) {
                continue;
            }
            self.read_from = ReadFrom::After(record.sequence.clone());
            if record.arrival < self.since {
                continue;
            }
            if self.records.is_empty() {
                self.window_ends = now.plus(settings.batching_window);
            }
            let len = self.source.encoded_len(&self.shard, &record);
            self.records.push_back((record, len));
        }
    }

    /// Records may have come: an idle shard is read as soon as after a first empty read. `reads`: a read is under way, and
    /// may have begun before they came.
    pub(crate) fn wake(&mut self, settings: &Settings, reads: bool) {
        self.woken |= reads;
        if self.failed_reads == 0 {
            self.idle_wait = Duration::ZERO;
            self.next_read = self.next_read.min(self.found_nothing.plus(settings.pacing.idle_poll_min));
        }
    }

    /// A read failed. Gives how many have in a row.
    pub(crate) fn failed(&mut self, settings: &Settings, now: Timestamp, jitter: u64) -> u32 {
        self.woken = false;
        self.failed_reads = self.failed_reads.saturating_add(1);
        self.next_read = now.plus(settings.pacing.backoff.wait(self.failed_reads, jitter));
        self.failed_reads
    }

    /// The next batch, when there is one: a batch is full at `BatchSize` records or where the next record would take
    /// the payload past 6 MB, base64 and all; it is due with what it has when the batching window is over, or at the end
    /// of the shard, where no more can come. A record that is past 6 MB by itself goes alone.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html>
    pub(crate) fn cut(&mut self, settings: &Settings, at_end: bool, now: Timestamp) -> Option<Vec<Record>> {
        if self.records.is_empty() {
            return None;
        }
        let fitting = self.fitting(settings.batch_size);
        let full = fitting == settings.batch_size || fitting < self.records.len();
        if !(full || at_end || now >= self.window_ends) {
            return None;
        }
        let batch = self.records.drain(..fitting).map(|(record, _)| record).collect();
        self.window_ends = now.plus(settings.batching_window);
        Some(batch)
    }

    fn fitting(&self, batch_size: usize) -> usize {
        let mut size = payload_len(std::iter::empty());
        let fits = |(index, (_, len)): &(usize, &(Record, usize))| {
            size += len + usize::from(*index > 0);
            size <= PAYLOAD_MAX
        };
        let fitting = self.records.iter().take(batch_size).enumerate().take_while(fits).count();
        fitting.max(1)
    }
}
