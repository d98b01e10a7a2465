//! The CloudEvents JSON format, in and out.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::{Data, Error, Event, ExtensionValue, SPEC_VERSION};
use crate::Limits;

impl Event {
    /// Reads an event in the JSON format.
    ///
    /// # Errors
    /// What is wrong with it, with a pointer to the member at fault.
    pub fn from_json(text: &str, limits: &Limits) -> Result<Self, Error> {
        if text.len() > limits.event_bytes {
            return Err(Error::TooLarge { bytes: text.len(), max: limits.event_bytes });
        }
        if crate::json::deeper_than(text, limits.json_depth) {
            return Err(Error::TooDeep { max: limits.json_depth });
        }
        let Members(members) = serde_json::from_str(text).map_err(|error| syntax(text, &error))?;
        let mut builder = Self::builder();
        let (mut json, mut base64) = (None, None);
        for (name, value) in members {
            match name.as_ref() {
                "data" if json.is_some() => return Err(Error::Duplicate("data".to_owned())),
                "data" => json = Some(value),
                "data_base64" if base64.is_some() => return Err(Error::Duplicate("data_base64".to_owned())),
                "data_base64" => base64 = Some(value),
                _ => {
                    if let Some(value) = attribute(&name, value)? {
                        builder.put(name, value);
                    }
                }
            }
        }
        match (json, base64) {
            (None, None) => {}
            (Some(raw), None) => builder = builder.json(raw.to_owned()),
            (None, Some(raw)) => {
                let text: Cow<'_, str> = serde_json::from_str::<Text<'_>>(raw.get()).map_err(|_| Error::Base64)?.0;
                builder = builder.bytes(BASE64_STANDARD.decode(text.as_bytes()).map_err(|_| Error::Base64)?);
            }
            (Some(_), Some(_)) => return Err(Error::TwoKindsOfData),
        }
        builder.build(limits)
    }

    /// The event in the JSON format: one line, unless the sender's own `data` has more.
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "every part is text, an integer, a boolean or valid JSON already")]
        serde_json::to_string(self).expect("an event has no part that JSON cannot say")
    }
}

/// An attribute's value; `null` says that it is absent.
fn attribute(name: &str, raw: &RawValue) -> Result<Option<ExtensionValue>, Error> {
    let expected = "a string, a boolean or a 32-bit integer";
    let text = raw.get();
    let value = match text.as_bytes().first() {
        Some(b'n') => return Ok(None),
        // a raw value is valid JSON: without an escape, the text is what is between the quotes
        Some(b'"') if !text.contains('\\') => {
            text.get(1..text.len() - 1).map(|text| ExtensionValue::String(text.to_owned()))
        }
        Some(b'"') => serde_json::from_str(text).ok().map(ExtensionValue::String),
        Some(b't' | b'f') => serde_json::from_str(text).ok().map(ExtensionValue::Boolean),
        _ => serde_json::from_str(text).ok().map(ExtensionValue::Integer),
    };
    value.map(Some).ok_or_else(|| Error::WrongType { attribute: name.to_owned(), expected })
}

fn syntax(text: &str, error: &serde_json::Error) -> Error {
    if error.is_data() {
        let found = match text.trim_start().as_bytes().first() {
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b'n') => "null",
            Some(b't' | b'f') => "a boolean",
            _ => "a number",
        };
        return Error::NotAnObject { found };
    }
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what).to_owned();
    Error::Json { line: error.line(), column: error.column(), message }
}

/// The members of an object in their order, doubles included, values untouched.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(12);
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", SPEC_VERSION)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("type", &self.kind)?;
        let optional = [
            ("subject", &self.subject),
            ("time", &self.time),
            ("datacontenttype", &self.data_content_type),
            ("dataschema", &self.data_schema),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in &self.extensions {
            match value {
                ExtensionValue::String(text) => map.serialize_entry(name, text)?,
                ExtensionValue::Integer(number) => map.serialize_entry(name, number)?,
                ExtensionValue::Boolean(yes) => map.serialize_entry(name, yes)?,
            }
        }
        match &self.data {
            Some(Data::Json(raw)) => map.serialize_entry("data", raw)?,
            Some(Data::Binary(bytes)) => map.serialize_entry("data_base64", &BASE64_STANDARD.encode(bytes))?,
            None => {}
        }
        map.end()
    }
}
