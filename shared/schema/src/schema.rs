//! A schema that may be published.

use serde_json::Value;

use crate::lint::{self, Problem};
use crate::name::SchemaId;

/// One version of a type, free of [problems](Problem).
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    id: SchemaId,
    text: String,
    value: Value,
    warnings: Vec<Problem>,
}

impl Schema {
    /// Reads a schema: `<type>/<version>.json`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(id: SchemaId, text: &str) -> Result<Self, Vec<Problem>> {
        let (value, warnings) = lint::lint(&id, text)?;
        Ok(Self { id, text: text.to_owned(), value, warnings })
    }

    /// Which one it is.
    pub fn id(&self) -> &SchemaId {
        &self.id
    }

    /// As it was written: a version is this text and no other.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What might be meant otherwise.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}
