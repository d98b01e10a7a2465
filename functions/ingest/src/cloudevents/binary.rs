//! The binary mode: attributes in headers, data in the body.
//!
//! Guarantees: every `ce-` header is either an attribute of the event or the reason why it is refused; data that calls
//! itself JSON is JSON. A request without a body is an event without data.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use penstock::Limits;
use penstock::event::{self, Event, EventBuilder};
use serde_json::value::RawValue;

use super::error::EventError;
use super::header;
use super::mode::Mode;

/// Reads the event of a binary request.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(mode: Mode, headers: &HeaderMap, body: &[u8], limits: &Limits) -> Result<Event, EventError> {
    // Before anything is copied, as `Event::from_json` does it for the other modes.
    if body.len() > limits.event_bytes {
        return Err(event::Error::TooLarge { bytes: body.len(), max: limits.event_bytes }.into());
    }
    let builder = with_data(with_attributes(Event::builder(), headers)?, mode, body)?;
    Ok(builder.build(limits)?)
}

fn with_attributes(mut builder: EventBuilder, headers: &HeaderMap) -> Result<EventBuilder, EventError> {
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(header::PREFIX) else {
            continue;
        };
        if attribute == "datacontenttype" {
            return Err(EventError::DataContentTypeHeader);
        }
        let value = header::decode(value.as_bytes())
            .map_err(|problem| EventError::Header { attribute: attribute.to_owned(), problem })?;
        builder = builder.attribute(attribute, value);
    }
    match headers.get(CONTENT_TYPE) {
        // `Mode::of` has read it as a media type, so what is not ASCII can only be in a quoted parameter.
        Some(kind) => Ok(builder.attribute("datacontenttype", String::from_utf8_lossy(kind.as_bytes()).trim())),
        None => Ok(builder),
    }
}

fn with_data(builder: EventBuilder, mode: Mode, body: &[u8]) -> Result<EventBuilder, EventError> {
    if body.is_empty() {
        return Ok(builder);
    }
    if mode != (Mode::Binary { json: true }) {
        return Ok(builder.bytes(body));
    }
    let text = std::str::from_utf8(body).map_err(|error| EventError::Utf8 { offset: error.valid_up_to() })?;
    let data: Box<RawValue> =
        serde_json::from_str(text).map_err(|error| event::Error::DataNotJson(error.to_string()))?;
    Ok(builder.json(data))
}
