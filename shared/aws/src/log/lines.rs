//! The two forms of a log line: JSON as CloudWatch likes it, and text for a terminal.

use std::fmt;

use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;

/// One JSON object a line: `timestamp`, `level`, `message`, the fields, `target`.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = json(&timestamp, event.metadata().level().as_str(), &Fields::of(event), event.metadata().target());
        writeln!(to, "{}", line.map_err(|_| fmt::Error)?)
    }
}

fn json(timestamp: &str, level: &str, fields: &Fields, target: &str) -> serde_json::Result<String> {
    let mut line = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", timestamp)?;
    map.serialize_entry("level", level)?;
    map.serialize_entry("message", &fields.message)?;
    for (name, value) in &fields.others {
        map.serialize_entry(name, value)?;
    }
    map.serialize_entry("target", target)?;
    map.end()?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// A line for a terminal: level, message, fields.
pub(super) struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let fields = Fields::of(event);
        write!(to, "{:>5} {}", event.metadata().level(), fields.message)?;
        for (name, value) in &fields.others {
            match value {
                // a value that could pass for more than one field is quoted, and a quote in it is no end
                Value::String(text)
                    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "\"\\=".contains(c)) =>
                {
                    write!(to, " {name}=\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))?;
                }
                Value::String(text) => write!(to, " {name}={text}")?,
                value => write!(to, " {name}={value}")?,
            }
        }
        writeln!(to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What is written of a value from outside, in both forms.
    fn written(outside: &str) -> [String; 2] {
        let memories = [Memory::default(), Memory::default()];
        let builder = || tracing_subscriber::fmt().with_ansi(false);
        let log = || tracing::warn!(event_id = outside, reason = %outside, attempts = 3, "event {outside}");
        let json = builder().event_format(Json).with_writer(memories[0].clone()).finish();
        tracing::subscriber::with_default(json, log);
        let plain = builder().event_format(Plain).with_writer(memories[1].clone()).finish();
        tracing::subscriber::with_default(plain, log);
        memories.map(|memory| String::from_utf8(memory.0.lock().unwrap().clone()).unwrap())
    }

    #[test]
    fn a_value_from_outside_forges_no_line_and_steers_no_terminal() {
        for outside in ["x\n{\"level\":\"INFO\"}\r\n", "\u{1b}[2J\u{9b}31m\u{7f}", "\"},{\"", "\u{202e}\u{2028}"] {
            let [json, plain] = written(outside);
            for text in [&json, &plain] {
                assert_eq!(text.matches('\n').count(), 1, "{text:?}");
                let inside = text.trim_end_matches('\n');
                assert!(!inside.chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{202e}'), "{text:?}");
            }
            let line: Value = serde_json::from_str(&json).unwrap();
            assert_eq!((line["level"].as_str(), line["attempts"].as_u64()), (Some("WARN"), Some(3)));
        }
    }

    #[test]
    fn a_value_passes_for_no_field_in_text_either() {
        let [_, plain] = written("x\" outcome=handled code=\"fine\\");
        assert!(plain.contains(r#"event_id="x\" outcome=handled code=\"fine\\""#), "{plain}");
    }

    #[test]
    fn an_error_of_a_megabyte_is_one_short_line() {
        let [json, plain] = written(&"\"\n".repeat(500_000));
        assert!(json.len() < 32 * 1024 && plain.len() < 32 * 1024, "{} {}", json.len(), plain.len());
        serde_json::from_str::<Value>(&json).unwrap();
    }
}
