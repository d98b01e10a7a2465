//! Reading a resource's properties: each is taken by name and checked, and what is left over is named.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::problem::{Problem, below, did_you_mean, quoted};
use super::resolve::{Value, ValueKind};

/// What reading gives besides the model.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// The members of a mapping, to be taken one by one and to be finished.
#[must_use = "what is left over has to be named: call `finish`"]
pub(super) struct Properties<'a> {
    place: String,
    line: usize,
    /// In the order of the template.
    entries: Vec<(String, Value)>,
    lines: BTreeMap<String, usize>,
    known: Vec<&'static str>,
    findings: &'a mut Findings,
}

impl<'a> Properties<'a> {
    pub(super) fn new(place: &str, value: Value, findings: &'a mut Findings) -> Self {
        let (line, mut entries) = (value.line, Vec::new());
        match value.kind {
            ValueKind::Map(members) => entries = members,
            ValueKind::Absent | ValueKind::Broken => {}
            // `Properties:` with nothing below it
            ValueKind::Text(text) if matches!(text.as_str(), "" | "~" | "null") => {}
            ValueKind::Text(_) | ValueKind::List(_) => {
                findings.problems.push(Problem::new(line, place, "must be a mapping"));
            }
        }
        let lines = entries.iter().map(|(name, value)| (name.clone(), value.line)).collect();
        Self { place: place.to_owned(), line, entries, lines, known: Vec::new(), findings }
    }

    /// Tells of a problem with a member, in its line; in the mapping's if it is not there.
    pub(super) fn problem(&mut self, name: &str, what: impl Into<String>) {
        let line = self.lines.get(name).copied().unwrap_or(self.line);
        self.findings.problems.push(Problem::new(line, below(&self.place, name), what));
    }

    pub(super) fn warn(&mut self, what: impl Display) {
        self.findings.warnings.push(format!("{}: {what}", self.place));
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(known, _)| known == name)
    }

    /// Takes a member. One that could not be resolved has been told of, and is not there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        let at = self.entries.iter().position(|(known, _)| known == name)?;
        Some(self.entries.remove(at).1).filter(|value| value.kind != ValueKind::Broken)
    }

    /// A mapping below this one.
    pub(super) fn below(&mut self, name: &'static str) -> Properties<'_> {
        let value = self.take(name).unwrap_or_else(|| Value::absent(self.line));
        Properties::new(&below(&self.place, name), value, self.findings)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)?.kind {
            ValueKind::Text(text) => Some(text),
            ValueKind::Absent | ValueKind::Broken => None,
            ValueKind::List(_) | ValueKind::Map(_) => {
                self.problem(name, "must be text");
                None
            }
        }
    }

    pub(super) fn required(&mut self, name: &'static str) -> Option<String> {
        if !self.has(name) {
            self.problem(name, "is missing");
        }
        self.text(name)
    }

    /// A number that AWS bounds in no way.
    pub(super) fn float(&mut self, name: &'static str) -> Option<f64> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        if number.is_none() {
            self.problem(name, format!("is {}; it must be a number", quoted(&text)));
        }
        number
    }

    /// One of the words that AWS takes.
    pub(super) fn one_of(&mut self, name: &'static str, words: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        let hint = did_you_mean(&text, words.iter().copied());
        self.problem(name, format!("is {}; AWS takes {}{hint}", quoted(&text), words.join(" or ")));
        None
    }

    /// A number with a default and AWS's own bounds.
    pub(super) fn number<T>(&mut self, name: &'static str, default: T, bounds: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(value) = self.take(name) else { return default };
        let given = value.text().unwrap_or("no text");
        match given.parse::<T>() {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                let (min, max) = bounds.into_inner();
                self.problem(name, format!("is {}; AWS takes a number from {min} to {max}", quoted(given)));
                default
            }
        }
    }

    pub(super) fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        let Some(value) = self.take(name) else { return default };
        match value.text().unwrap_or("no text") {
            "true" | "True" | "TRUE" => true,
            "false" | "False" | "FALSE" => false,
            text => {
                self.problem(name, format!("is {}; it must be true or false", quoted(text)));
                default
            }
        }
    }

    /// The items of a list, without those that could not be resolved.
    pub(super) fn list(&mut self, name: &'static str) -> Vec<Value> {
        let Some(value) = self.take(name) else { return Vec::new() };
        match value.kind {
            ValueKind::List(items) => items.into_iter().filter(|item| item.kind != ValueKind::Broken).collect(),
            ValueKind::Absent | ValueKind::Broken | ValueKind::Text(_) | ValueKind::Map(_) => {
                self.problem(name, "must be a list");
                Vec::new()
            }
        }
    }

    /// Every item of a list of mappings, each to be finished by `read`.
    pub(super) fn each<T>(&mut self, name: &'static str, read: impl Fn(Properties<'_>) -> Option<T>) -> Vec<T> {
        let place = below(&self.place, name);
        let items = self.list(name);
        items.into_iter().filter_map(|item| read(Properties::new(&place, item, self.findings))).collect()
    }

    /// Every member that is left, in the order of the template.
    pub(super) fn all(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.entries)
    }

    /// Ends the reading: `ignored` change nothing that can be seen here, `unsupported` do and are warned of, anything
    /// else that is left is a mistake.
    pub(super) fn finish(mut self, ignored: &[&'static str], unsupported: &[&'static str]) {
        for (name, _) in std::mem::take(&mut self.entries) {
            if ignored.contains(&name.as_str()) {
                continue;
            }
            if unsupported.contains(&name.as_str()) {
                self.warn(format_args!("`{name}` has no effect on this machine"));
                continue;
            }
            let hint = did_you_mean(&name, self.known.iter().chain(ignored).chain(unsupported).copied());
            self.problem(&name, format!("is no property that is known here{hint}"));
        }
    }
}
