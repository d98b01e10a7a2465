//! Reading a resource's properties: each is taken by name and checked, and what is left over is named.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::problem::{Problem, did_you_mean};
use super::resolve::{Value, ValueKind};

/// The members of a mapping, to be taken one by one.
pub(super) struct Properties<'a> {
    place: String,
    line: usize,
    entries: Vec<(String, Value)>,
    known: Vec<&'static str>,
    problems: &'a mut Vec<Problem>,
    warnings: &'a mut Vec<String>,
}

impl<'a> Properties<'a> {
    pub(super) fn new(
        place: &str,
        value: Value,
        problems: &'a mut Vec<Problem>,
        warnings: &'a mut Vec<String>,
    ) -> Self {
        let (line, mut entries) = (value.line, Vec::new());
        match value.kind {
            ValueKind::Map(members) => entries = members,
            ValueKind::Absent => {}
            // `Properties:` with nothing below it
            ValueKind::Text(text) if text.is_empty() || text == "~" || text == "null" => {}
            ValueKind::Text(_) | ValueKind::List(_) => {
                problems.push(Problem { line, place: place.to_owned(), what: "must be a mapping".to_owned() });
            }
        }
        Self { place: place.to_owned(), line, entries, known: Vec::new(), problems, warnings }
    }

    pub(super) fn problem(&mut self, line: usize, name: &str, what: impl Into<String>) {
        let place = if name.is_empty() { self.place.clone() } else { format!("{}.{name}", self.place) };
        self.problems.push(Problem { line, place, what: what.into() });
    }

    pub(super) fn warn(&mut self, what: impl Display) {
        self.warnings.push(format!("{}: {what}", self.place));
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Takes a member.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        let at = self.entries.iter().position(|(known, _)| known == name)?;
        Some(self.entries.remove(at).1)
    }

    /// A mapping below this one.
    pub(super) fn below(&mut self, name: &'static str) -> Properties<'_> {
        let value = self.take(name).unwrap_or(Value { line: self.line, kind: ValueKind::Absent });
        Properties::new(&format!("{}.{name}", self.place), value, self.problems, self.warnings)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name)?;
        match value.kind {
            ValueKind::Text(text) => Some(text),
            ValueKind::Absent => None,
            ValueKind::List(_) | ValueKind::Map(_) => {
                self.problem(value.line, name, "must be text");
                None
            }
        }
    }

    pub(super) fn required(&mut self, name: &'static str) -> String {
        let line = self.line;
        self.text(name).unwrap_or_else(|| {
            self.problem(line, name, "is missing");
            String::new()
        })
    }

    /// A number with a default and AWS's own bounds.
    pub(super) fn number<T>(&mut self, name: &'static str, default: T, bounds: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(value) = self.take(name) else { return default };
        let text = value.as_text();
        match text.parse::<T>() {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                let (min, max) = bounds.into_inner();
                self.problem(value.line, name, format!("is `{text}`; AWS takes a number from {min} to {max}"));
                default
            }
        }
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> bool {
        let Some(value) = self.take(name) else { return false };
        match value.as_text().as_str() {
            "true" => true,
            "false" => false,
            text => {
                self.problem(value.line, name, format!("is `{text}`; it must be true or false"));
                false
            }
        }
    }

    pub(super) fn list(&mut self, name: &'static str) -> Vec<Value> {
        let Some(value) = self.take(name) else {
            return Vec::new();
        };
        match value.kind {
            ValueKind::List(items) => items,
            _ => {
                self.problem(value.line, name, "must be a list");
                Vec::new()
            }
        }
    }

    /// Every member, by name.
    pub(super) fn all(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.entries)
    }

    /// Ends the reading: `ignored` change nothing that can be seen here, `unsupported` do and are warned of, anything
    /// else that is left is a mistake.
    pub(super) fn finish(mut self, ignored: &[&'static str], unsupported: &[&'static str]) {
        for (name, value) in std::mem::take(&mut self.entries) {
            if ignored.contains(&name.as_str()) {
                continue;
            }
            if unsupported.contains(&name.as_str()) {
                self.warn(format_args!("`{name}` has no effect on this machine"));
                continue;
            }
            let known = self.known.iter().chain(ignored).chain(unsupported).copied();
            let hint = did_you_mean(&name, known);
            self.problem(value.line, &name, format!("is no property that is known here{hint}"));
        }
    }
}
