//! What is decided about one event, as a line of log: the decisions that are not the normal one, and a sample of those
//! that are.
//!
//! A line says which event it is, where it is and what became of it, and never what is in it. The partition key, which
//! can be a customer's name, stands as the first half of its Kinesis hash: the same at the edge and in every group, and it
//! tells the shard. Whoever can guess a key can check the guess.

use tracing::{info, warn};

use crate::batch::Delivery;
use crate::event::Event;
use crate::key::KeyHash;
use crate::position::ShardId;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Handled, or applied to a state: the normal case.
    Handled,
    /// Its handler asked for a retry.
    Retried,
    /// Sent to the dead letters.
    DeadLettered,
    /// It could not be sent to the dead letters; the redelivery tries again.
    NotDeadLettered,
    /// Left for the redelivery, through no fault of its own.
    Left,
    /// Sent back from the dead letters, and settled.
    Redriven,
    /// Sent back, and not settled.
    NotRedriven,
}

impl Decision {
    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Retried => "retried",
            Self::DeadLettered => "dead_lettered",
            Self::NotDeadLettered => "not_dead_lettered",
            Self::Left => "left",
            Self::Redriven => "redriven",
            Self::NotRedriven => "not_redriven",
        }
    }
}

/// Why a decision was taken, as far as there is more to say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Why<'a> {
    /// The stable code of a dead letter.
    pub(crate) code: Option<&'static str>,
    /// For people.
    pub(crate) reason: Option<&'a str>,
    /// How often the event was handled.
    pub(crate) attempts: Option<u32>,
}

impl<'a> Why<'a> {
    /// For a reason and no more.
    pub(crate) fn because(reason: &'a str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }
}

/// Writes the line.
pub(crate) fn tell(decision: Decision, shard: &ShardId, delivery: &Delivery, why: Why<'_>) {
    let event = delivery.content.as_ref().ok().map(|content| &content.event);
    macro_rules! line {
        ($level:ident) => {
            $level!(
                outcome = decision.as_str(),
                event_id = event.map(Event::id),
                event_source = event.map(Event::source),
                event_type = event.map(Event::kind),
                key_hash = %KeyHash(&delivery.key),
                %shard,
                position = %delivery.position,
                trace_id = event.and_then(Event::trace).map(|context| context.trace_id()),
                code = why.code,
                attempts = why.attempts,
                reason = why.reason,
                "event"
            )
        };
    }
    match decision {
        Decision::Handled | Decision::Redriven => line!(info),
        _ => line!(warn),
    }
}
