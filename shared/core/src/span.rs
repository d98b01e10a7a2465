//! Spans of an event's way through a group, for whoever collects them.

use tracing::{Level, Span, field};

use crate::batch::Delivery;
use crate::key::KeyHash;
use crate::position::ShardId;

/// The target of the spans that are made here, for whoever collects them. Nobody does unless traces are exported, and then
/// they cost a look at a flag.
pub const TARGET: &str = "penstock::trace";

/// The span of an event's way through a group, below the one that put it on the stream, if its trace is sampled and anybody
/// collects it. It ends when what became of the event is committed.
pub(crate) fn consume(delivery: &Delivery, group: &str, shard: &ShardId) -> Span {
    if !tracing::span_enabled!(target: TARGET, Level::INFO) {
        return Span::none();
    }
    let Ok(content) = &delivery.content else { return Span::none() };
    let Some(context) = content.event.trace().filter(|context| context.sampled) else {
        return Span::none();
    };
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "consume_event",
        traceparent = %context,
        event_id = content.event.id(),
        event_source = content.event.source(),
        event_type = content.event.kind(),
        key_hash = %KeyHash(&delivery.key),
        group,
        %shard,
        position = %delivery.position,
        outcome = field::Empty,
    )
}

/// The span of an event's handler, below that.
pub(crate) fn process(delivery: &Delivery) -> Span {
    if delivery.span.is_disabled() {
        return Span::none();
    }
    tracing::info_span!(target: TARGET, parent: &delivery.span, "process_event")
}
