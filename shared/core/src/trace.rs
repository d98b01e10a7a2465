//! Trace context: which trace an event belongs to, in the terms of W3C and of CloudEvents' distributed tracing extension.
//!
//! <https://www.w3.org/TR/trace-context/#traceparent-header>,
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md>.

use std::fmt;

/// The extension attribute that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// The extension attribute with what tracing systems of the sender want to find again.
pub const TRACESTATE: &str = "tracestate";

/// Extensions that the edge adds to an event.
pub const EXTENSIONS: usize = 2;

/// A trace, and the span of it that something is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace. Never zero.
    pub trace: u128,
    /// The span. Never zero.
    pub span: u64,
    /// Whether whoever began the trace wants its spans kept.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`. `None` if it is malformed: then a new trace begins, as W3C says.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let version = hex(fields.next()?, 2)?;
        let trace = hex(fields.next()?, 32)?;
        let span = u64::try_from(hex(fields.next()?, 16)?).ok()?;
        let flags = hex(fields.next()?, 2)?;
        // version 00 has four fields; a later one may have more, and 255 is none
        let sound = match version {
            0 => fields.next().is_none(),
            255 => false,
            _ => true,
        };
        (sound && trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// The same trace, seen from another of its spans.
    #[must_use]
    pub fn at(self, span: u64) -> Self {
        Self { span, ..self }
    }

    /// The trace's id as 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// So many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let sound = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    sound.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let context = TraceContext::parse(TEXT).unwrap();
        assert_eq!((context.trace_id().as_str(), context.sampled), ("4bf92f3577b34da6a3ce929d0e0e4736", true));
        assert_eq!(context.to_string(), TEXT);
    }

    #[test]
    fn what_is_malformed_is_none() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more";
        assert!(!TraceContext::parse(later).unwrap().sampled, "a later version may say more");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1u128.., span in 1u64.., sampled: bool) {
            let context = TraceContext { trace, span, sampled };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = TraceContext::parse(&text);
        }
    }
}
