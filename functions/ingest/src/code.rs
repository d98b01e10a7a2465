//! The stable codes of everything that can be wrong with a request or an event, in one table.
//!
//! Guarantees: a code keeps its name and its status for as long as `/v1` lives. The table in `docs/http.md` is the same
//! one; a test compares them. Sentences (`detail`) are for people and may change at any time.

use penstock::event;

/// Declares the enum and its table together, so that no code can lack a row.
macro_rules! codes {
    ($($variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// Why a request or an event was not taken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum RefusalCode {
            $(#[doc = $title] $variant,)+
        }

        impl RefusalCode {
            /// Every code, in the order of `docs/http.md`.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code as programs see it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status of a request that is refused for this reason alone.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The `title` of the problem.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    EmptyBody = "empty_body", 400, "The body is empty";
    MalformedBase64 = "malformed_base64", 400, "The gateway passed a body that is not base64";
    MalformedEncoding = "malformed_encoding", 400, "The body is not what Content-Encoding says";
    InvalidUtf8 = "invalid_utf8", 400, "The JSON is not UTF-8";
    MalformedJson = "malformed_json", 400, "The body is not JSON";
    NotAnEvent = "not_an_event", 400, "The JSON is not an event";
    MissingAttribute = "missing_attribute", 400, "A required attribute is missing";
    DuplicateAttribute = "duplicate_attribute", 400, "An attribute is there twice";
    UnsupportedSpecversion = "unsupported_specversion", 400, "This specversion is not understood";
    InvalidAttribute = "invalid_attribute", 400, "An attribute breaks a rule";
    InvalidData = "invalid_data", 400, "The data is not what the event says";
    TooDeep = "too_deep", 400, "The JSON is nested too deep";
    InvalidPartitionKey = "invalid_partition_key", 400, "The event has no usable partition key";
    EventsRejected = "events_rejected", 400, "The events were refused, for different reasons";
    NotFound = "not_found", 404, "There is nothing here";
    MethodNotAllowed = "method_not_allowed", 405, "This path does not take this method";
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    TooManyEvents = "too_many_events", 413, "The request has too many events";
    EventTooLarge = "event_too_large", 413, "The event is too large";
    UnsupportedMediaType = "unsupported_media_type", 415, "This Content-Type is not understood";
    UnsupportedEncoding = "unsupported_encoding", 415, "This Content-Encoding is not understood";
    SchemaViolation = "schema_violation", 422, "The data is not what its schema asks for";
    UnknownSchema = "unknown_schema", 422, "The event names a schema that is not there";
    UndeclaredType = "undeclared_type", 422, "The event's type has no schema";
    Throttled = "throttled", 429, "The stream takes no more just now";
    StreamRefused = "stream_refused", 503, "The stream takes no events from this endpoint just now";
    StreamUnavailable = "stream_unavailable", 503, "The stream cannot be reached just now";
    OutOfTime = "out_of_time", 503, "There was no time left to store the event";
}

impl RefusalCode {
    /// The URI that names the kind of problem, for `type` of RFC 9457.
    pub fn urn(self) -> String {
        format!("urn:penstock:problem:{}", self.name())
    }
}

// Matched here although the core names its codes too: an error that the core adds has to be given a status before this
// crate builds again.
impl From<&event::Error> for RefusalCode {
    fn from(error: &event::Error) -> Self {
        use event::Error;
        match error {
            Error::Json { .. } => Self::MalformedJson,
            Error::NotAnObject { .. } => Self::NotAnEvent,
            Error::Missing(_) => Self::MissingAttribute,
            Error::Duplicate(_) => Self::DuplicateAttribute,
            Error::SpecVersion(_) => Self::UnsupportedSpecversion,
            Error::WrongType { .. }
            | Error::Empty(_)
            | Error::TooLong { .. }
            | Error::ControlCharacter(_)
            | Error::AttributeName(_)
            | Error::TooManyExtensions { .. }
            | Error::Time => Self::InvalidAttribute,
            Error::TwoKindsOfData | Error::Base64 | Error::DataNotJson(_) => Self::InvalidData,
            Error::TooDeep { .. } => Self::TooDeep,
            Error::TooLarge { .. } => Self::EventTooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use penstock::Limits;

    use super::*;

    const PAGE: &str = include_str!("../../../docs/http.md");

    #[test]
    fn the_table_in_docs_http_md_is_this_one() {
        let cell = |row: &str, n: usize| row.split('|').nth(n + 1).unwrap_or_default().trim().to_owned();
        let documented: Vec<_> = PAGE
            .lines()
            .skip_while(|line| !line.starts_with("| code | status |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|row| (cell(row, 0).trim_matches('`').to_owned(), cell(row, 1), cell(row, 2)))
            .collect();
        let coded: Vec<_> = RefusalCode::ALL
            .iter()
            .map(|code| (code.name().to_owned(), code.status().to_string(), code.title().to_owned()))
            .collect();
        assert_eq!(documented, coded);
    }

    #[test]
    fn the_bounds_in_docs_http_md_are_the_default_limits() {
        let Limits {
            body_bytes,
            decompressed_bytes,
            events_per_request,
            event_bytes,
            json_depth,
            name_bytes,
            attribute_bytes,
            extensions,
        } = Limits::DEFAULT;
        let coded = [
            body_bytes,
            decompressed_bytes,
            events_per_request,
            event_bytes,
            json_depth,
            name_bytes,
            attribute_bytes,
            extensions,
        ];
        let documented: Vec<usize> = PAGE
            .lines()
            .skip_while(|line| !line.starts_with("| bound | value |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|row| {
                let value = row.split('|').nth(2).unwrap_or_default();
                let number = value.split_whitespace().next().unwrap_or_default();
                number.replace(',', "").parse().unwrap()
            })
            .collect();
        assert_eq!(documented, coded);
    }

    #[test]
    fn the_core_and_the_edge_call_an_error_by_the_same_name() {
        let text = String::new;
        let errors = [
            event::Error::Json { line: 1, column: 1, message: text() },
            event::Error::NotAnObject { found: "null" },
            event::Error::Missing("id"),
            event::Error::Duplicate(text()),
            event::Error::WrongType { attribute: text(), expected: "a string" },
            event::Error::Empty(text()),
            event::Error::TooLong { attribute: text(), bytes: 2, max: 1 },
            event::Error::ControlCharacter(text()),
            event::Error::SpecVersion(text()),
            event::Error::AttributeName(text()),
            event::Error::TooManyExtensions { found: 2, max: 1 },
            event::Error::Time,
            event::Error::TwoKindsOfData,
            event::Error::Base64,
            event::Error::DataNotJson(text()),
            event::Error::TooDeep { max: 1 },
            event::Error::TooLarge { bytes: 2, max: 1 },
        ];
        for error in errors {
            assert_eq!(RefusalCode::from(&error).name(), error.code());
        }
        let key = penstock::key::Error::NotFound(text());
        assert_eq!(RefusalCode::InvalidPartitionKey.name(), key.code());
    }
}
