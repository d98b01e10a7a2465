//! Why a request, or one event of it, cannot be read.

use penstock::{event, key};
use penstock_schema::Violation;

use super::mode::{Mode, Place};
use crate::code::RefusalCode;
use crate::schemas::SchemaFault;

/// What is wrong with a request as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither a content type nor attributes in headers.
    #[error(
        "the request has no Content-Type; use application/cloudevents+json for one event, \
         application/cloudevents-batch+json for an array of them, or send the attributes as ce-* headers"
    )]
    NoContentType,
    /// A content type of something else.
    #[error(
        "Content-Type is `{0}` and there are no ce-* headers; if the body is an event, send it as \
         application/cloudevents+json, if it is an array of events as application/cloudevents-batch+json, and if it \
         is only the event's data, add the headers ce-specversion, ce-id, ce-source and ce-type"
    )]
    NotCloudEvents(String),
    /// CloudEvents in another format.
    #[error("Content-Type is `{0}`; of the formats of CloudEvents this endpoint understands JSON")]
    Format(String),
    /// A content type that cannot be read.
    #[error("Content-Type is `{0}`, which is not a media type")]
    NotAMediaType(String),
    /// JSON in another charset.
    #[error("the charset is `{0}`; JSON is sent as UTF-8 here")]
    Charset(String),
    /// Nothing where an event has to be.
    #[error("the body is empty; this Content-Type asks for an event in it")]
    Empty,
    /// Not UTF-8.
    #[error("the body is not UTF-8: the byte at offset {offset} cannot stand there")]
    Utf8 {
        /// The first byte at fault, from 0.
        offset: usize,
    },
    /// Not JSON.
    #[error("not valid JSON at line {line}, column {column}: {message}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser met.
        message: String,
    },
    /// A batch that is no array.
    #[error(
        "a batch is a JSON array of events; this is {found}; a single event is sent as application/cloudevents+json"
    )]
    NotAnArray {
        /// What it is instead.
        found: &'static str,
    },
    /// A batch that is too long.
    #[error("the request has {found} events; at most {max} are allowed")]
    TooManyEvents {
        /// How many.
        found: usize,
        /// The bound.
        max: usize,
    },
}

impl Error {
    /// The code that the sender gets.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::NoContentType
            | Self::NotCloudEvents(_)
            | Self::Format(_)
            | Self::NotAMediaType(_)
            | Self::Charset(_) => RefusalCode::UnsupportedMediaType,
            Self::Empty => RefusalCode::EmptyBody,
            Self::Utf8 { .. } => RefusalCode::InvalidUtf8,
            Self::Json { .. } => RefusalCode::MalformedJson,
            Self::NotAnArray { .. } => RefusalCode::NotAnEvent,
            Self::TooManyEvents { .. } => RefusalCode::TooManyEvents,
        }
    }
}

/// What is wrong with one event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It breaks a rule of CloudEvents or a bound.
    #[error(transparent)]
    Event(#[from] event::Error),
    /// It has no partition key.
    #[error(transparent)]
    Key(#[from] key::Error),
    /// Its data does not pass.
    #[error(transparent)]
    Schema(Box<SchemaFault>),
    /// A header does not hold an attribute's value.
    #[error("the header `ce-{attribute}` cannot be read: {problem}")]
    Header {
        /// The attribute.
        attribute: String,
        /// What is wrong with the value.
        problem: HeaderProblem,
    },
    /// `ce-datacontenttype`, which the binding forbids.
    #[error("in the binary mode the type of the data stands in Content-Type; leave `ce-datacontenttype` out")]
    DataContentTypeHeader,
    /// JSON data that is not UTF-8.
    #[error("the body is not UTF-8, as JSON has to be: the byte at offset {offset} cannot stand there")]
    Utf8 {
        /// The first byte at fault, from 0.
        offset: usize,
    },
}

impl From<SchemaFault> for EventError {
    fn from(fault: SchemaFault) -> Self {
        Self::Schema(Box::new(fault))
    }
}

/// One of the things that are wrong with an event's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the request; `None` if the data is the whole request, and it is the whole data.
    pub place: Option<Place>,
    /// The keyword of the schema that it violates.
    pub keyword: String,
    /// What is wrong.
    pub detail: String,
}

/// Why the value of a `ce-` header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// A `%` that begins nothing.
    #[error("a `%` must be followed by two hexadecimal digits; write `%25` for the percent sign itself")]
    Percent,
    /// Not UTF-8 once it is decoded.
    #[error("percent-decoded it is not UTF-8")]
    Utf8,
    /// Quotes that do not match.
    #[error("it begins with a double quote, and that is not closed at its end")]
    Quotes,
}

impl EventError {
    /// The code that the sender gets.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Event(error) => error.into(),
            Self::Key(_) => RefusalCode::InvalidPartitionKey,
            Self::Schema(fault) => fault.code(),
            Self::Header { .. } | Self::DataContentTypeHeader => RefusalCode::InvalidAttribute,
            Self::Utf8 { .. } => RefusalCode::InvalidUtf8,
        }
    }

    /// All that is wrong with its data, each with its place.
    pub(super) fn faults(&self, mode: Mode, index: usize) -> Box<[Fault]> {
        let Self::Schema(fault) = self else { return Box::default() };
        let SchemaFault::Invalid { violations, .. } = &**fault else { return Box::default() };
        let fault = |violation: &Violation| Fault {
            place: mode.place(index, &format!("/data{}", violation.pointer)),
            keyword: violation.keyword.clone(),
            detail: violation.text.clone(),
        };
        violations.iter().map(fault).collect()
    }

    /// Where in a request the fault is, for event `index` of it.
    pub(super) fn place(&self, mode: Mode, index: usize) -> Option<Place> {
        match (self, mode) {
            // told from the name and not from the pointer: that of an attribute called `data` is the data's
            (Self::Event(event::Error::AttributeName(name)), Mode::Binary { .. }) => {
                Some(Place::Header(format!("ce-{name}")))
            }
            (Self::Event(error), _) => mode.place(index, &error.pointer()),
            (Self::Key(error), _) => mode.place(index, &error.pointer()),
            (Self::Schema(fault), _) => mode.place(index, &fault.pointer()),
            (Self::Header { attribute, .. }, _) => Some(Place::Header(format!("ce-{attribute}"))),
            (Self::DataContentTypeHeader, _) => Some(Place::Header("ce-datacontenttype".to_owned())),
            (Self::Utf8 { .. }, _) => None,
        }
    }
}
