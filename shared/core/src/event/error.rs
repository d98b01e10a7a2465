//! Why something is not an event.

/// What is wrong with what a sender calls an event. The sentence says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
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
    /// JSON, but not an object.
    #[error("an event is a JSON object; this is {found}")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// A required attribute is missing.
    #[error("the required attribute `{0}` is missing")]
    Missing(&'static str),
    /// An attribute comes twice.
    #[error("the attribute `{0}` is there twice")]
    Duplicate(String),
    /// An attribute has the wrong JSON type.
    #[error("the attribute `{attribute}` must be {expected}")]
    WrongType {
        /// Its name.
        attribute: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An attribute is empty.
    #[error("the attribute `{0}` is empty; give it a value or leave it out")]
    Empty(String),
    /// An attribute is too long.
    #[error("the attribute `{attribute}` has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// Its name.
        attribute: String,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// An attribute holds a control character, or a code point that is no character.
    #[error("the attribute `{0}` holds a control character or a noncharacter; CloudEvents allows none")]
    ControlCharacter(String),
    /// Another `specversion`.
    #[error("`specversion` is \"{0}\"; this endpoint understands \"1.0\"")]
    SpecVersion(String),
    /// A bad attribute name.
    #[error("`{0}` is not an attribute name: use 1 to 20 characters of a-z and 0-9")]
    AttributeName(String),
    /// Too many extension attributes.
    #[error("the event has {found} extension attributes; at most {max} are allowed")]
    TooManyExtensions {
        /// How many.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// `time` is no RFC 3339 timestamp.
    #[error("`time` must be an RFC 3339 timestamp such as 2026-01-31T12:00:00Z")]
    Time,
    /// `data` and `data_base64` are both there.
    #[error("`data` and `data_base64` exclude each other")]
    TwoKindsOfData,
    /// `data_base64` is not base64.
    #[error("`data_base64` is not base64 (RFC 4648, with padding)")]
    Base64,
    /// `datacontenttype` says JSON and the data is not.
    #[error("`datacontenttype` says JSON, but the data is not: {0}")]
    DataNotJson(String),
    /// Nested too deep.
    #[error("the JSON is nested deeper than {max} levels")]
    TooDeep {
        /// The bound.
        max: usize,
    },
    /// Too large.
    #[error("the event takes {bytes} bytes as CloudEvents JSON; at most {max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

impl Error {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "malformed_json",
            Self::NotAnObject { .. } => "not_an_event",
            Self::Missing(_) => "missing_attribute",
            Self::Duplicate(_) => "duplicate_attribute",
            Self::SpecVersion(_) => "unsupported_specversion",
            Self::WrongType { .. }
            | Self::Empty(_)
            | Self::TooLong { .. }
            | Self::ControlCharacter(_)
            | Self::AttributeName(_)
            | Self::TooManyExtensions { .. }
            | Self::Time => "invalid_attribute",
            Self::TwoKindsOfData | Self::Base64 | Self::DataNotJson(_) => "invalid_data",
            Self::TooDeep { .. } => "too_deep",
            Self::TooLarge { .. } => "event_too_large",
        }
    }

    /// The JSON pointer of the member at fault, from the event's root; empty for the event as a whole.
    pub fn pointer(&self) -> String {
        match self {
            Self::Missing(attribute) => format!("/{attribute}"),
            Self::Duplicate(attribute)
            | Self::WrongType { attribute, .. }
            | Self::Empty(attribute)
            | Self::TooLong { attribute, .. }
            | Self::ControlCharacter(attribute)
            | Self::AttributeName(attribute) => format!("/{}", attribute.replace('~', "~0").replace('/', "~1")),
            Self::SpecVersion(_) => "/specversion".to_owned(),
            Self::Time => "/time".to_owned(),
            Self::Base64 => "/data_base64".to_owned(),
            Self::TwoKindsOfData | Self::DataNotJson(_) => "/data".to_owned(),
            Self::Json { .. }
            | Self::NotAnObject { .. }
            | Self::TooManyExtensions { .. }
            | Self::TooDeep { .. }
            | Self::TooLarge { .. } => String::new(),
        }
    }
}
