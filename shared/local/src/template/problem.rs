//! What is wrong with a template.

use std::fmt;

/// One problem, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// Where: `Events.ShardCount`. Empty for the template as a whole.
    pub place: String,
    /// What is wrong, and how to mend it.
    pub what: String,
}

/// Everything that is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    file: String,
    /// The problems, in the order of their lines.
    pub problems: Vec<Problem>,
}

impl Error {
    pub(super) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.line, &a.place, &a.what).cmp(&(b.line, &b.place, &b.what)));
        problems.dedup();
        Self { file: file.to_owned(), problems }
    }

    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        let what = format!("cannot be read: {error}");
        Self { file: file.to_owned(), problems: vec![Problem { line: 0, place: String::new(), what }] }
    }
}

/// A line for each problem: `template.yaml:12: Events.ShardCount: ...`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Problem { line, place, what }) in self.problems.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file)?;
            if *line > 0 {
                write!(f, ":{line}")?;
            }
            if !place.is_empty() {
                write!(f, ": {place}")?;
            }
            write!(f, ": {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// ` (did you mean ...?)` if one of `known` is close to `word`, else nothing.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let close = known.into_iter().map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    let close = close.filter(|(distance, _)| *distance <= 2.max(word.len() / 4)).min();
    close.map_or_else(String::new, |(_, candidate)| format!(" (did you mean `{candidate}`?)"))
}
