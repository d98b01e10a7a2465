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
    /// It is no JSON.
    #[error("the data is not JSON; `{0}` asks for it")]
    NotJson(SchemaId),
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
    #[error("`{id}` is not published; the latest version is {latest}")]
    UnknownVersion {
        /// What it names.
        id: SchemaId,
        /// The last one.
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
    /// Whether it is about something that may just have been published.
    pub(super) fn may_be_new(&self) -> bool {
        matches!(self, Self::UnknownVersion { .. } | Self::UndeclaredType(_))
    }

    /// The code that the sender gets.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Invalid { .. } | Self::NoData(_) | Self::NotJson(_) => RefusalCode::SchemaViolation,
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
            Self::NoData(_) | Self::NotJson(_) => "/data".to_owned(),
            Self::OtherType { .. } | Self::NotAUrn(_) | Self::UnknownVersion { .. } => "/dataschema".to_owned(),
            Self::UndeclaredType(_) => "/type".to_owned(),
        }
    }
}
