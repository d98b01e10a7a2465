//! Text from outside, made fit to be looked at: in a log, on a terminal.

/// Whether a character ends a line, steers a terminal, turns the direction of writing around, or is not to be seen at all, so
/// that two texts look alike: control characters, C1 with its escape sequences too, line separators, and the format characters
/// of Unicode's category Cf.
pub fn is_harmful(c: char) -> bool {
    if c < '\u{ad}' {
        // most are
        return c.is_control();
    }
    matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// A text with its harmful characters written out, as `\n` or `\u{202e}`.
pub fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_to_be_seen_is_written_out_and_what_is_stays() {
        assert_eq!(harmless("a\n\u{1b}[2J\u{9b}\u{85}\u{2028}"), "a\\n\\u{1b}[2J\\u{9b}\\u{85}\\u{2028}");
        assert_eq!(harmless("\u{61c}\u{200b}\u{feff}\u{e0041}"), "\\u{61c}\\u{200b}\\u{feff}\\u{e0041}");
        assert_eq!(harmless("Größe \"x\" नमस्ते e\u{301} 🙂"), "Größe \"x\" नमस्ते e\u{301} 🙂");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text in "(.|\n|\u{1b}|\u{9b}|\u{202e}){0,60}") {
            prop_assert!(!harmless(&text).chars().any(is_harmful));
        }
    }
}
