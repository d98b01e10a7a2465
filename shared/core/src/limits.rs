//! Every bound that an event or a request is held to, in one place.
//!
//! A bound is checked where input comes in and named, with its value, in the error that the sender gets.

/// The bounds. [`Limits::DEFAULT`] is what the functions use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an HTTP body as received. Lambda passes at most 6 MB an invocation:
    /// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
    pub body_bytes: usize,
    /// Bytes of an HTTP body after decompression.
    pub decompressed_bytes: usize,
    /// Events of one request.
    pub events_per_request: usize,
    /// Bytes of one event as it is stored: the CloudEvents JSON text.
    pub event_bytes: usize,
    /// Levels of nested JSON objects and arrays in one event, the event itself being the first.
    pub json_depth: usize,
    /// Bytes of `id`, `source`, `type`, `subject` and the partition key.
    pub name_bytes: usize,
    /// Bytes of any other attribute value.
    pub attribute_bytes: usize,
    /// Extension attributes of one event.
    pub extensions: usize,
}

impl Limits {
    /// The bounds of this release; `docs/http.md` lists them for senders.
    pub const DEFAULT: Self = Self {
        body_bytes: 6 * 1024 * 1024,
        decompressed_bytes: 16 * 1024 * 1024,
        events_per_request: 500,
        event_bytes: 256 * 1024,
        json_depth: 64,
        name_bytes: 256,
        attribute_bytes: 2048,
        extensions: 32,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
