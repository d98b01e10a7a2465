//! Spans as the core makes them, with `tracing`, turned into spans of a trace.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use penstock::span::TARGET;
use penstock::trace::{TRACEPARENT, TraceContext};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{Kind, Span, Traces, new_span_id};

/// Outcomes after which all is well.
const WELL: [&str; 3] = ["handled", "duplicate", "foreign"];

/// Hands the core's spans to [`Traces`] when they end.
pub(crate) struct SpanLayer(pub(crate) Arc<Traces>);

impl SpanLayer {
    /// Whether a span, or an event of the log, is one of those.
    pub(crate) fn concerns(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == TARGET
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above = attributes.parent().and_then(|parent| context.span(parent));
        let above = above.and_then(|parent| parent.extensions().get::<Span>().map(|span| span.context));
        let remote = fields.context;
        let Some(parent) = above.or(remote) else { return };
        let Some(span) = context.span(id) else { return };
        let now = SystemTime::now();
        span.extensions_mut().insert(Span {
            name: attributes.metadata().name(),
            context: parent.at(new_span_id()),
            parent: Some(parent.span),
            is_remote: above.is_none(),
            kind: if above.is_none() { Kind::Consumer } else { Kind::Internal },
            began: now,
            ended: now,
            attributes: fields.attributes,
            // until it is told what became of it
            failed: above.is_none().then_some("the run failed"),
        });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        record.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(span) = span.extensions_mut().get_mut::<Span>()
        {
            let outcome = fields.attributes.iter().find(|(name, _)| *name == "outcome");
            if let Some((_, outcome)) = outcome {
                span.failed = (!WELL.contains(&outcome.as_str())).then_some("not handled");
            }
            span.attributes.extend(fields.attributes);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).and_then(|span| span.extensions_mut().remove::<Span>());
        if let Some(span) = span {
            self.0.record(Span { ended: SystemTime::now(), ..span });
        }
    }
}

#[derive(Default)]
struct Fields {
    context: Option<TraceContext>,
    attributes: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == TRACEPARENT {
            self.context = TraceContext::parse(&text);
        } else {
            self.attributes.push((field.name(), text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.attributes.push((field.name(), value.to_owned()));
    }
}
