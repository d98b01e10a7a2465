//! The versions of a type, and what may follow them.

use std::collections::BTreeMap;
use std::fmt;

use crate::compare::{Comparison, Direction, Effect, Effects, is_readable};
use crate::name::{TypeName, Version};
use crate::policy::Policy;
use crate::schema::Schema;

/// The versions of one type, from 1 without a gap. None is ever changed or taken away.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    kind: TypeName,
    /// What holds for them.
    pub policy: Policy,
    versions: Vec<Entry>,
}

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its schema.
    pub schema: Schema,
    /// The earliest version whose readers can read what is valid under this one; with all between them they can too.
    pub readable_from: Version,
}

/// Why a version cannot follow.
#[derive(Debug, Clone, PartialEq)]
pub enum Refused {
    /// It is there already, and was another text.
    Changed(Version),
    /// It leaves out the one that comes next.
    Skips {
        /// The version.
        version: Version,
        /// The one that would come next.
        next: Version,
    },
    /// It breaks what the policy asks for.
    Breaks(Vec<Breach>),
}

/// A promise to readers that a version would break.
#[derive(Debug, Clone, PartialEq)]
pub struct Breach {
    /// The earlier version.
    pub with: Version,
    /// Whose readers.
    pub direction: Direction,
    /// How.
    pub effect: Effect,
    /// All that differs between the two.
    pub comparison: Comparison,
}

/// What a version would be to a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is in it, with the same bytes.
    There,
    /// It comes next.
    Next {
        /// As in [`Entry::readable_from`].
        readable_from: Version,
    },
}

impl History {
    /// A type without versions.
    pub fn new(kind: TypeName, policy: Policy) -> Self {
        Self { kind, policy, versions: Vec::new() }
    }

    /// The type.
    pub fn kind(&self) -> &TypeName {
        &self.kind
    }

    /// The last version; 0 before the first.
    pub fn latest(&self) -> Version {
        Version::try_from(self.versions.len()).unwrap_or(Version::MAX)
    }

    /// A version.
    pub fn get(&self, version: Version) -> Option<&Entry> {
        self.versions.get(usize::try_from(version.checked_sub(1)?).ok()?)
    }

    /// All of them, from the first.
    pub fn versions(&self) -> impl Iterator<Item = (Version, &Entry)> {
        (1..).zip(&self.versions)
    }

    /// Whether `schema` may follow.
    ///
    /// # Errors
    /// When it may not.
    pub fn judge(&self, schema: &Schema) -> Result<Step, Refused> {
        let (version, next) = (schema.id().version, self.latest() + 1);
        if let Some(there) = self.get(version) {
            return match there.schema.text() == schema.text() {
                true => Ok(Step::There),
                false => Err(Refused::Changed(version)),
            };
        }
        if version != next {
            return Err(Refused::Skips { version, next });
        }
        let compared: Vec<(Version, &Entry)> = match self.policy.compatibility.is_transitive() {
            true => self.versions().collect(),
            false => self.versions().last().into_iter().collect(),
        };
        let mut breaches = Vec::new();
        for (with, earlier) in compared {
            let effects = Effects::between(&earlier.schema, schema, self.policy.readers);
            if effects.breaches(&self.policy).is_empty() {
                continue;
            }
            // what each change does alone is asked where somebody has to look at it
            let comparison = Comparison::of(&earlier.schema, schema, self.policy.readers);
            let broken = effects.breaches(&self.policy).into_iter();
            let broken = broken.map(|(direction, effect)| Breach {
                with,
                direction,
                effect: effect.clone(),
                comparison: comparison.clone(),
            });
            breaches.extend(broken.collect::<Vec<_>>());
        }
        if !breaches.is_empty() {
            return Err(Refused::Breaks(breaches));
        }
        let readable = |entry: &&Entry| is_readable(schema, &entry.schema, self.policy.readers);
        let before = self.versions.iter().rev().take_while(readable).count();
        let readable_from = version - Version::try_from(before).unwrap_or(0);
        Ok(Step::Next { readable_from })
    }

