//! The queues and their messages.
//!
//! Guarantees: with a journal, what was answered is there after a restart: queues, messages, deletions and receive
//! counts. Messages in flight become visible again then. A message received `maxReceiveCount` times goes to the
//! dead-letter queue when it would be received next, and stays where it is while that queue does not exist. Messages past
//! their queue's retention are dropped. Not kept: permissions, deduplication ids, move tasks.

mod entry;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use winterbaume_sqs::state::{QueueState, SqsError, SqsState};
use winterbaume_sqs::types::Message;

use super::moves::MoveTask;
use crate::services::StartError;
use crate::services::clock::now_ms;
use crate::services::journal::{self, Journal};
use entry::{Entry, Kept};

/// Every queue of one account and region.
pub(super) struct Queues {
    inner: Mutex<Inner>,
    url: String,
    account_id: String,
    region: String,
}

/// What the lock guards.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) state: SqsState,
    /// The queue that a dead letter was moved from, by message id. SQS knows none for a message sent straight there.
    pub(super) origins: HashMap<String, String>,
    pub(super) tasks: VecDeque<MoveTask>,
    journal: Option<Journal>,
    /// Messages that were sent to each queue since [`Queues::depths`] was asked.
    sent: HashMap<String, usize>,
}

/// What is in a queue.
pub(super) struct Depth {
    /// Messages that a receive could give.
    pub(super) visible: usize,
    /// Messages that were received and not deleted since.
    pub(super) in_flight: usize,
    /// When the oldest message came, in flight or not; in ms since the epoch.
    pub(super) oldest_sent: Option<i64>,
    /// Messages that were sent since the last look.
    pub(super) sent: usize,
}

impl Queues {
    /// Opens the queues; their URLs start with `url`.
    pub(super) fn open(path: Option<PathBuf>, url: &str, account_id: &str, region: &str) -> Result<Self, StartError> {
        let queues = Self {
            inner: Mutex::default(),
            url: url.to_owned(),
            account_id: account_id.to_owned(),
            region: region.to_owned(),
        };
        if let Some(path) = path {
            let mut inner = queues.lock();
            inner.replay(&path)?;
            for queue in inner.state.queues.values_mut() {
                queue.queue.url = queues.queue_url(&queue.queue.name);
                drop_expired(queue);
            }
            inner.journal = Some(Journal::rewrite(&path, inner.entries())?);
        }
        Ok(queues)
    }

    /// Waits until the disk has all of it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.lock().journal.as_ref().map_or(Ok(()), Journal::sync)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the lock panics")
    }

    /// What is in each queue, by name.
    pub(super) fn depths(&self) -> Vec<(String, Depth)> {
        let mut inner = self.lock();
        let mut sent = std::mem::take(&mut inner.sent);
        let depth = |(name, queue): (&String, &mut QueueState)| {
            drop_expired(queue);
            let visible = queue.messages.iter().filter(|message| message.is_visible()).count();
            let received = |message: &&Message| message.approximate_receive_count > 0;
            let in_flight = queue.messages.iter().filter(received).filter(|message| !message.is_visible()).count();
            let oldest_sent = queue.messages.iter().map(|message| message.sent_timestamp).min();
            (name.clone(), Depth { visible, in_flight, oldest_sent, sent: sent.remove(name).unwrap_or(0) })
        };
        inner.state.queues.iter_mut().map(depth).collect()
    }

    /// Creates the queue, or finds the same one.
    pub(super) fn create(
        &self,
        name: &str,
        mut attributes: HashMap<String, String>,
        tags: Option<&HashMap<String, String>>,
    ) -> Result<winterbaume_sqs::types::Queue, SqsError> {
        let mut inner = self.lock();
        if !inner.state.queues.contains_key(name) {
            // winterbaume has the limit that SQS had until 2025
            attributes.entry("MaximumMessageSize".to_owned()).or_insert_with(|| super::MESSAGE_MAX.to_string());
        }
        let (region, account) = (&self.region, &self.account_id);
        inner.state.create_queue(name, region, account, &attributes, tags)?;
        let queue = inner.queue(name)?;
        queue.queue.url = self.queue_url(name);
        let made = queue.queue.clone();
        inner.note_queue(name)?;
        Ok(made)
    }

    fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.url, self.account_id)
    }
}

