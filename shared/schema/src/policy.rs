//! What holds for the versions of a type: `policy.json` beside them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json;

/// Which versions have to understand each other.
///
/// *Backward*: what was valid under an earlier version is valid for readers of this one, so that consumers can be upgraded
/// first. *Forward*: what is valid under this version is valid for readers of an earlier one, so that producers can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compatibility {
    /// Anything goes.
    None,
    /// Backward with the version before.
    #[default]
    Backward,
    /// Forward with the version before.
    Forward,
    /// Both with the version before.
    Full,
    /// Backward with all versions before.
    BackwardTransitive,
    /// Forward with all versions before.
    ForwardTransitive,
    /// Both with all versions before.
    FullTransitive,
}

impl Compatibility {
    /// Whether readers of a version have to understand what was valid before it.
    pub fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether readers of a version before have to understand what is valid now.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether that goes for all versions before, and not only for the last one.
    pub fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// Whether something that this asks for is not asked for by `other`.
    pub fn asks_more_than(self, other: Self) -> bool {
        (self.is_backward() && !other.is_backward())
            || (self.is_forward() && !other.is_forward())
            || (self.is_transitive() && !other.is_transitive())
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::Forward => "FORWARD",
            Self::Full => "FULL",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How consumers read members that their version does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readers {
    /// They pass over them, as serde does: `additionalProperties: false` holds at the edge, and not for them.
    #[default]
    Tolerant,
    /// They refuse them where the schema does.
    Strict,
}

/// What becomes of an event that names a version that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Undeclared {
    /// The edge refuses it.
    #[default]
    Reject,
    /// It passes, and nothing is checked.
    Pass,
}

/// What holds for the versions of a type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Which versions have to understand each other. [`Compatibility::Backward`] unless it is written.
    #[serde(default)]
    pub compatibility: Compatibility,
    /// How consumers read what they do not know.
    #[serde(default)]
    pub readers: Readers,
    /// What becomes of events that name a version that is not there.
    #[serde(default)]
    pub undeclared_versions: Undeclared,
    /// JSON pointer into `data` to what order is kept by, unless an event says it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<String>,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Policy {
    /// Reads `policy.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let members = json::parse(text)?;
        if !members.is_object() {
            return Err("a policy is a JSON object".to_owned());
        }
        let policy: Self = serde_json::from_value(members).map_err(|error| error.to_string())?;
        if let Some(pointer) = policy.partition_key.as_deref().filter(|pointer| !is_pointer(pointer)) {
            return Err(format!(
                "`partition_key` is `{}`, and no JSON pointer: it begins with `/`, `~` is written `~0`, and `/` in a name `~1`",
                pointer.escape_default()
            ));
        }
        Ok(policy)
    }
}

/// <https://www.rfc-editor.org/rfc/rfc6901#section-3>
fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_strictly() {
        let policy = Policy::parse(r#"{"compatibility":"FULL_TRANSITIVE","partition_key":"/order_id"}"#).unwrap();
        assert!(policy.compatibility.is_backward() && policy.compatibility.is_forward());
        assert!(policy.compatibility.is_transitive());
        assert_eq!((policy.readers, policy.undeclared_versions), (Readers::Tolerant, Undeclared::Reject));
        assert_eq!(Policy::parse("{}").unwrap(), Policy::default());
        for bad in [
            r#"{"compatibility":"BOTH"}"#,
            r#"{"compat":"FULL"}"#,
            r#"{"partition_key":"order_id"}"#,
            "[]",
            r#"{"partition_key":"/a/~2"}"#,
            r#"{"compatibility":"NONE","compatibility":"FULL"}"#,
        ] {
            Policy::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn a_policy_asks_more_than_another_if_it_promises_something_that_the_other_does_not() {
        use Compatibility::{Backward, BackwardTransitive, Forward, Full, FullTransitive, None};
        for (was, is) in [(FullTransitive, None), (Full, Backward), (Backward, Forward), (BackwardTransitive, Full)] {
            assert!(was.asks_more_than(is), "{was} {is}");
        }
        for (was, is) in [(None, Full), (Backward, Full), (Full, FullTransitive), (Full, Full)] {
            assert!(!was.asks_more_than(is), "{was} {is}");
        }
    }

    #[test]
    fn each_compatibility_is_written_as_it_is_read() {
        for text in
            ["NONE", "BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE"]
        {
            let read: Compatibility = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(read.to_string(), text);
        }
    }
}
