//! A media type: the value of `Content-Type`, as far as the edge has to understand it.
//!
//! Guarantees: names compare without regard to case, and a `;` inside a quoted parameter does not end it.
//! Does not check that the type is registered, nor keep parameters other than `charset`.

/// A parsed media type (RFC 9110, section 8.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    essence: String,
    charset: Option<String>,
}

impl MediaType {
    /// Reads a `Content-Type`. `None` if it is not `type/subtype` followed by parameters.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = split_outside_quotes(text).into_iter();
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut charset = None;
        for parameter in parts.map(str::trim).filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=')?;
            if name.eq_ignore_ascii_case("charset") {
                charset = Some(value.trim_matches('"').to_ascii_lowercase());
            }
        }
        Some(Self { essence, charset })
    }

    /// `type/subtype` in lower case.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The `charset` parameter in lower case.
    pub fn charset(&self) -> Option<&str> {
        self.charset.as_deref()
    }

    /// Whether data of this type is JSON: `application/json`, `text/json` or any `+json`.
    /// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#31-handling-of-data>
    pub fn is_json(&self) -> bool {
        let subtype = self.essence.split_once('/').map_or("", |(_, subtype)| subtype);
        subtype == "json" || subtype.ends_with("+json")
    }
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_blanks_and_quotes_do_not_matter() {
        let read = MediaType::parse("Application/CloudEvents+JSON ; Charset=\"UTF-8\"").unwrap();
        assert_eq!((read.essence(), read.charset()), ("application/cloudevents+json", Some("utf-8")));
        let tricky = MediaType::parse(r#"text/plain; note="a;charset=x\"y"; charset=utf-8"#).unwrap();
        assert_eq!(tricky.charset(), Some("utf-8"));
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        for text in ["", "json", "/json", "text/", "a b/c", "text/plain; charset"] {
            assert_eq!(MediaType::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn json_is_told_by_the_subtype_and_its_suffix() {
        let json = |text| MediaType::parse(text).unwrap().is_json();
        assert!(json("application/json") && json("text/json") && json("application/vnd.order+json"));
        assert!(!json("application/jsonp") && !json("text/plain") && !json("json/text"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = MediaType::parse(&text);
        }
    }
}
