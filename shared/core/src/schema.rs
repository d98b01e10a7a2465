//! Which version of its type's schema an event has, and which ones a consumer group understands.
//!
//! The edge judges an event by a schema and says on the event which one it was, and from which version on readers can read
//! it. A consumer group therefore asks no registry: what is on the event and what the group declares is enough.

use std::fmt;
use std::ops::RangeInclusive;

use crate::event::{Event, ExtensionValue};

/// The extension attribute with the version that the edge judged the data by.
pub const SCHEMA_VERSION: &str = "schemaversion";
/// The extension attribute with the earliest version whose readers can read it.
pub const SCHEMA_READABLE: &str = "schemareadable";

/// How many of these the edge adds at most.
pub const EXTENSIONS: usize = 2;

/// What the edge has found of an event's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The version of its type's schema that it is valid under.
    pub version: u32,
    /// The earliest version whose readers can read it.
    pub readable_from: u32,
}

impl Judged {
    /// Whether an earlier version's readers can read it.
    fn is_readable_earlier(self) -> bool {
        self.readable_from != self.version
    }
}

/// As it is written into an event's JSON.
impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_readable_earlier() {
            write!(f, r#","{SCHEMA_READABLE}":{}"#, self.readable_from)?;
        }
        write!(f, r#","{SCHEMA_VERSION}":{}"#, self.version)
    }
}

impl Event {
    /// What the edge has found of the data; `None` if it has no schema of it.
    pub fn judged(&self) -> Option<Judged> {
        let number = |name: &str| match self.extension(name)? {
            ExtensionValue::Integer(number) => u32::try_from(*number).ok(),
            ExtensionValue::String(_) | ExtensionValue::Boolean(_) => None,
        };
        let version = number(SCHEMA_VERSION)?;
        Some(Judged { version, readable_from: number(SCHEMA_READABLE).unwrap_or(version) })
    }

    /// Says what was found, or that nothing was. What a sender has said of it is overwritten: the server says it.
    pub fn set_judged(&mut self, judged: Option<Judged>) {
        let number = |number: u32| i32::try_from(number).ok().map(ExtensionValue::Integer);
        self.set_extension(SCHEMA_VERSION, judged.and_then(|judged| number(judged.version)));
        let readable = judged.filter(|judged| judged.is_readable_earlier());
        self.set_extension(SCHEMA_READABLE, readable.and_then(|judged| number(judged.readable_from)));
    }
}

/// The versions that a consumer group understands. `const` and free:
///
/// ```text
/// const VERSIONS: &[(&str, RangeInclusive<u32>)] = &[("shop.order.placed", 1..=2), ("shop.order.paid", 1..=1)];
///
/// fn accepts(&self) -> Accepts {
///     Accepts::Versions(VERSIONS)
/// }
/// ```
///
/// An event of a type that is not listed, or that no schema was found for, is handed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// All versions of all types.
    Everything,
    /// Of each of these types the versions of a range.
    Versions(&'static [(&'static str, RangeInclusive<u32>)]),
}

impl Accepts {
    /// Why an event is not handed to the group: it has a version that the group does not understand, and cannot be read as one
    /// that it does.
    pub fn refuses(self, event: &Event) -> Option<String> {
        let Self::Versions(types) = self else { return None };
        let (kind, versions) = types.iter().find(|(kind, _)| *kind == event.kind())?;
        let Judged { version, readable_from } = event.judged()?;
        if Self::reads(versions, version, readable_from) {
            return None;
        }
        let (from, to) = (versions.start(), versions.end());
        Some(format!("`{kind}` has version {version} here; this group understands {from} to {to}"))
    }

    /// Whether a group that understands `versions` can read a version: it is one of them, or may be read as one of them.
    pub fn reads(versions: &RangeInclusive<u32>, version: u32, readable_from: u32) -> bool {
        versions.contains(&version) || (version > *versions.end() && readable_from <= *versions.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    const VERSIONS: &[(&str, RangeInclusive<u32>)] = &[("t", 2..=3)];

    fn event(kind: &str, judged: Option<Judged>) -> Event {
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"{kind}","schemaversion":9}}"#);
        let mut event = Event::from_json(&text, &Limits::DEFAULT).unwrap();
        event.set_judged(judged);
        event
    }

    #[test]
    fn what_the_edge_says_is_on_the_event_and_what_a_sender_says_is_not() {
        let judged = Judged { version: 3, readable_from: 1 };
        let stored = event("t", Some(judged)).to_json();
        assert!(stored.contains(r#","schemareadable":1,"schemaversion":3"#), "{stored}");
        assert!(stored.contains(&judged.to_string()), "{stored}");
        assert_eq!(Event::from_json(&stored, &Limits::DEFAULT).unwrap().judged(), Some(judged));
        assert_eq!(event("t", None).judged(), None);
        let alone = Some(Judged { version: 2, readable_from: 2 });
        assert_eq!(event("t", alone).judged(), alone);
    }

    #[test]
    fn a_group_is_handed_what_it_understands_or_can_read_as_such() {
        let refuses = |version, readable_from| {
            Accepts::Versions(VERSIONS).refuses(&event("t", Some(Judged { version, readable_from }))).is_some()
        };
        assert!(!refuses(2, 2) && !refuses(3, 1));
        assert!(!refuses(4, 3) && !refuses(5, 1), "read as 3");
        assert!(refuses(4, 4) && refuses(1, 1));
        assert_eq!(Accepts::Versions(VERSIONS).refuses(&event("t", None)), None);
        let other = event("u", Some(Judged { version: 9, readable_from: 9 }));
        assert_eq!(Accepts::Versions(VERSIONS).refuses(&other), None);
        assert_eq!(Accepts::Everything.refuses(&event("t", Some(Judged { version: 9, readable_from: 9 }))), None);
    }
}
