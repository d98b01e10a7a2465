//! What has to become of each order: the order state machine a second time, written from its description and sharing
//! nothing with the functions that it is held against.
//!
//! The model is told an order's events in the order in which the stream holds them, every copy included. A second copy
//! of an event that was handled counts nothing; a second copy of one that was refused is judged anew, because a group
//! forgets the name of what it dead-letters so that it can be sent again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Every step that an order can take: where it is, the event, where it is then.
const STEPS: [(&str, &str, &str); 6] = [
    ("", "placed", "placed"),
    ("placed", "paid", "paid"),
    ("placed", "cancelled", "cancelled"),
    ("paid", "shipped", "shipped"),
    ("paid", "cancelled", "cancelled"),
    ("shipped", "delivered", "delivered"),
];

/// What the events of orders are called.
pub(super) const PREFIX: &str = "shop.order.";

/// A total above this, in cents, needs a human.
const LARGE_CENTS: i64 = 100_000;

/// Where an order is after `event` when it was at `now` before, "" being nowhere; `None` if it cannot take that step.
pub(super) fn step(now: &str, event: &str) -> Option<&'static str> {
    STEPS.iter().find(|(from, by, _)| *from == now && *by == event).map(|(_, _, to)| *to)
}

/// An event as the stream has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// Its id.
    pub(super) id: String,
    /// Its type.
    pub(super) kind: String,
    /// `data.total_cents`.
    pub(super) total_cents: Option<i64>,
    /// `data.reason`.
    pub(super) reason: Option<String>,
}

/// An order as the projection has to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Where it is.
    pub(super) status: String,
    /// What it costs.
    pub(super) total_cents: i64,
    /// The ids of the events that went in, in their order.
    pub(super) history: Vec<String>,
}

/// What has to become of an order's events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Story {
    /// Its state; none if every event was refused or none concerns it.
    pub(super) order: Option<Order>,
    /// Events that a group dead-letters, by group.
    pub(super) dead: BTreeMap<&'static str, BTreeSet<String>>,
    /// Events that a human has to hear of, in their order, and each once.
    pub(super) alerts: Vec<String>,
}

impl Story {
    /// The story of `events`: one key's, in the order of the stream.
    pub(super) fn of(events: &[Told]) -> Self {
        let mut story = Self::default();
        let (mut projected, mut watched) = (HashSet::new(), HashSet::new());
        for event in events {
            if !projected.contains(&event.id) {
                if story.project(event) {
                    projected.insert(&event.id);
                } else {
                    story.dead.entry("order-status").or_default().insert(event.id.clone());
                }
            }
            if !watched.contains(&event.id) {
                if story.watch(event) {
                    watched.insert(&event.id);
                } else {
                    story.dead.entry("order-alerts").or_default().insert(event.id.clone());
                }
            }
        }
        story
    }

    /// What `order-status` has to do; false if it has to refuse.
    fn project(&mut self, event: &Told) -> bool {
        let Some(name) = event.kind.strip_prefix(PREFIX) else { return true };
        let now = self.order.as_ref().map_or("", |order| order.status.as_str());
        let Some(next) = step(now, name) else { return false };
        let order = self.order.get_or_insert_with(|| Order {
            status: String::new(),
            total_cents: event.total_cents.unwrap_or_default(),
            history: Vec::new(),
        });
        next.clone_into(&mut order.status);
        order.history.push(event.id.clone());
        true
    }

    /// What `order-alerts` has to do; false if it has to refuse.
    fn watch(&mut self, event: &Told) -> bool {
        let wanted = match event.kind.strip_prefix(PREFIX) {
            Some("placed") => match event.total_cents {
                Some(total) if total >= 0 => total > LARGE_CENTS,
                _ => return false,
            },
            Some("cancelled") => event.reason.as_deref() == Some("fraud"),
            _ => false,
        };
        if wanted {
            self.alerts.push(event.id.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: &str, name: &str) -> Told {
        let total_cents = (name == "placed").then_some(5);
        Told { id: id.into(), kind: format!("{PREFIX}{name}"), total_cents, reason: None }
    }

    fn dead(story: &Story, group: &str) -> Vec<String> {
        story.dead.get(group).into_iter().flatten().cloned().collect()
    }

    #[test]
    fn legal_steps_lead_to_the_end_and_illegal_ones_are_dead() {
        let names = ["paid", "placed", "shipped", "placed", "paid", "shipped", "cancelled", "delivered", "returned"];
        let events: Vec<_> = names.iter().zip(1..).map(|(name, id)| told(&id.to_string(), name)).collect();
        let story = Story::of(&events);
        let history = ["2", "5", "6", "8"].map(str::to_owned).to_vec();
        assert_eq!(story.order.as_ref().unwrap(), &Order { status: "delivered".into(), total_cents: 5, history });
        assert_eq!(dead(&story, "order-status"), ["1", "3", "4", "7", "9"]);
    }

    #[test]
    fn a_copy_of_a_handled_event_counts_nothing_and_a_copy_of_a_refused_one_is_judged_anew() {
        let events = [told("a", "placed"), told("c", "shipped"), told("a", "placed"), told("b", "paid")];
        assert_eq!(dead(&Story::of(&events), "order-status"), ["c"]);
        let again = [&events[..], &[told("c", "shipped")]].concat();
        let story = Story::of(&again);
        assert_eq!(story.order.as_ref().unwrap().history, ["a", "b", "c"]);
        assert_eq!(dead(&story, "order-status"), ["c"], "the letter of the first copy stays");
    }

    #[test]
    fn humans_hear_of_large_and_fraudulent_orders_once_even_when_the_step_is_illegal() {
        let large = Told { total_cents: Some(100_001), ..told("a", "placed") };
        let fraud = Told { reason: Some("fraud".into()), ..told("b", "cancelled") };
        let late = Told { reason: Some("fraud".into()), ..told("c", "cancelled") };
        let limit = Told { total_cents: Some(100_000), ..told("d", "placed") };
        let story = Story::of(&[large.clone(), fraud.clone(), large, late, fraud, limit]);
        assert_eq!(story.alerts, ["a", "b", "c"]);
        assert_eq!(dead(&story, "order-status"), ["c", "d"]);
    }

    #[test]
    fn a_negative_total_is_dead_for_one_group_and_an_order_for_the_other() {
        let story = Story::of(&[Told { total_cents: Some(-1), ..told("a", "placed") }]);
        assert_eq!(dead(&story, "order-alerts"), ["a"]);
        assert_eq!(story.order.as_ref().unwrap().total_cents, -1);
        assert!(dead(&story, "order-status").is_empty());
    }

    #[test]
    fn what_is_no_step_of_an_order_does_not_concern_it() {
        let other = Told { kind: "shop.cart.emptied".into(), ..told("a", "") };
        assert_eq!(Story::of(&[other]), Story::default());
    }
}
