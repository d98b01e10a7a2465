//! What is wrong with a template.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Characters of a problem's text. What a template says is quoted in it, and may be long.
const TEXT_MAX: usize = 600;

/// Characters of a value or a name where it is quoted.
const QUOTE_MAX: usize = 100;

/// One problem, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 where no line is at fault.
    pub line: usize,
    /// Where: `Events.ShardCount`. Empty for the template as a whole.
    pub place: String,
    /// What is wrong, and how to mend it.
    pub what: String,
}

impl Problem {
    pub(super) fn new(line: usize, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { line, place: one_line(place.into()), what: one_line(what.into()) }
    }
}

/// Everything that is wrong with a template: a line for each problem, `template.yaml:12: Events.ShardCount: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.file, .problems))]
pub struct Error {
    file: String,
    /// The problems, in the order of their lines.
    pub problems: Vec<Problem>,
}

impl Error {
    pub(super) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.line, &a.place, &a.what).cmp(&(b.line, &b.place, &b.what)));
        // one setting of `Globals` is found wrong in every function: it is one mistake
        let mut told = BTreeSet::new();
        problems.retain(|Problem { line, place, what }| {
            let leaf = place.rsplit('.').next().unwrap_or_default();
            told.insert((*line, leaf.to_owned(), what.clone()))
        });
        Self { file: file.to_owned(), problems }
    }

    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        Self { file: file.to_owned(), problems: vec![Problem::new(0, "", format!("cannot be read: {error}"))] }
    }
}

fn lines(file: &str, problems: &[Problem]) -> String {
    let mut text = String::new();
    for Problem { line, place, what } in problems {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(file);
        // writing to a string cannot fail
        if *line > 0 {
            let _ = write!(text, ":{line}");
        }
        if !place.is_empty() {
            let _ = write!(text, ": {place}");
        }
        let _ = write!(text, ": {what}");
    }
    text
}

fn one_line(text: String) -> String {
    if text.len() <= TEXT_MAX && !text.contains(char::is_control) {
        return text;
    }
    cut(&text.replace(char::is_control, " "), TEXT_MAX)
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value or a name as problems quote it.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", cut(text, QUOTE_MAX))
}

/// The place of a member; of the whole if `name` is empty.
pub(super) fn below(place: &str, name: &str) -> String {
    match (place, name) {
        (place, "") => place.to_owned(),
        ("", name) => cut(name, QUOTE_MAX),
        (place, name) => format!("{place}.{}", cut(name, QUOTE_MAX)),
    }
}

/// ` (did you mean ...?)` if one of `known` is close to `word`, else nothing.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // the distance takes memory by the product of the lengths
    if word.len() > QUOTE_MAX {
        return String::new();
    }
    let limit = 2.max(word.len() / 4);
    let alike = known.into_iter().filter(|candidate| candidate.len().abs_diff(word.len()) <= 2 * limit);
    let close = alike.map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    let close = close.filter(|(distance, _)| *distance <= limit && *distance < word.chars().count()).min();
    close.map_or_else(String::new, |(_, candidate)| format!(" (did you mean `{candidate}`?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_closest_word_and_none_that_is_unlike() {
        assert_eq!(did_you_mean("Tiemout", ["Timeout", "Time"]), " (did you mean `Timeout`?)");
        assert_eq!(did_you_mean("Ab", ["Xy"]), "");
        assert_eq!(did_you_mean(&"x".repeat(100_000), ["x"]), "", "and takes no memory for a word without end");
    }

    #[test]
    fn a_problem_is_one_line_whatever_the_template_says() {
        let error = Error::new("t.yaml", vec![Problem::new(3, "A.B", format!("is a\nb {}", "x".repeat(5_000)))]);
        let text = error.to_string();
        assert!(text.starts_with("t.yaml:3: A.B: is a b xxx"), "{text}");
        assert_eq!((text.lines().count(), text.len() < 700), (1, true));
    }
}
