//! Judging data by a schema.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError};
use serde_json::Value;

use crate::lint::{Problem, is_forking};
use crate::schema::Schema;
use crate::walk;

/// Violations that are told of one event.
pub const VIOLATIONS_MAX: usize = 16;
/// Bytes of what is told of one violation: a schema's own words may be long.
const TEXT_MAX: usize = 200;
/// Bytes that a compiled pattern may take, so that many of them fit a function.
const PATTERN_SIZE_MAX: usize = 128 * 1024;

/// How patterns are matched: in linear time, whatever the text.
pub(crate) fn patterns() -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex().size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX)
}

/// The validator of a schema.
pub(crate) fn compile(schema: &Value) -> Result<jsonschema::Validator, Problem> {
    jsonschema::draft202012::options()
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(patterns())
        .build(schema)
        .map_err(|error| Problem::new(error.instance_path().to_string(), clip(error.to_string())))
}

/// A schema, ready to judge data. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Validator {
    inner: jsonschema::Validator,
    explains: bool,
}

/// A fault of an event's data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Where in the data, as a JSON pointer.
    pub pointer: String,
    /// The keyword of the schema that it violates.
    pub keyword: String,
    /// What is wrong; the data's own values are not in it.
    pub text: String,
}

impl Validator {
    /// Compiles a schema.
    pub fn new(schema: &Schema) -> Self {
        let explains = !is_forking(&walk::all(schema.value()));
        let inner = compile(schema.value());
        let inner = inner.unwrap_or_else(|error| unreachable!("a schema was compiled when it was read: {error}"));
        Self { inner, explains }
    }

    /// Whether the data is valid. It takes about as long as reading it.
    pub fn is_valid(&self, data: &Value) -> bool {
        self.inner.is_valid(data)
    }

    /// What is wrong with data that is not valid, by place; the first [`VIOLATIONS_MAX`]. Of a schema whose recursion forks only
    /// that it is not valid: to look for what is would take too long.
    pub fn violations(&self, data: &Value) -> Vec<Violation> {
        if self.is_valid(data) {
            return Vec::new();
        }
        if !self.explains {
            return vec![Violation {
                pointer: String::new(),
                keyword: "$ref".to_owned(),
                text: "is not valid; the schema's recursion forks, so that it is not searched for where".to_owned(),
            }];
        }
        let mut found: Vec<Violation> = self.inner.iter_errors(data).map(|error| violation(&error)).collect();
        found.sort();
        found.truncate(VIOLATIONS_MAX);
        found
    }
}

fn violation(error: &ValidationError<'_>) -> Violation {
    let mut pointer = error.instance_path().to_string();
    // these stand at the object, and are about a member
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().map_or_else(|| property.to_string(), str::to_owned);
            pointer = format!("{pointer}/{}", walk::escape(&name));
        }
        ValidationErrorKind::AdditionalProperties { unexpected } if unexpected.len() == 1 => {
            pointer = format!("{pointer}/{}", walk::escape(&unexpected[0]));
        }
        _ => {}
    }
    Violation {
        pointer: clip(pointer),
        keyword: error.kind().keyword().to_owned(),
        text: clip(error.masked().to_string()),
    }
}

fn clip(text: String) -> String {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > TEXT_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
