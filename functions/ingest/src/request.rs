//! A request's body: the bytes that the sender meant, out of what Lambda was given.
//!
//! Guarantees: undoes API Gateway's base64 and the sender's `Content-Encoding`, both within
//! [`Limits`](penstock::Limits). Does not look at what the bytes mean.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use penstock::Limits;

use crate::code::RefusalCode;
use crate::encoding::{self, Encoding};

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway says base64, and it is not.
    #[error("the gateway passed the body as base64, and it is not")]
    Base64,
    /// Too many bytes before decompression.
    #[error("the body has {bytes} bytes; at most {max} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The encoding is at fault.
    #[error(transparent)]
    Encoding(#[from] encoding::Error),
}

impl Error {
    /// The code that the sender gets.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Base64 => RefusalCode::MalformedBase64,
            Self::TooLarge { .. } => RefusalCode::BodyTooLarge,
            Self::Encoding(error) => error.code(),
        }
    }
}

/// The body of a Lambda event as the sender meant it: `text` is what stood in `body`, `base64` what stood in
/// `isBase64Encoded`.
///
/// # Errors
/// When the body is too large or is not encoded as it claims to be.
pub fn body(text: Option<String>, base64: bool, headers: &HeaderMap, limits: &Limits) -> Result<Vec<u8>, Error> {
    let encoding = Encoding::of(headers)?;
    let text = text.unwrap_or_default();
    within(received_bytes(&text, base64), limits)?;
    let bytes = if base64 { BASE64_STANDARD.decode(text).map_err(|_| Error::Base64)? } else { text.into_bytes() };
    if bytes.is_empty() {
        // Nothing is nothing in every encoding: "the body is empty" helps more than "the gzip header is missing".
        return Ok(bytes);
    }
    Ok(encoding.decode(bytes, limits.decompressed_bytes)?)
}

/// How many bytes the sender sent, told before any base64 is decoded.
pub fn received_bytes(text: &str, base64: bool) -> usize {
    if !base64 {
        return text.len();
    }
    let padding = text.bytes().rev().take(2).take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

fn within(bytes: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.body_bytes;
    if bytes > max { Err(Error::TooLarge { bytes, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_ENCODING;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { body_bytes: 12, decompressed_bytes: 12, ..Limits::DEFAULT };

    fn read(text: &str, base64: bool) -> Result<Vec<u8>, Error> {
        body(Some(text.to_owned()), base64, &HeaderMap::new(), &LIMITS)
    }

    #[test]
    fn base64_is_undone_only_where_the_gateway_says_so() {
        assert_eq!(read("aGVsbG8=", true).unwrap(), b"hello");
        assert_eq!(read("aGVsbG8=", false).unwrap(), b"aGVsbG8=");
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["aGVsbG8", "a", "****", "aGVs bG8="] {
            assert_eq!(read(text, true).unwrap_err().code(), RefusalCode::MalformedBase64, "{text}");
        }
    }

    #[test]
    fn the_bound_counts_bytes_and_not_base64() {
        let of = |bytes: usize| BASE64_STANDARD.encode(vec![0; bytes]);
        assert_eq!(read(&of(12), true).unwrap().len(), 12);
        let error = read(&of(13), true).unwrap_err();
        assert_eq!(error.code(), RefusalCode::BodyTooLarge);
        assert_eq!(error.to_string(), "the body has 13 bytes; at most 12 are allowed");
        assert_eq!(read(&"x".repeat(13), false).unwrap_err().code(), RefusalCode::BodyTooLarge);
    }

    #[test]
    fn no_body_is_an_empty_one_whatever_the_encoding() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(body(None, true, &headers, &LIMITS).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_text_panics_or_passes_the_bound(text in "\\PC{0,40}", base64 in any::<bool>()) {
            if let Ok(bytes) = read(&text, base64) {
                prop_assert!(bytes.len() <= LIMITS.body_bytes);
            }
        }

        #[test]
        fn the_size_behind_base64_is_told_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(received_bytes(&BASE64_STANDARD.encode(&bytes), true), bytes.len());
        }
    }
}