    /// Lets `schema` follow, if it may.
    ///
    /// # Errors
    /// When it may not; nothing has changed.
    pub fn push(&mut self, schema: Schema) -> Result<Step, Refused> {
        let step = self.judge(&schema)?;
        if let Step::Next { readable_from } = step {
            self.versions.push(Entry { schema, readable_from });
        }
        Ok(step)
    }

    /// Adds a version that was judged when it was published. Out of its order it is left out.
    pub fn restore(&mut self, schema: Schema, readable_from: Version) {
        if schema.id().version == self.latest() + 1 {
            self.versions.push(Entry { schema, readable_from });
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(version) => {
                write!(f, "version {version} is there with other bytes: a version is never changed, add the next one")
            }
            Self::Skips { version, next } => write!(f, "version {version} would leave out {next}, which comes next"),
            Self::Breaks(breaches) => {
                for (number, breach) in breaches.iter().enumerate() {
                    let line = if number == 0 { "" } else { "\n" };
                    write!(f, "{line}{breach}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { with, direction, effect, .. } = self;
        match direction {
            Direction::Backward => write!(f, "not backward compatible with version {with}: ")?,
            Direction::Forward => write!(f, "not forward compatible with version {with}: ")?,
        }
        let (readers, written) = match direction {
            Direction::Backward => ("its readers", format!("what was valid under version {with}")),
            Direction::Forward => ("readers of that version", "what is valid now".to_owned()),
        };
        match effect {
            Effect::Breaks(document) => write!(f, "{readers} cannot read {document}"),
            _ => write!(f, "it could not be shown that {readers} can read {written}"),
        }
    }
}

/// Types, by name.
pub type Catalogue = BTreeMap<TypeName, History>;

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(version: Version, text: &str) -> Schema {
        Schema::parse(crate::SchemaId { kind: "a".parse().unwrap(), version }, text).unwrap()
    }

    fn history(compatibility: &str) -> History {
        let policy = Policy::parse(&format!(r#"{{"compatibility":"{compatibility}"}}"#)).unwrap();
        History::new("a".parse().unwrap(), policy)
    }

    #[test]
    fn versions_follow_each_other_and_are_never_changed() {
        let mut history = history("BACKWARD");
        let one = r#"{"properties":{"a":{"type":"integer"}}}"#;
        assert_eq!(history.push(schema(2, one)), Err(Refused::Skips { version: 2, next: 1 }));
        assert_eq!(history.push(schema(1, one)), Ok(Step::Next { readable_from: 1 }));
        assert_eq!(history.push(schema(1, one)), Ok(Step::There));
        assert_eq!(history.push(schema(1, "{}")), Err(Refused::Changed(1)));
        assert_eq!(
            history.push(schema(2, r#"{"properties":{"a":{"type":"number"}}}"#)),
            Ok(Step::Next { readable_from: 2 })
        );
        let Err(refused) = history.push(schema(3, one)) else { panic!("it narrows") };
        let told = refused.to_string();
        assert!(told.starts_with("not backward compatible with version 2: its readers cannot read {\"a\":"), "{told}");
        assert_eq!(history.latest(), 2);
    }

    #[test]
    fn a_removed_member_comes_back_with_another_type_only_if_nobody_asks_for_all_versions() {
        let texts = [
            r#"{"properties":{"a":{"type":"integer"}},"additionalProperties":false}"#,
            r#"{"additionalProperties":false}"#,
            r#"{"properties":{"a":{"type":"string"}},"additionalProperties":false}"#,
        ];
        for (compatibility, taken) in [("FULL", true), ("FULL_TRANSITIVE", false)] {
            let mut history = history(compatibility);
            let ends: Vec<_> = (1..).zip(texts).map(|(version, text)| history.push(schema(version, text))).collect();
            assert!(ends[0].is_ok() && ends[1].is_ok(), "{ends:?}");
            assert_eq!(ends[2].is_ok(), taken, "{ends:?}");
            if taken {
                assert_eq!(ends[2], Ok(Step::Next { readable_from: 2 }), "readers of 1 want a number");
            }
        }
    }
}
