//! Why an event's data does not pass.

use penstock_schema::{SchemaId, TypeName, Violation};

use crate::code::RefusalCode;

/// What is wrong with an event, as schemas see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// The data is not valid.
    #[error("the data is not valid under `{id}`{}", first(.violations))]
    Invalid {
        /// Under this schema.
        id: SchemaId,
        /// What is wrong, by place; empty if it was not looked for.
        violations: Vec<Violation>,
    },
    /// There is none.
    #[error("the event has no data; `{0}` asks for some")]
    NoData(SchemaId),
    /// It is bytes.
    #[error("the data is base64 or has a content type of bytes; `{0}` asks for JSON in `data`")]
    NotJson(SchemaId),
    /// It can be read in more than one way, or in none.
    #[error("the data cannot be judged by `{id}`: {why}")]
    Unreadable {
        /// The schema.
        id: SchemaId,
        /// What is wrong, with line and column from where the data begins.
        why: String,
    },
    /// `dataschema` is about another type.
    #[error("`dataschema` names the type `{named}`, and the event is a `{kind}`")]
    OtherType {
        /// What it names.
        named: TypeName,
        /// What the event is.
        kind: TypeName,
    },
    /// `dataschema` names no schema of here.
    #[error("`dataschema` is `{}`, and names no schema here: write `urn:penstock:schema:<type>:<version>`, or leave it out for the latest",
        .0.chars().take(200).collect::<String>().escape_default())]
    NotAUrn(String),
    /// `dataschema` names a version that is not there.
    #[error("`{id}` is not published; {}", match latest { 0 => "the type has no version".to_owned(), _ => format!("the latest version is {latest}") })]
    UnknownVersion {
        /// What it names.
        id: SchemaId,
        /// The last one; 0 if there is none.
        latest: u32,
    },
    /// The type has no schema.
    #[error("the type `{}` has no schema, and this endpoint takes only types that have one",
        .0.chars().take(200).collect::<String>().escape_default())]
    UndeclaredType(String),
}

fn first(violations: &[Violation]) -> String {
    match violations {
        [] => String::new(),
        [one] => format!(": {}{}", at(one), one.text),
        [one, rest @ ..] => format!(": {}{}, and {} more", at(one), one.text, rest.len()),
    }
}

fn at(violation: &Violation) -> String {
    if violation.pointer.is_empty() { String::new() } else { format!("at `{}` ", violation.pointer) }
}

impl SchemaFault {
    /// The code that the sender gets.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Invalid { .. } | Self::NoData(_) | Self::NotJson(_) | Self::Unreadable { .. } => {
                RefusalCode::SchemaViolation
            }
            Self::OtherType { .. } | Self::NotAUrn(_) | Self::UnknownVersion { .. } => RefusalCode::UnknownSchema,
            Self::UndeclaredType(_) => RefusalCode::UndeclaredType,
        }
    }

    /// The JSON pointer at fault, from the event's root.
    pub fn pointer(&self) -> String {
        match self {
            Self::Invalid { violations, .. } => {
                format!("/data{}", violations.first().map_or("", |first| first.pointer.as_str()))
            }
            Self::NoData(_) | Self::NotJson(_) | Self::Unreadable { .. } => "/data".to_owned(),
            Self::OtherType { .. } | Self::NotAUrn(_) | Self::UnknownVersion { .. } => "/dataschema".to_owned(),
            Self::UndeclaredType(_) => "/type".to_owned(),
        }
    }
}
