//! What the journal of the queues says, line by line.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use winterbaume_sqs::state::QueueState;
use winterbaume_sqs::types::{Message, MessageAttribute};
use winterbaume_sqs::views::QueueStateView;

use super::Inner;

/// One thing that happened.
#[derive(Serialize, Deserialize)]
pub(super) enum Entry {
    /// The queue is there and looks like this.
    Queue(Box<QueueStateView>),
    /// The queue is gone.
    Dropped(String),
    /// A message came, by itself or from the queue `origin`.
    Sent {
        queue: String,
        message: Kept,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
    },
    /// Messages were received once more.
    Received { queue: String, ids: Vec<String> },
    /// A message was deleted or moved away.
    Deleted { queue: String, id: String },
    /// All messages were deleted.
    Purged(String),
}

/// A message as the journal has it. When it becomes visible is kept only as the delay it was sent with.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    id: String,
    body: String,
    body_md5: String,
    sender: String,
    sent: i64,
    visible_at: i64,
    #[serde(default)]
    received: u32,
    /// Name to type and value.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    attributes: HashMap<String, (String, Option<String>)>,
}

impl Entry {
    pub(super) fn sent(queue: &str, message: Kept, origin: Option<String>) -> Self {
        Self::Sent { queue: queue.to_owned(), message, origin }
    }

    pub(super) fn received(queue: &str, ids: Vec<String>) -> Self {
        Self::Received { queue: queue.to_owned(), ids }
    }

    pub(super) fn deleted(queue: &str, id: &str) -> Self {
        Self::Deleted { queue: queue.to_owned(), id: id.to_owned() }
    }

    /// The entries that make `queue` what it is.
    pub(super) fn all_of(name: &str, queue: &QueueState, origins: &HashMap<String, String>) -> Vec<Self> {
        let messages = queue.messages.iter().map(|message| {
            let origin = origins.get(&message.message_id).cloned();
            Self::sent(name, Kept::from(message), origin)
        });
        std::iter::once(Self::Queue(Box::new(queue.into()))).chain(messages).collect()
    }

    /// Makes it happen again. What concerns a queue that is gone has no effect.
    pub(super) fn apply(self, inner: &mut Inner) {
        let queues = &mut inner.state.queues;
        match self {
            Self::Queue(view) => {
                let mut queue = QueueState::from(*view);
                if let Some(old) = queues.remove(&queue.queue.name) {
                    queue.messages = old.messages;
                }
                queues.insert(queue.queue.name.clone(), queue);
            }
            Self::Dropped(name) => {
                queues.remove(&name);
            }
            Self::Sent { queue, message, origin } => {
                if let Some(origin) = origin {
                    inner.origins.insert(message.id.clone(), origin);
                }
                if let Some(queue) = queues.get_mut(&queue) {
                    queue.messages.push(message.into());
                }
            }
            Self::Received { queue, ids } => {
                let messages = queues.get_mut(&queue).map(|queue| &mut queue.messages);
                for message in messages.into_iter().flatten() {
                    if ids.contains(&message.message_id) {
                        message.approximate_receive_count += 1;
                    }
                }
            }
            Self::Deleted { queue, id } => {
                inner.origins.remove(&id);
                if let Some(queue) = queues.get_mut(&queue) {
                    queue.messages.retain(|message| message.message_id != id);
                }
            }
            Self::Purged(name) => {
                if let Some(queue) = queues.get_mut(&name) {
                    queue.messages.clear();
                }
            }
        }
    }
}

impl From<&Message> for Kept {
    fn from(message: &Message) -> Self {
        let attributes = message.message_attributes.iter().map(|(name, attribute)| {
            let value = (attribute.data_type.clone(), attribute.string_value.clone());
            (name.clone(), value)
        });
        Self {
            id: message.message_id.clone(),
            body: message.body.clone(),
            body_md5: message.body_md5.clone(),
            sender: message.sender_id.clone(),
            sent: message.sent_timestamp,
            visible_at: message.visible_at,
            received: message.approximate_receive_count,
            attributes: attributes.collect(),
        }
    }
}

impl From<Kept> for Message {
    fn from(kept: Kept) -> Self {
        let attributes = kept.attributes.into_iter().map(|(name, (data_type, string_value))| {
            let attribute = MessageAttribute { data_type, string_value, binary_value: None };
            (name, attribute)
        });
        Self {
            message_id: kept.id,
            body: kept.body,
            body_md5: kept.body_md5,
            receipt_handle: None,
            all_receipt_handles: Vec::new(),
            sender_id: kept.sender,
            sent_timestamp: kept.sent,
            approximate_first_receive_timestamp: None,
            approximate_receive_count: kept.received,
            visible_at: kept.visible_at,
            message_attributes: attributes.collect(),
        }
    }
}
