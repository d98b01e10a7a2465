//! The fields of a log line, made harmless: what came from outside can neither end the line nor steer a terminal.

use std::fmt::{self, Write};

use penstock::text::is_harmful;
use serde_json::Value;
use tracing::Event;
use tracing::field::{Field, Visit};

/// Characters of a text that are kept. A handler's error can quote a whole response.
const TEXT_MAX: usize = 2048;

/// The message and the fields of an event, in their order.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) others: Vec<(&'static str, Value)>,
}

impl Fields {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn push(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push((field.name(), value.into()));
    }

    fn text(&mut self, field: &Field, text: impl fmt::Display) {
        let text = harmless(text);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.push(field, text);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        match u64::try_from(value) {
            Ok(value) => self.push(field, value),
            Err(_) => self.text(field, value),
        }
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }
}

/// A text without characters that are not to be seen, cut where it gets too long.
fn harmless(text: impl fmt::Display) -> String {
    let mut harmless = Harmless { text: String::new(), room: TEXT_MAX, cut: 0 };
    // it takes everything
    _ = write!(harmless, "{text}");
    if harmless.cut > 0 {
        _ = write!(harmless.text, "… ({} more characters)", harmless.cut);
    }
    harmless.text
}

struct Harmless {
    text: String,
    room: usize,
    cut: usize,
}

impl Write for Harmless {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.room == 0 {
                self.cut += 1;
                continue;
            }
            self.room -= 1;
            if is_harmful(c) {
                self.text.extend(c.escape_default());
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let text = harmless("ä".repeat(100_000));
        assert!(text.starts_with(&"ä".repeat(TEXT_MAX)) && text.ends_with("… (97952 more characters)"));
        assert_eq!(harmless("a\nb\u{1b}[31m\u{9b}\u{202e}\"ü\""), "a\\nb\\u{1b}[31m\\u{9b}\\u{202e}\"ü\"");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text in "(.|\n|\u{1b}|\u{9b}|\u{202e}){0,60}") {
            prop_assert!(!harmless(&text).chars().any(is_harmful));
        }
    }
}