impl Inner {
    pub(super) fn queue(&mut self, name: &str) -> Result<&mut QueueState, SqsError> {
        self.state.queues.get_mut(name).ok_or(SqsError::NonExistentQueue)
    }

    pub(super) fn queue_name(&self, arn: &str) -> Option<String> {
        let queue = self.state.queues.values().find(|queue| queue.queue.arn == arn)?;
        Some(queue.queue.name.clone())
    }

    /// Attributes, with the count of visible messages: winterbaume leaves out those that were received before.
    pub(super) fn attributes(&mut self, name: &str) -> Result<HashMap<String, String>, SqsError> {
        let queue = self.queue(name)?;
        drop_expired(queue);
        let visible = queue.messages.iter().filter(|message| message.is_visible()).count();
        let mut attributes = self.state.get_queue_attributes(name)?;
        attributes.insert("ApproximateNumberOfMessages".to_owned(), visible.to_string());
        Ok(attributes)
    }

    /// Sends a message through `send`, which adds it to the queue's end unless it is a duplicate.
    pub(super) fn send<T>(
        &mut self,
        name: &str,
        send: impl FnOnce(&mut SqsState) -> Result<T, SqsError>,
    ) -> Result<T, SqsError> {
        let before = self.queue(name)?.messages.len();
        let sent = send(&mut self.state)?;
        let added: Vec<Kept> = self.queue(name)?.messages[before..].iter().map(Kept::from).collect();
        *self.sent.entry(name.to_owned()).or_default() += added.len();
        self.note(added.into_iter().map(|message| Entry::sent(name, message, None)))?;
        Ok(sent)
    }

    /// Takes up to `max` visible messages, after moving those that were received too often to the dead-letter queue.
    pub(super) fn receive(
        &mut self,
        name: &str,
        max: usize,
        visibility_seconds: Option<u32>,
    ) -> Result<Vec<Message>, SqsError> {
        self.redrive_exhausted(name)?;
        let queue = self.queue(name)?;
        let now = now_ms();
        let hidden_ms = i64::from(visibility_seconds.unwrap_or(queue.queue.visibility_timeout)) * 1000;
        let mut received = Vec::new();
        for message in queue.messages.iter_mut().filter(|message| message.visible_at <= now).take(max) {
            message.approximate_receive_count += 1;
            message.approximate_first_receive_timestamp.get_or_insert(now);
            message.visible_at = now + hidden_ms;
            message.receipt_handle = Some(receipt_handle(message));
            received.push(message.clone());
        }
        let ids: Vec<String> = received.iter().map(|message| message.message_id.clone()).collect();
        if !ids.is_empty() {
            self.note([Entry::received(name, ids)])?;
        }
        Ok(received)
    }

    fn redrive_exhausted(&mut self, name: &str) -> Result<(), SqsError> {
        let queue = self.queue(name)?;
        drop_expired(queue);
        let Some(limit) = max_receive_count(queue.redrive_policy.as_deref()) else {
            return Ok(());
        };
        let (arn, target) = (queue.queue.arn.clone(), queue.dead_letter_target_arn.clone());
        let Some(target) = target.and_then(|target| self.queue_name(&target)) else {
            return Ok(());
        };
        let now = now_ms();
        let exhausted = |message: &mut Message| message.visible_at <= now && message.approximate_receive_count >= limit;
        let moved: Vec<Message> = self.queue(name)?.messages.extract_if(.., exhausted).collect();
        let mut entries = Vec::new();
        for mut message in moved {
            message.receipt_handle = None;
            message.approximate_receive_count = 0;
            message.approximate_first_receive_timestamp = None;
            entries.push(Entry::deleted(name, &message.message_id));
            entries.push(Entry::sent(&target, Kept::from(&message), Some(arn.clone())));
            self.origins.insert(message.message_id.clone(), arn.clone());
            self.queue(&target)?.messages.push(message);
        }
        self.note(entries)
    }

