//! A batch: the events of a JSON array, each as the text that it is.
//!
//! Guarantees: keeps no more places than a request may have events, however long the array is; refuses anything after
//! its end. Does not look into the events.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::Error;

/// Takes a batch apart.
///
/// # Errors
/// When `text` is not a JSON array, or one of more than `max` elements.
pub(super) fn split(text: &str, max: usize) -> Result<Vec<&RawValue>, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Elements { max }.deserialize(&mut deserializer).and_then(|read| deserializer.end().map(|()| read));
    let (events, found) = read.map_err(|error| syntax(text, &error))?;
    if found > max { Err(Error::TooManyEvents { found, max }) } else { Ok(events) }
}

fn syntax(text: &str, error: &serde_json::Error) -> Error {
    if error.is_data() {
        let found = match text.trim_start().bytes().next() {
            Some(b'{') => "an object",
            Some(b'"') => "a string",
            Some(b'n') => "null",
            Some(b't' | b'f') => "a boolean",
            _ => "a number",
        };
        return Error::NotAnArray { found };
    }
    let message = error.to_string();
    // the place is told in fields of its own
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what).to_owned();
    Error::Json { line: error.line(), column: error.column(), message }
}

/// The first `max` elements of an array, and how many there are.
struct Elements {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for Elements {
    type Value = (Vec<&'de RawValue>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        let mut found = 0;
        while let Some(element) = array.next_element()? {
            if found < self.max {
                kept.push(element);
            }
            found += 1;
        }
        Ok((kept, found))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::code::RefusalCode;

    fn texts(text: &str) -> Result<Vec<&str>, Error> {
        split(text, 3).map(|events| events.into_iter().map(RawValue::get).collect())
    }

    #[test]
    fn elements_come_as_they_were_written() {
        assert_eq!(texts(" [ {\"a\" : 1.0} ,null, [ ] ] \n").unwrap(), ["{\"a\" : 1.0}", "null", "[ ]"]);
        assert!(texts("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_array_is_told_what_it_is() {
        for (text, found) in [("{}", "an object"), (" \"x\"", "a string"), ("null", "null"), ("-1", "a number")] {
            assert_eq!(texts(text).unwrap_err(), Error::NotAnArray { found });
        }
    }

    #[test]
    fn broken_json_and_trailing_bytes_are_malformed_with_their_place() {
        for text in ["[", "[1,]", "[1 2]", "[{]", "[1]]", "[1] x", "[1][2]", "[nul]"] {
            assert_eq!(texts(text).unwrap_err().code(), RefusalCode::MalformedJson, "{text}");
        }
        let error = texts("[1,\n  x]").unwrap_err();
        assert!(matches!(error, Error::Json { line: 2, column: 3, .. }), "{error:?}");
    }

    #[test]
    fn too_many_are_counted_and_not_kept() {
        assert_eq!(texts("[1,2,3,4,5]").unwrap_err(), Error::TooManyEvents { found: 5, max: 3 });
        assert_eq!(texts("[1,2,3]").unwrap().len(), 3);
    }

    #[test]
    fn depth_exhausts_no_stack() {
        let deep = format!("[{}{}]", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(texts(&deep).unwrap().len(), 1);
        assert_eq!(texts(&"[".repeat(1_000_000)).unwrap_err().code(), RefusalCode::MalformedJson);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{},:\"a0 \\\\]{0,30}") {
            let _ = texts(&text);
        }
    }
}
