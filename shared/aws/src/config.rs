//! Configuration from the environment.
//!
//! A [`Reader`] is asked for every variable and says at the end what was wrong with all of them, so that a function
//! that is set up wrongly says so once, at its cold start, and not variable by variable.

use std::fmt;
use std::str::FromStr;

/// What is wrong with one variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not set, or empty.
    #[error("{name} is not set: {meaning}")]
    Missing {
        /// The variable.
        name: String,
        /// What it is for.
        meaning: String,
    },
    /// It does not parse, or is out of bounds.
    #[error("{name} is `{value}`: {why}")]
    Bad {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// What it should be.
        why: String,
    },
}

/// Everything that is wrong with the environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(pub Vec<Problem>);

/// The sentence, because a `main` that returns an error prints this form.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment is not set up")?;
        self.0.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}

impl std::error::Error for Error {}

/// Reads variables and collects what is wrong with them.
pub struct Reader<L> {
    lookup: L,
    problems: Vec<Problem>,
}

impl<L> fmt::Debug for Reader<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// Looks a variable up in this process's environment.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// A reader over `lookup`: [`process_environment`], or a map in a test.
    pub fn new(lookup: L) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// A variable that has to be there. The placeholder that stands for a missing one never leaves
    /// [`finish`](Self::finish).
    pub fn required(&mut self, name: &str, meaning: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(Problem::Missing { name: name.to_owned(), meaning: meaning.to_owned() });
            String::new()
        })
    }

    /// A variable that may be missing or empty.
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// A variable with a default and bounds.
    pub fn number<T>(&mut self, name: &str, default: T, bounds: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let Some(value) = self.optional(name) else {
            return default;
        };
        match value.trim().parse() {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                let why =
                    format!("give a number from {} to {}, or leave it out for {default}", bounds.start(), bounds.end());
                self.problems.push(Problem::Bad { name: name.to_owned(), value, why });
                default
            }
        }
    }

    /// A variable that is one of some words; the first of them if it is missing.
    pub fn choice<const N: usize>(&mut self, name: &str, words: [&'static str; N]) -> &'static str {
        let Some(value) = self.optional(name) else { return words[0] };
        words.into_iter().find(|word| *word == value).unwrap_or_else(|| {
            let why = format!("give one of {}, or leave it out for {}", words.join(", "), words[0]);
            self.problems.push(Problem::Bad { name: name.to_owned(), value, why });
            words[0]
        })
    }

    /// A variable in JSON, or the default when it is missing.
    pub fn json<T: serde::de::DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let Some(value) = self.optional(name) else {
            return T::default();
        };
        serde_json::from_str(&value).unwrap_or_else(|error| {
            self.problems.push(Problem::Bad { name: name.to_owned(), value, why: error.to_string() });
            T::default()
        })
    }

    /// Notes that a variable's value will not do.
    pub fn refuse(&mut self, name: &str, why: &str) {
        let value = self.optional(name).unwrap_or_default();
        self.problems.push(Problem::Bad { name: name.to_owned(), value, why: why.to_owned() });
    }

    /// Whether everything was there and sound.
    ///
    /// # Errors
    /// Every problem met.
    pub fn finish(self) -> Result<(), Error> {
        if self.problems.is_empty() { Ok(()) } else { Err(Error(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_variable_is_named_at_once() {
        let mut reader = Reader::new(|name| match name {
            "HORIZON" => Some("soon".to_owned()),
            "KEYS" => Some("{".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        });
        reader.required("STREAM", "the name of the stream");
        reader.required("EMPTY", "something");
        assert_eq!(reader.number("HORIZON", 900u64, 60..=86_400), 900);
        let _: Vec<String> = reader.json("KEYS");
        let text = reader.finish().unwrap_err().to_string();
        for part in [
            "STREAM is not set: the name of the stream",
            "EMPTY is not set",
            "HORIZON is `soon`: give a number from 60 to 86400, or leave it out for 900",
            "KEYS is `{`: invalid type",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