    /// Deletes by any receipt handle that the message ever had. A message that is gone is success, as on AWS.
    pub(super) fn delete(&mut self, name: &str, handle: &str) -> Result<(), SqsError> {
        let id = parse_handle(handle)?.0.to_owned();
        let queue = self.queue(name)?;
        let before = queue.messages.len();
        queue.messages.retain(|message| message.message_id != id);
        if queue.messages.len() == before {
            return Ok(());
        }
        self.origins.remove(&id);
        self.note([Entry::deleted(name, &id)])
    }

    /// Hides a message in flight for `seconds` from now.
    pub(super) fn change_visibility(&mut self, name: &str, handle: &str, seconds: u32) -> Result<(), SqsError> {
        let (id, count) = parse_handle(handle)?;
        let now = now_ms();
        let in_flight = |message: &&mut Message| {
            message.message_id == id && message.approximate_receive_count == count && message.visible_at > now
        };
        let message = self.queue(name)?.messages.iter_mut().find(in_flight);
        message.ok_or_else(|| invalid(handle))?.visible_at = now + i64::from(seconds) * 1000;
        Ok(())
    }

    /// Deletes every message.
    pub(super) fn purge(&mut self, name: &str) -> Result<(), SqsError> {
        self.state.purge_queue(name)?;
        self.note([Entry::Purged(name.to_owned())])
    }

    /// Deletes the queue.
    pub(super) fn drop_queue(&mut self, name: &str) -> Result<(), SqsError> {
        self.state.delete_queue(name)?;
        self.note([Entry::Dropped(name.to_owned())])
    }

    /// Writes the queue down as it is now, messages apart.
    pub(super) fn note_queue(&mut self, name: &str) -> Result<(), SqsError> {
        let queue = (&*self.queue(name)?).into();
        self.note([Entry::Queue(Box::new(queue))])
    }

    fn note(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), SqsError> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let entries: Vec<Entry> = entries.into_iter().collect();
        journal.append(&entries).map_err(|error| {
            tracing::error!(%error, "the state of SQS cannot be written");
            SqsError::InternalError(format!("the state directory cannot be written: {error}"))
        })
    }

    fn replay(&mut self, path: &Path) -> Result<(), StartError> {
        Ok(journal::replay(path, |entry: Entry| entry.apply(self))?)
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.state.queues.iter().flat_map(|(name, queue)| Entry::all_of(name, queue, &self.origins))
    }
}

fn drop_expired(queue: &mut QueueState) {
    let oldest = now_ms() - i64::from(queue.queue.message_retention_period) * 1000;
    queue.messages.retain(|message| message.sent_timestamp > oldest);
}

/// SQS takes `maxReceiveCount` as a number or as a string.
fn max_receive_count(policy: Option<&str>) -> Option<u32> {
    let policy: serde_json::Value = serde_json::from_str(policy?).ok()?;
    let count = &policy["maxReceiveCount"];
    let number = count.as_u64().and_then(|count| u32::try_from(count).ok());
    number.or_else(|| count.as_str()?.parse().ok())
}

/// Names the message and the receive, so that a handle is worth something after a restart.
fn receipt_handle(message: &Message) -> String {
    format!("{}:{}", message.message_id, message.approximate_receive_count)
}

fn parse_handle(handle: &str) -> Result<(&str, u32), SqsError> {
    let (id, count) = handle.split_once(':').ok_or_else(|| invalid(handle))?;
    Ok((id, count.parse().map_err(|_| invalid(handle))?))
}

fn invalid(handle: &str) -> SqsError {
    SqsError::InvalidReceiptHandle { receipt_handle: handle.to_owned() }
}
