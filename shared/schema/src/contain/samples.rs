//! Texts and numbers at the edges of what a schema allows.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;

/// Texts that formats take, and one that each does not.
const OF_FORMATS: &[(&str, &[&str])] = &[
    ("date-time", &["2026-01-01T00:00:00Z"]),
    ("date", &["2026-01-01"]),
    ("time", &["00:00:00Z"]),
    ("duration", &["P1D"]),
    ("email", &["a@example.com"]),
    ("hostname", &["example.com"]),
    ("ipv4", &["192.0.2.1"]),
    ("ipv6", &["2001:db8::1"]),
    ("uri", &["https://example.com/"]),
    ("uri-reference", &["/a"]),
    ("iri", &["https://example.com/"]),
    ("uuid", &["123e4567-e89b-12d3-a456-426614174000"]),
    ("json-pointer", &["/a"]),
    ("regex", &["a"]),
];

/// Ways through the alternatives of a pattern.
const WAYS: usize = 6;

/// Texts of a pattern, shortest first.
pub(super) fn of_pattern(pattern: &str) -> Vec<String> {
    // as ECMA has them, without the tables of Unicode
    let plain = pattern.replace("\\d", "[0-9]").replace("\\w", "[A-Za-z0-9_]").replace("\\s", " ").replace("\\/", "/");
    let Ok(hir) = regex_syntax::ParserBuilder::new().unicode(false).utf8(true).build().parse(&plain) else {
        return Vec::new();
    };
    let mut texts: Vec<String> = (0..WAYS).filter_map(|way| String::from_utf8(text_of(&hir, way)).ok()).collect();
    texts.sort_by_key(|text| (text.len(), text.clone()));
    texts.dedup();
    texts
}

fn text_of(hir: &Hir, way: usize) -> Vec<u8> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => literal.0.to_vec(),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            let range = ranges.get(way % ranges.len().max(1));
            let chosen = range.map(|range| if way.is_multiple_of(2) { range.start() } else { range.end() });
            chosen.map(|c| c.to_string().into_bytes()).unwrap_or_default()
        }
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.ranges();
            let range = ranges.get(way % ranges.len().max(1));
            range.map(|range| if way.is_multiple_of(2) { range.start() } else { range.end() }).into_iter().collect()
        }
        HirKind::Repetition(repetition) => {
            let times = match (way % 3, repetition.max) {
                (0, _) => repetition.min,
                (1, Some(max)) => max.min(64),
                (_, max) => (repetition.min + 1).min(max.unwrap_or(u32::MAX)),
            };
            text_of(&repetition.sub, way).repeat(times as usize)
        }
        HirKind::Capture(capture) => text_of(&capture.sub, way),
        HirKind::Concat(parts) => parts.iter().flat_map(|part| text_of(part, way)).collect(),
        HirKind::Alternation(parts) => {
            parts.get(way % parts.len().max(1)).map(|part| text_of(part, way)).unwrap_or_default()
        }
    }
}

/// Texts of a format.
pub(super) fn of_format(format: &str) -> impl Iterator<Item = String> {
    OF_FORMATS
        .iter()
        .filter(move |(name, _)| *name == format)
        .flat_map(|(_, texts)| texts.iter().map(|t| (*t).to_owned()))
}

/// Numbers at a bound and beside it.
pub(super) fn beside(bound: &Value) -> Vec<Value> {
    let mut numbers = vec![bound.clone()];
    if let Some(whole) = bound.as_i64() {
        numbers.extend([whole.checked_sub(1), whole.checked_add(1)].into_iter().flatten().map(Value::from));
    }
    if let Some(number) = bound.as_f64().filter(|number| number.abs() < 1e15) {
        numbers.extend([number - 0.5, number + 0.5, number.floor(), number.ceil()].map(whole_or_not));
    }
    numbers
}

/// Multiples of a number, the first ones beyond each of `bounds` among them, and what is none.
pub(super) fn multiples(of: &Value, bounds: &[Value]) -> Vec<Value> {
    let Some(of) = of.as_f64().filter(|of| *of > 0.0) else { return Vec::new() };
    let mut numbers = vec![of, 2.0 * of, of / 2.0, of + of / 2.0, -of];
    for bound in bounds.iter().filter_map(Value::as_f64) {
        numbers.extend([(bound / of).ceil() * of, (bound / of).floor() * of, ((bound / of).ceil() + 1.0) * of]);
    }
    numbers.into_iter().map(whole_or_not).collect()
}

/// Whole numbers as JSON writes them.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and below 2^53")]
fn whole_or_not(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { Value::from(number as i64) } else { Value::from(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_patterns_match_them() {
        assert!(of_pattern("^[A-Z]{3}$").contains(&"AAA".to_owned()));
        assert!(of_pattern("^(?:ab|\\d{2,4})$").iter().any(|text| text == "ab"));
        assert!(of_pattern("^(?:ab|\\d{2,4})$").iter().any(|text| text.bytes().all(|b| b.is_ascii_digit())));
        assert!(of_pattern("(").is_empty());
    }

    #[test]
    fn numbers_lie_on_both_sides_of_a_bound() {
        let numbers = beside(&Value::from(10));
        assert!([9, 10, 11].iter().all(|n| numbers.contains(&Value::from(*n))) && numbers.contains(&Value::from(9.5)));
        assert!(multiples(&Value::from(0.1), &[Value::from(5)]).contains(&Value::from(5)));
    }
}
