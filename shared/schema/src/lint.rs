//! What a schema has to keep to before it is published.
//!
//! The edge runs it on what anybody sends: nothing in it may reach into the network, and no document may make it slow.

mod cost;
mod pattern;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::json;
use crate::name::SchemaId;
use crate::validate;
use crate::walk;

pub(crate) use cost::is_forking;

/// Bytes of a schema.
pub const BYTES_MAX: usize = 64 * 1024;
/// Levels of nested JSON in a schema.
pub const DEPTH_MAX: usize = 32;
/// Schemas in a schema.
pub const NODES_MAX: usize = 2000;
/// Different patterns in a schema.
pub const PATTERNS_MAX: usize = 64;
/// Bytes of a pattern.
pub const PATTERN_BYTES_MAX: usize = 512;
/// Ways from a schema through its references and combinations, all at one place of a document.
pub const WAYS_MAX: usize = 1000;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Something that is wrong with a schema, or may be meant otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer into the schema.
    pub pointer: String,
    /// What, and how to mend it.
    pub text: String,
}

impl Problem {
    pub(crate) fn new(pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.text),
            pointer => write!(f, "{pointer}: {}", self.text),
        }
    }
}

/// The schema and its warnings, or everything that is wrong with it.
pub(crate) fn lint(id: &SchemaId, text: &str) -> Result<(Value, Vec<Problem>), Vec<Problem>> {
    let value = read(text).map_err(|problem| vec![problem])?;
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let nodes = walk::all(&value);
    if nodes.len() > NODES_MAX {
        return Err(vec![Problem::new("", format!("{} schemas in one; the most are {NODES_MAX}", nodes.len()))]);
    }
    let places: BTreeSet<&str> = nodes.iter().map(|(pointer, _)| pointer.as_str()).collect();
    for (pointer, schema) in &nodes {
        look_at(id, &places, pointer, schema, &mut problems);
    }
    pattern::look_at(&nodes, &mut problems, &mut warnings);
    if problems.is_empty() {
        problems.extend(cost::look_at(&nodes));
    }
    // what follows would say the same in other words
    if problems.is_empty()
        && let Err(error) = validate::compile(&value)
    {
        problems.push(error);
    }
    if problems.is_empty() { Ok((value, warnings)) } else { Err(problems) }
}

fn read(text: &str) -> Result<Value, Problem> {
    if text.len() > BYTES_MAX {
        return Err(Problem::new("", format!("{} bytes; a schema has {BYTES_MAX} at most", text.len())));
    }
    let value = json::parse(text).map_err(|error| Problem::new("", format!("not JSON: {error}")))?;
    if !value.is_object() {
        return Err(Problem::new("", "a schema for events is a JSON object"));
    }
    if depth(&value) > DEPTH_MAX {
        return Err(Problem::new(
            "",
            format!("nested deeper than {DEPTH_MAX} levels of JSON; take parts out into `$defs`"),
        ));
    }
    Ok(value)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The formats of 2020-12 that are asserted.
const FORMATS: [&str; 17] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "integer", "string"];

fn are_types(value: &Value) -> bool {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match value {
        Value::Array(names) => {
            let distinct: BTreeSet<_> = names.iter().filter_map(Value::as_str).collect();
            !names.is_empty() && names.iter().all(is_type) && distinct.len() == names.len()
        }
        one => is_type(one),
    }
}

/// What can be said of one schema of the document.
fn look_at(id: &SchemaId, places: &BTreeSet<&str>, pointer: &str, schema: &Value, problems: &mut Vec<Problem>) {
    let Some(keywords) = schema.as_object() else {
        if !schema.is_boolean() {
            problems.push(Problem::new(pointer, "a schema is a JSON object, `true` or `false`"));
        }
        return;
    };
    for (keyword, value) in keywords {
        let at = format!("{pointer}/{}", walk::escape(keyword));
        match (keyword.as_str(), value.as_str()) {
            ("$schema", Some(DRAFT)) if pointer.is_empty() => {}
            ("$schema", _) => problems.push(Problem::new(at, format!("only `{DRAFT}` is understood, at the top"))),
            ("$id", Some(urn)) if pointer.is_empty() && urn == id.to_string() => {}
            ("$id", _) => problems.push(Problem::new(at, format!("leave it out, or write `{id}` at the top"))),
            ("$ref", Some(reference)) => match walk::target(reference) {
                Some(target) if places.contains(target.as_str()) => {}
                Some(_) => problems.push(Problem::new(at, format!("there is no schema at `{reference}`"))),
                None => problems.push(Problem::new(
                    at,
                    format!(
                        "`{}` is not in this schema; nothing is fetched: copy it into `$defs` and refer to `#/$defs/...`",
                        reference.chars().take(200).collect::<String>().escape_default()
                    ),
                )),
            },
            ("format", Some(format)) if !FORMATS.contains(&format) => problems.push(Problem::new(
                at,
                format!("`{}` is no format; there are {}", format.escape_default(), FORMATS.join(", ")),
            )),
            ("type", _) if !are_types(value) => problems.push(Problem::new(
                at,
                format!("{value} is no type; there are {}, and lists of them without repetition", TYPES.join(", ")),
            )),
            ("$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$recursiveRef", _) => {
                problems.push(Problem::new(at, "is not taken: use `$ref` to a JSON pointer, as in `#/$defs/item`"));
            }
            (known, _) if walk::KEYWORDS.contains(&known) || walk::ANNOTATIONS.contains(&known) || known.starts_with("x-") => {}
            (unknown, _) => problems.push(Problem::new(
                at,
                format!("`{}` is no keyword of 2020-12; your own begin with `x-`", unknown.escape_default()),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
