//! What serde_json does not tell about a JSON text without building it.

/// Whether `text` nests objects and arrays deeper than `max` levels. The text need not be valid JSON.
///
/// `serde_json` skips a raw value without recursion, so depth has to be looked at on its own: a consumer that later
/// parses the value would meet its own recursion limit, long after the sender could be told.
pub(crate) fn deeper_than(text: &str, max: usize) -> bool {
    // most texts have too few brackets to nest that deep, and counting is faster than following them
    if text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= max {
        return false;
    }
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::deeper_than;

    #[test]
    fn counts_nesting_and_not_brackets_in_strings() {
        assert!(!deeper_than(r#"{"a":[{"b":1}]}"#, 3));
        assert!(deeper_than(r#"{"a":[{"b":1}]}"#, 2));
        assert!(!deeper_than(r#"{"a":"[[[[{{{{ \" [[["}"#, 1));
        assert!(deeper_than(&"[".repeat(10_000), 64));
    }
}
