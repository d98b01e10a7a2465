//! The value of a `ce-` header: text in quotes perhaps, percent-encoded perhaps.
//!
//! Guarantees: one round of unquoting, then one of percent-decoding, as the binding says; the result is UTF-8. Control
//! characters come through, because the event itself refuses them (`%00` is a NUL by then).
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values>

use std::borrow::Cow;

use http::HeaderMap;
use penstock::Limits;

use super::error::HeaderProblem;

/// What the header of an attribute begins with.
pub(super) const PREFIX: &str = "ce-";

/// Decodes a header's value.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode(value: &[u8]) -> Result<String, HeaderProblem> {
    let bytes = percent_decode(&unquote(value.trim_ascii())?)?;
    String::from_utf8(bytes).map_err(|_| HeaderProblem::Utf8)
}

/// The `id` of an event that is refused, if it can be made out.
pub(super) fn id(headers: &HeaderMap, limits: &Limits) -> Option<String> {
    let id = decode(headers.get("ce-id")?.as_bytes()).ok()?;
    (id.len() <= limits.name_bytes).then_some(id)
}

/// Takes off double quotes, and the backslashes inside them (RFC 7230, section 3.2.6).
fn unquote(value: &[u8]) -> Result<Cow<'_, [u8]>, HeaderProblem> {
    let Some((b'"', rest)) = value.split_first() else {
        return Ok(Cow::Borrowed(value));
    };
    let mut inner = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => inner.push(*bytes.next().ok_or(HeaderProblem::Quotes)?),
            b'"' if bytes.as_slice().is_empty() => return Ok(Cow::Owned(inner)),
            b'"' => return Err(HeaderProblem::Quotes),
            other => inner.push(*other),
        }
    }
    Err(HeaderProblem::Quotes)
}

/// Undoes percent-encoding. A `%` that begins no pair of hexadecimal digits is refused: passed on as it is, it would
/// make one id of what two senders meant as different ones.
fn percent_decode(value: &[u8]) -> Result<Vec<u8>, HeaderProblem> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return Err(HeaderProblem::Percent);
        };
        decoded.push(hex(*high)? << 4 | hex(*low)?);
        rest = tail;
    }
    Ok(decoded)
}

fn hex(digit: u8) -> Result<u8, HeaderProblem> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(HeaderProblem::Percent),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Result<String, HeaderProblem> {
        decode(text.as_bytes())
    }

    #[test]
    fn the_example_of_the_specification_decodes() {
        assert_eq!(decoded("Euro%20%E2%82%AC%20%F0%9F%98%80").unwrap(), "Euro € 😀");
        assert_eq!(decoded("%e2%82%ac").unwrap(), "€");
        assert_eq!(decoded("%61").unwrap(), "a", "unnecessary encoding is accepted");
    }

    #[test]
    fn only_one_round_is_undone() {
        assert_eq!(decoded("%2541").unwrap(), "%41");
        assert_eq!(decoded("\"a\\\"b\\\\%22\"").unwrap(), "a\"b\\\"");
        assert_eq!(decoded("%22a%22").unwrap(), "\"a\"", "quotes that were encoded are text");
    }

    #[test]
    fn blanks_around_a_value_are_no_part_of_it() {
        assert_eq!(decoded(" \ta b\t").unwrap(), "a b");
    }

    #[test]
    fn a_percent_sign_that_begins_nothing_is_refused() {
        for text in ["%", "%4", "%zz", "100%", "%%41", "%+1"] {
            assert_eq!(decoded(text).unwrap_err(), HeaderProblem::Percent, "{text}");
        }
    }

    #[test]
    fn overlong_and_broken_utf_8_is_refused() {
        for text in ["%C0%A0", "%FF", "%E2%82", "%ED%A0%80"] {
            assert_eq!(decoded(text).unwrap_err(), HeaderProblem::Utf8, "{text}");
        }
        assert_eq!(decode(&[0xFF]).unwrap_err(), HeaderProblem::Utf8);
    }

    #[test]
    fn a_quote_that_is_not_closed_at_the_end_is_refused() {
        for text in ["\"", "\"a", "\"a\\\"", "\"a\"b", "\"a\\"] {
            assert_eq!(decoded(text).unwrap_err(), HeaderProblem::Quotes, "{text}");
        }
        assert_eq!(decoded("a\"b").unwrap(), "a\"b");
    }

    fn encode(text: &str) -> String {
        text.bytes().fold(String::new(), |encoded, byte| match byte {
            b'"' | b'%' | ..=0x20 | 0x7F.. => format!("{encoded}%{byte:02X}"),
            _ => format!("{encoded}{}", char::from(byte)),
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_by_the_specification_comes_back(text in any::<String>()) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
        }
    }
}
