//! Patterns: those of ECMA 262 that match in linear time, and mean the same wherever the schema is read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{PATTERN_BYTES_MAX, PATTERNS_MAX, Problem};
use crate::walk::escape;

pub(super) fn look_at(nodes: &[(String, &Value)], problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let mut patterns: BTreeSet<&str> = BTreeSet::new();
    for (pointer, schema) in nodes {
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let names = schema.get("patternProperties").and_then(Value::as_object);
        let names = names
            .into_iter()
            .flatten()
            .map(|(pattern, _)| (format!("{pointer}/patternProperties/{}", escape(pattern)), pattern.as_str()));
        for (at, pattern) in pattern.map(|pattern| (format!("{pointer}/pattern"), pattern)).into_iter().chain(names) {
            patterns.insert(pattern);
            if pattern.len() > PATTERN_BYTES_MAX {
                let text = format!("a pattern of {} bytes; the most are {PATTERN_BYTES_MAX}", pattern.len());
                problems.push(Problem::new(at, text));
            } else if let Some(what) = foreign(pattern) {
                problems.push(Problem::new(at, format!("{what} is read differently by others, or not at all")));
            } else {
                let unanchored = !pattern.starts_with('^') || !pattern.ends_with('$');
                if unanchored {
                    warnings.push(Problem::new(
                        &at,
                        "matches anywhere in the text; `^` and `$` would bind it to all of it",
                    ));
                }
                if pattern.contains("\\b") || pattern.contains("\\B") {
                    warnings
                        .push(Problem::new(at, "`\\b` beside letters other than a-z is read differently by others"));
                }
            }
        }
    }
    if patterns.len() > PATTERNS_MAX {
        problems.push(Problem::new("", format!("{} patterns; the most are {PATTERNS_MAX}", patterns.len())));
    }
}

/// What the regex engine takes and ECMA 262 does not, or the other way round, and neither says so.
fn foreign(pattern: &str) -> Option<&'static str> {
    let bytes = pattern.as_bytes();
    let (mut class, mut at) = (0_u32, 0);
    let mut quantified = false;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let quantifier = match rest {
            [b'\\', b'A' | b'z' | b'Z' | b'h' | b'Q' | b'E', ..] => return Some("`\\A`, `\\z`, `\\Z` or `\\h`"),
            [b'\\', b'<' | b'>', ..] => return Some("`\\<` or `\\>`"),
            [b'\\', b'x', b'{', ..] => return Some("`\\x{`"),
            [b'\\', b'b' | b'B', b'{', ..] => return Some("`\\b{`"),
            [b'\\', b'p' | b'P', next, ..] if *next != b'{' => return Some("`\\p` without braces"),
            // what stands in its braces is no quantifier
            [b'\\', b'p' | b'P' | b'u' | b'k', b'{' | b'<', rest @ ..] => {
                at += 3 + rest.iter().position(|b| matches!(b, b'}' | b'>')).map_or(rest.len(), |end| end + 1);
                quantified = false;
                continue;
            }
            [b'\\', ..] => {
                at += 2;
                quantified = false;
                continue;
            }
            [b'[', b':', ..] if class > 0 => return Some("a class such as `[:alpha:]`"),
            [b'[', ..] if class > 0 => return Some("a class in a class"),
            [b'[', ..] => {
                class = 1;
                false
            }
            [b']', ..] => {
                class = 0;
                false
            }
            [b'&', b'&', ..] | [b'~', b'~', ..] | [b'-', b'-', ..] if class > 0 => {
                return Some("an operator in a class");
            }
            [b'(', b'?', b':', ..] if class == 0 => {
                at += 2;
                false
            }
            [b'(', b'?', b'<', next, ..] if class == 0 && *next != b'=' && *next != b'!' => {
                at += 2;
                false
            }
            [b'(', b'?', ..] if class == 0 => return Some("a group that looks around, or sets flags,"),
            [b'*' | b'+', ..] if class == 0 => true,
            [b'{', ..] if class == 0 && quantified => return Some("a quantifier behind a quantifier"),
            [b'}', ..] if class == 0 => true,
            [b'?', ..] if class == 0 && !quantified => true,
            [b'?', ..] if class == 0 => false,
            _ => false,
        };
        if quantifier && quantified {
            return Some("a quantifier behind a quantifier");
        }
        quantified = quantifier;
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn what_is_not_ecma_is_told_apart() {
        for good in [
            "^[A-Z]{3}$",
            "^(?:a|b)+?$",
            "^\\d+\\.\\d*$",
            "a{2,3}?",
            "^[\\]\\[a-z&~-]$",
            "(?<year>\\d{4})",
            "\\(\\?=",
            "a??",
            "^\\p{L}+$",
            "^\\u{1F600}*$",
        ] {
            assert_eq!(foreign(good), None, "{good}");
        }
        for bad in [
            "\\pL",
            "\\x{41}",
            "\\<a",
            "\\b{start}",
            "a++",
            "(?i)a",
            "(?=a)",
            "(?<!a)b",
            "[[:alpha:]]",
            "[a-z&&[^b]]",
            "\\Aa",
            "a\\z",
            "a{2}{3}",
            "(?P<n>a)",
        ] {
            assert!(foreign(bad).is_some(), "{bad}");
        }
    }
}
