//! From attributes to an [`Event`]: where every rule about a single attribute is checked, whatever format it came in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Data, Error, Event, ExtensionValue, PARTITION_KEY, SPEC_VERSION};
use crate::Limits;

/// The longest attribute name. CloudEvents says that names should not exceed it:
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#attribute-naming-convention>.
const ATTRIBUTE_NAME_MAX: usize = 20;

/// The attributes that are no extensions.
const CONTEXT: [&str; 8] = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

/// Collects attributes and data. [`build`](EventBuilder::build) checks them.
#[derive(Debug, Default)]
pub struct EventBuilder {
    /// As in [`CONTEXT`].
    context: [Option<ExtensionValue>; CONTEXT.len()],
    extensions: BTreeMap<String, ExtensionValue>,
    data: Option<Data>,
    duplicate: Option<String>,
}

impl Event {
    /// Starts an event.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }
}

impl EventBuilder {
    /// Sets a text attribute, a required one or an extension.
    #[must_use]
    pub fn attribute(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.value(name, ExtensionValue::String(value.into()))
    }

    /// Sets an attribute of any type.
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: ExtensionValue) -> Self {
        self.put(Cow::Owned(name.into()), value);
        self
    }

    /// As [`value`](EventBuilder::value).
    pub(super) fn put(&mut self, name: Cow<'_, str>, value: ExtensionValue) {
        if let Some(place) = CONTEXT.iter().position(|known| *known == name) {
            match &mut self.context[place] {
                Some(_) => _ = self.duplicate.get_or_insert_with(|| name.into_owned()),
                free => *free = Some(value),
            }
            return;
        }
        match self.extensions.entry(name.into_owned()) {
            Entry::Occupied(taken) => _ = self.duplicate.get_or_insert_with(|| taken.key().clone()),
            Entry::Vacant(free) => _ = free.insert(value),
        }
    }

    /// Sets JSON data.
    #[must_use]
    pub fn json(mut self, data: Box<RawValue>) -> Self {
        self.data = Some(Data::Json(data));
        self
    }

    /// Sets data that is not JSON.
    #[must_use]
    pub fn bytes(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Some(Data::Binary(data.into()));
        self
    }

    /// Checks everything and makes the event.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn build(self, limits: &Limits) -> Result<Event, Error> {
        if let Some(name) = self.duplicate {
            return Err(Error::Duplicate(name));
        }
        let [version, id, source, kind, subject, time, data_content_type, data_schema] = self.context;
        match version {
            None => return Err(Error::Missing("specversion")),
            Some(ExtensionValue::String(version)) if version == SPEC_VERSION => {}
            Some(ExtensionValue::String(version)) => return Err(Error::SpecVersion(version)),
            Some(_) => return Err(wrong_type("specversion")),
        }
        let required = |name, value| text(name, value, limits.name_bytes)?.ok_or(Error::Missing(name));
        let event = Event {
            id: required("id", id)?,
            source: required("source", source)?,
            kind: required("type", kind)?,
            subject: text("subject", subject, limits.name_bytes)?,
            time: text("time", time, limits.attribute_bytes)?,
            data_content_type: text("datacontenttype", data_content_type, limits.attribute_bytes)?,
            data_schema: text("dataschema", data_schema, limits.attribute_bytes)?,
            extensions: self.extensions,
            data: self.data,
        };
        if let Some(time) = &event.time {
            OffsetDateTime::parse(time, &Rfc3339).map_err(|_| Error::Time)?;
        }
        check_extensions(&event.extensions, limits)?;
        if let Some(Data::Json(raw)) = &event.data
            && crate::json::deeper_than(raw.get(), limits.json_depth.saturating_sub(1))
        {
            return Err(Error::TooDeep { max: limits.json_depth });
        }
        Ok(event)
    }
}

/// The value of an attribute that has to be text.
fn text(name: &'static str, value: Option<ExtensionValue>, max: usize) -> Result<Option<String>, Error> {
    match value {
        None => Ok(None),
        Some(ExtensionValue::String(value)) => {
            check_text(name, &value, max)?;
            Ok(Some(value))
        }
        Some(_) => Err(wrong_type(name)),
    }
}

fn wrong_type(attribute: &str) -> Error {
    Error::WrongType { attribute: attribute.to_owned(), expected: "a string" }
}

fn check_extensions(extensions: &BTreeMap<String, ExtensionValue>, limits: &Limits) -> Result<(), Error> {
    if extensions.len() > limits.extensions {
        return Err(Error::TooManyExtensions { found: extensions.len(), max: limits.extensions });
    }
    for (name, value) in extensions {
        let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        // `data` is a member of the JSON format and no attribute may take its name.
        if name.is_empty() || name.len() > ATTRIBUTE_NAME_MAX || !letters || name == "data" {
            let shown = name.chars().filter(|c| !c.is_control()).take(2 * ATTRIBUTE_NAME_MAX).collect();
            return Err(Error::AttributeName(shown));
        }
        match value {
            ExtensionValue::String(text) if name == PARTITION_KEY => check_text(name, text, limits.name_bytes)?,
            ExtensionValue::String(text) => check_text(name, text, limits.attribute_bytes)?,
            // A number that two senders format differently must not be what order hangs on.
            _ if name == PARTITION_KEY => return Err(wrong_type(name)),
            ExtensionValue::Integer(_) | ExtensionValue::Boolean(_) => {}
        }
    }
    Ok(())
}

/// Code points that Unicode sets aside for ever; SQS refuses some of them in a message.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE
}

fn check_text(name: &str, value: &str, max: usize) -> Result<(), Error> {
    if value.is_empty() {
        return Err(Error::Empty(name.to_owned()));
    }
    if value.len() > max {
        return Err(Error::TooLong { attribute: name.to_owned(), bytes: value.len(), max });
    }
    // https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system
    let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_plain && value.chars().any(|c| c.is_control() || is_noncharacter(c)) {
        return Err(Error::ControlCharacter(name.to_owned()));
    }
    Ok(())
}
