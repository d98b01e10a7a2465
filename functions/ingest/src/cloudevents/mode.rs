//! The mode of a request, and how a fault in it is pointed at.
//!
//! The rule is the binding's, with one difference: what is neither CloudEvents by its content type nor has any of the
//! four required attributes as a header is refused as a whole, with a sentence about the three modes, instead of being
//! taken for a binary event that lacks everything.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3-http-message-mapping>

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::Error;
use crate::media_type::MediaType;

/// The media types of the structured and the batched mode, for the `Accept` of a refusal.
pub(crate) const ACCEPTED: &str = "application/cloudevents+json, application/cloudevents-batch+json";

/// Any of these makes a request a binary one.
const REQUIRED: [&str; 4] = ["ce-specversion", "ce-id", "ce-source", "ce-type"];

/// How a request carries its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One event in the JSON format.
    Structured,
    /// An array of events in the JSON format.
    Batched,
    /// Attributes in headers, data in the body.
    Binary {
        /// Whether the content type says that the data is JSON.
        json: bool,
    },
}

/// Where in a request a fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A JSON pointer (RFC 6901) from the root of the body.
    Pointer(String),
    /// A header's name.
    Header(String),
}

impl Mode {
    /// The mode of a request with these headers.
    ///
    /// # Errors
    /// When it is in none.
    pub fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let binary = REQUIRED.iter().any(|name| headers.contains_key(*name));
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return if binary { Ok(Self::Binary { json: false }) } else { Err(Error::NoContentType) };
        };
        let text = String::from_utf8_lossy(value.as_bytes());
        let shown = || text.chars().take(100).collect::<String>();
        let Some(media) = MediaType::parse(&text) else {
            return Err(Error::NotAMediaType(shown()));
        };
        let mode = match media.essence() {
            "application/cloudevents+json" => Self::Structured,
            "application/cloudevents-batch+json" => Self::Batched,
            other if other.starts_with("application/cloudevents") => return Err(Error::Format(shown())),
            _ if binary => Self::Binary { json: media.is_json() },
            _ => return Err(Error::NotCloudEvents(shown())),
        };
        match media.charset() {
            // US-ASCII is UTF-8 too, but no sender means it for JSON
            Some(charset) if charset != "utf-8" && mode != (Self::Binary { json: false }) => {
                Err(Error::Charset(charset.chars().take(100).collect()))
            }
            _ => Ok(mode),
        }
    }

    /// The place in the request of what is at `pointer` in event `index`. The root of an event that is the whole
    /// request is no place worth naming.
    pub(super) fn place(self, index: usize, pointer: &str) -> Option<Place> {
        match self {
            Self::Batched => Some(Place::Pointer(format!("/{index}{pointer}"))),
            _ if pointer.is_empty() => None,
            Self::Structured => Some(Place::Pointer(pointer.to_owned())),
            Self::Binary { .. } => binary_place(pointer),
        }
    }
}

/// In the binary mode the body is the data, and every other member is a header.
fn binary_place(pointer: &str) -> Option<Place> {
    if pointer == "/data" {
        return None;
    }
    if pointer.starts_with("/data/") {
        return pointer.strip_prefix("/data").map(|inner| Place::Pointer(inner.to_owned()));
    }
    let attribute = pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
    Some(Place::Header(match attribute.as_str() {
        "datacontenttype" => CONTENT_TYPE.as_str().to_owned(),
        _ => format!("ce-{attribute}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::RefusalCode;

    fn mode(headers: &[(&'static str, &str)]) -> Result<Mode, Error> {
        Mode::of(&headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
    }

    #[test]
    fn the_content_type_says_structured_or_batched_even_beside_ce_headers() {
        assert_eq!(mode(&[("content-type", "application/cloudevents+json")]).unwrap(), Mode::Structured);
        let both = [("content-type", "Application/CloudEvents-Batch+JSON; charset=UTF-8"), ("ce-id", "1")];
        assert_eq!(mode(&both).unwrap(), Mode::Batched);
    }

    #[test]
    fn any_required_attribute_as_a_header_makes_it_binary() {
        for name in REQUIRED {
            assert_eq!(mode(&[(name, "x")]).unwrap(), Mode::Binary { json: false });
            let json = [(name, "x"), ("content-type", "application/vnd.order+json")];
            assert_eq!(mode(&json).unwrap(), Mode::Binary { json: true });
        }
    }

    #[test]
    fn plain_json_is_refused_with_a_sentence_that_mends_it() {
        let error = mode(&[("content-type", "application/json"), ("ce-subject", "x")]).unwrap_err();
        assert_eq!(error.code(), RefusalCode::UnsupportedMediaType);
        assert!(error.to_string().contains("send it as application/cloudevents+json"), "{error}");
        assert_eq!(mode(&[]).unwrap_err(), Error::NoContentType);
    }

    #[test]
    fn other_formats_and_charsets_are_refused_even_beside_ce_headers() {
        fn with(kind: &str) -> Result<Mode, Error> {
            mode(&[("content-type", kind), ("ce-id", "1")])
        }
        for kind in ["application/cloudevents+xml", "application/cloudevents-batch+avro", "application/cloudevents"] {
            assert_eq!(with(kind).unwrap_err(), Error::Format(kind.to_owned()));
        }
        for kind in ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"] {
            let latin = format!("{kind}; charset=latin1");
            assert_eq!(with(&latin).unwrap_err(), Error::Charset("latin1".to_owned()));
        }
        assert_eq!(with("nonsense").unwrap_err(), Error::NotAMediaType("nonsense".to_owned()));
        // of text that is no JSON, the charset is the data's own business
        assert_eq!(with("text/plain; charset=latin1").unwrap(), Mode::Binary { json: false });
    }

    #[test]
    fn a_fault_is_pointed_at_from_the_root_of_what_was_sent() {
        let pointer = |text: &str| Some(Place::Pointer(text.to_owned()));
        let header = |text: &str| Some(Place::Header(text.to_owned()));
        let binary = Mode::Binary { json: true };
        assert_eq!(Mode::Structured.place(0, "/id"), pointer("/id"));
        assert_eq!(Mode::Structured.place(0, ""), None);
        assert_eq!(Mode::Batched.place(7, "/id"), pointer("/7/id"));
        assert_eq!(Mode::Batched.place(7, ""), pointer("/7"));
        assert_eq!(binary.place(0, "/id"), header("ce-id"));
        assert_eq!(binary.place(0, "/datacontenttype"), header("content-type"));
        assert_eq!(binary.place(0, "/da~0ta"), header("ce-da~ta"));
        assert_eq!(binary.place(0, "/data/order/id"), pointer("/order/id"));
        assert_eq!(binary.place(0, "/data"), None);
    }
}
