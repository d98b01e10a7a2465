//! A client of the edge: sends its requests one after the other, and again whatever was not accepted.

use std::collections::VecDeque;

use penstock::producer::{Fate, Outgoing};
use penstock::{Event, Limits, PartitionKey};

use crate::work::Kind;
use crate::world::World;
use crate::world::truth::{EventRef, Fact};

/// A client.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Requests to come, each the events that are left of it.
    queue: VecDeque<Vec<EventRef>>,
    /// Whether a request is under way, or its next try is due.
    busy: bool,
}

impl Client {
    /// Takes a request on; true if nothing is under way, so that it can be sent now.
    pub(crate) fn enqueue(&mut self, events: Vec<EventRef>) -> bool {
        self.queue.push_back(events);
        !std::mem::replace(&mut self.busy, true)
    }

    /// What to send now.
    pub(crate) fn request(&self) -> Option<&[EventRef]> {
        self.queue.front().map(Vec::as_slice)
    }

    /// The answer of the edge; true if something is left to send.
    pub(crate) fn answered(&mut self, world: &mut World, fates: &[Fate]) -> bool {
        if let Some(events) = self.queue.pop_front() {
            let mut left = Vec::new();
            for (event, fate) in events.into_iter().zip(fates) {
                match fate {
                    Fate::Accepted { .. } => world.accepted(event),
                    _ => left.push(event),
                }
            }
            if !left.is_empty() {
                self.queue.push_front(left);
            }
        }
        self.busy = !self.queue.is_empty();
        self.busy
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.busy
    }
}

impl World {
    /// A new event of a key.
    pub(crate) fn new_event(&mut self, key: u32, kind: Kind) -> EventRef {
        let last = self.truth.events.range(EventRef { key, ordinal: 0 }..EventRef { key: key + 1, ordinal: 0 });
        let event = EventRef { key, ordinal: last.count().try_into().unwrap_or(0) + 1 };
        self.truth.events.insert(event, Fact { kind, name: None, accepted: false, stored: None, late: false });
        let text = self.body(event);
        if let Ok(parsed) = Event::from_json(&text, &Limits::DEFAULT) {
            let fingerprint = self.fingerprints.event(&parsed);
            self.truth.name(fingerprint, event);
        }
        event
    }

    /// Its producer has been told that an event is stored.
    pub(crate) fn accepted(&mut self, event: EventRef) {
        if let Some(fact) = self.truth.events.get_mut(&event) {
            fact.accepted = true;
        }
    }

    fn body(&self, event: EventRef) -> String {
        let kind = self.truth.events.get(&event).map_or(Kind::Plain, |fact| fact.kind).name();
        format!(r#"{{"specversion":"1.0","id":"{event}","source":"/simulation","type":"{kind}"}}"#)
    }

    /// An event as the edge hands it to the producer.
    pub(crate) fn outgoing(&self, event: EventRef) -> Option<Outgoing> {
        Some(Outgoing { key: PartitionKey::new(format!("k{}", event.key))?, body: self.body(event) })
    }
}
