//! An event: one fact, in CloudEvents 1.0 terms.
//!
//! An [`Event`] is valid by construction: its required attributes are there, every attribute is within
//! [`Limits`](crate::Limits), and nothing in it is a control character. `data` is kept as the sender wrote it, raw JSON
//! or bytes; this module never re-formats it.
//!
//! The stored form is the CloudEvents JSON format
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>), which is also what
//! [`Event::from_json`] reads.

mod builder;
mod error;
mod format;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::trace::{self, TraceContext};

pub use builder::EventBuilder;
pub use error::Error;

/// The one `specversion` that is understood.
pub const SPEC_VERSION: &str = "1.0";

/// The extension attribute that says what order is kept by:
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/partitioning.md>.
pub const PARTITION_KEY: &str = "partitionkey";

/// One fact.
#[derive(Debug, Clone)]
pub struct Event {
    id: String,
    source: String,
    kind: String,
    subject: Option<String>,
    time: Option<String>,
    data_content_type: Option<String>,
    data_schema: Option<String>,
    extensions: BTreeMap<String, ExtensionValue>,
    data: Option<Data>,
}

/// What an event carries.
#[derive(Debug, Clone)]
pub enum Data {
    /// A JSON value, byte for byte as the sender wrote it.
    Json(Box<RawValue>),
    /// Anything else.
    Binary(Vec<u8>),
}

/// The value of an extension attribute, in the types that the JSON format tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtensionValue {
    /// Text; URIs, times and base64 are text too.
    String(String),
    /// A 32-bit integer.
    Integer(i32),
    /// A boolean.
    Boolean(bool),
}

/// Why [`Event::data_as`] gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The event has no data.
    #[error("the event has no data")]
    Missing,
    /// The data is bytes, not JSON.
    #[error("the data is not JSON but {0}")]
    NotJson(String),
    /// The data is JSON of another shape.
    #[error("the data does not have the expected shape: {0}")]
    Shape(#[from] serde_json::Error),
}

impl Event {
    /// `id`: unique within `source`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `source`: who says it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// `type`: what kind of fact it is.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// `subject`: what it is about.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `time`, RFC 3339, as the sender wrote it.
    pub fn time(&self) -> Option<&str> {
        self.time.as_deref()
    }

    /// `datacontenttype`; absent means JSON.
    pub fn data_content_type(&self) -> Option<&str> {
        self.data_content_type.as_deref()
    }

    /// `dataschema`.
    pub fn data_schema(&self) -> Option<&str> {
        self.data_schema.as_deref()
    }

    /// An extension attribute.
    pub fn extension(&self, name: &str) -> Option<&ExtensionValue> {
        self.extensions.get(name)
    }

    /// The extension attributes, by name.
    pub fn extensions(&self) -> &BTreeMap<String, ExtensionValue> {
        &self.extensions
    }

    /// The trace that the event belongs to, if it belongs to one.
    pub fn trace(&self) -> Option<TraceContext> {
        match self.extension(trace::TRACEPARENT)? {
            ExtensionValue::String(text) => TraceContext::parse(text),
            ExtensionValue::Integer(_) | ExtensionValue::Boolean(_) => None,
        }
    }

    /// Sets the trace that the event belongs to. What a sender has said of it is overwritten: the server says it.
    pub fn set_trace(&mut self, context: &TraceContext, state: Option<&str>) {
        self.set_extension(trace::TRACEPARENT, Some(ExtensionValue::String(context.to_string())));
        self.set_extension(trace::TRACESTATE, state.map(|state| ExtensionValue::String(state.to_owned())));
    }

    /// Sets an extension attribute that the server says, or takes it away.
    pub(crate) fn set_extension(&mut self, name: &str, value: Option<ExtensionValue>) {
        match value {
            Some(value) => self.extensions.insert(name.to_owned(), value),
            None => self.extensions.remove(name),
        };
    }

    /// The data as it came.
    pub fn data(&self) -> Option<&Data> {
        self.data.as_ref()
    }

    /// The data, read as JSON into `T`.
    ///
    /// # Errors
    /// When there is no data, it is not JSON, or it is not a `T`.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        match &self.data {
            None => Err(DataError::Missing),
            Some(Data::Json(raw)) => Ok(serde_json::from_str(raw.get())?),
            Some(Data::Binary(_)) => {
                let kind = self.data_content_type.as_deref().unwrap_or("bytes without a datacontenttype");
                Err(DataError::NotJson(kind.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
