//! [`Queues`] as the storage that winterbaume's protocol asks for.
//!
//! There is one account and one region: those that a request names are passed over.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::pin::Pin;

use winterbaume_core::StateViewError;
use winterbaume_sqs::state::SqsError;
use winterbaume_sqs::types::{Message, MessageAttribute, MessageMoveTask, Queue};
use winterbaume_sqs::{SendMessageOutput, SqsBackend, SqsStateView};

use super::queues::Queues;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Answered<T> = Answer<Result<T, SqsError>>;
type Map = HashMap<String, String>;

/// Everything is done by the time there is a future: the lock is never held across an await.
fn done<T: Send + 'static>(value: T) -> Answer<T> {
    Box::pin(ready(value))
}

impl SqsBackend for Queues {
    fn create_queue(&self, _: String, _: String, name: String, attributes: Map, tags: Option<Map>) -> Answered<Queue> {
        done(self.create(&name, attributes, tags.as_ref()))
    }

    fn delete_queue(&self, _: String, _: String, queue: String) -> Answered<()> {
        done(self.lock().drop_queue(&queue))
    }

    fn get_queue_url(&self, _: String, _: String, queue: String) -> Answered<String> {
        done(self.lock().state.get_queue_url(&queue).map(str::to_owned))
    }

    fn get_queue_attributes(&self, _: String, _: String, queue: String) -> Answered<Map> {
        done(self.lock().attributes(&queue))
    }

    fn set_queue_attributes(&self, _: String, _: String, queue: String, attributes: Map) -> Answered<()> {
        let mut inner = self.lock();
        let set = inner.state.set_queue_attributes(&queue, &attributes);
        done(set.and_then(|()| inner.note_queue(&queue)))
    }

    fn list_queues(&self, _: String, _: String, prefix: Option<String>) -> Answered<Vec<Queue>> {
        let inner = self.lock();
        let queues = inner.state.list_queues(prefix.as_deref());
        done(Ok(queues.into_iter().cloned().collect()))
    }

    fn send_message(
        &self,
        _: String,
        _: String,
        queue: String,
        body: String,
        delay: Option<u32>,
        attributes: HashMap<String, MessageAttribute>,
        group: Option<String>,
        deduplication: Option<String>,
    ) -> Answered<SendMessageOutput> {
        let (group, deduplication) = (group.as_deref(), deduplication.as_deref());
        let sent = self
            .lock()
            .send(&queue, |state| state.send_message(&queue, &body, delay, attributes, group, deduplication));
        done(sent.map(|sent| SendMessageOutput { message_id: sent.message_id, body_md5: sent.body_md5 }))
    }

    fn receive_messages(
        &self,
        _: String,
        _: String,
        queue: String,
        max: usize,
        visibility: Option<u32>,
    ) -> Answered<Vec<Message>> {
        done(self.lock().receive(&queue, max, visibility))
    }

    fn delete_message(&self, _: String, _: String, queue: String, handle: String) -> Answered<()> {
        done(self.lock().delete(&queue, &handle))
    }

    fn purge_queue(&self, _: String, _: String, queue: String) -> Answered<()> {
        done(self.lock().purge(&queue))
    }

    fn change_message_visibility(
        &self,
        _: String,
        _: String,
        queue: String,
        handle: String,
        seconds: u32,
    ) -> Answered<()> {
        done(self.lock().change_visibility(&queue, &handle, seconds))
    }

    fn change_message_visibility_batch(
        &self,
        _: String,
        _: String,
        queue: String,
        entries: Vec<(String, String, u32)>,
    ) -> Answered<Vec<String>> {
        let mut inner = self.lock();
        let changed = entries.into_iter().map(|(id, handle, seconds)| {
            inner.change_visibility(&queue, &handle, seconds)?;
            Ok(id)
        });
        done(changed.collect())
    }

    fn list_queue_tags(&self, _: String, _: String, queue: String) -> Answered<Map> {
        done(self.lock().state.list_queue_tags(&queue))
    }

    fn tag_queue(&self, _: String, _: String, queue: String, tags: Map) -> Answered<()> {
        let mut inner = self.lock();
        let tagged = inner.state.tag_queue(&queue, &tags);
        done(tagged.and_then(|()| inner.note_queue(&queue)))
    }

    fn untag_queue(&self, _: String, _: String, queue: String, keys: Vec<String>) -> Answered<()> {
        let mut inner = self.lock();
        let untagged = inner.state.untag_queue(&queue, &keys);
        done(untagged.and_then(|()| inner.note_queue(&queue)))
    }

    fn add_permission(
        &self,
        _: String,
        _: String,
        queue: String,
        label: String,
        accounts: Vec<String>,
        actions: Vec<String>,
    ) -> Answered<()> {
        done(self.lock().state.add_permission(&queue, &label, accounts, actions))
    }

    fn remove_permission(&self, _: String, _: String, queue: String, label: String) -> Answered<()> {
        done(self.lock().state.remove_permission(&queue, &label))
    }

    fn list_dead_letter_source_queues(&self, _: String, _: String, queue: String) -> Answered<Vec<String>> {
        done(self.lock().state.list_dead_letter_source_queues(&queue))
    }

    fn start_message_move_task(
        &self,
        _: String,
        _: String,
        source: String,
        destination: Option<String>,
        rate: Option<i32>,
    ) -> Answered<String> {
        // not reached: the front answers it
        let destination = destination.as_deref();
        done(self.lock().state.start_message_move_task(&source, destination, rate))
    }

    fn cancel_message_move_task(&self, _: String, _: String, handle: String) -> Answered<i64> {
        // none is ever under way, so this refuses every handle
        done(self.lock().state.cancel_message_move_task(&handle))
    }

    fn list_message_move_tasks(&self, _: String, _: String, source: String) -> Answered<Vec<MessageMoveTask>> {
        // not reached: the front answers it
        let inner = self.lock();
        let tasks = inner.state.list_message_move_tasks(&source);
        done(Ok(tasks.into_iter().cloned().collect()))
    }

    fn scopes_with_state(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn snapshot(&self, _: String, _: String) -> Answer<SqsStateView> {
        done((&self.lock().state).into())
    }

    fn restore(&self, _: String, _: String, _: SqsStateView) -> Answer<Result<(), StateViewError>> {
        done(Err(journal_only()))
    }

    fn merge(&self, _: String, _: String, _: SqsStateView) -> Answer<Result<(), StateViewError>> {
        done(Err(journal_only()))
    }
}

/// A view has no messages, so restoring one would lose them.
fn journal_only() -> StateViewError {
    StateViewError::Invalid("the queues are restored from their journal".to_owned())
}
