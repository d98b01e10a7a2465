//! What a group's function says of itself when it is asked, in place of handling anything.

use std::collections::BTreeMap;
use std::io::Write;

use penstock::Accepts;
use serde::{Deserialize, Serialize};

/// A function that has this variable prints its [`Description`] as one line of JSON and ends. It needs no other variable.
pub const DESCRIBE: &str = "PENSTOCK_DESCRIBE";

/// What a group's function says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Types, and the first and the last version of each that the group understands; `None` if it takes all.
    pub accepts: Option<BTreeMap<String, (u32, u32)>>,
}

impl Description {
    pub(super) fn of(accepts: Accepts) -> Self {
        let accepts = match accepts {
            Accepts::Everything => None,
            Accepts::Versions(types) => {
                Some(types.iter().map(|(kind, range)| ((*kind).to_owned(), (*range.start(), *range.end()))).collect())
            }
        };
        Self { accepts }
    }

    pub(super) fn print(&self) -> Result<(), lambda_runtime::Error> {
        let line = serde_json::to_string(self)?;
        writeln!(std::io::stdout(), "{line}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_accepts_is_read_as_it_is_written() {
        let some = Description::of(Accepts::Versions(&[("a.b", 1..=2)]));
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(text, r#"{"accepts":{"a.b":[1,2]}}"#);
        assert_eq!(serde_json::from_str::<Description>(&text).unwrap(), some);
        assert_eq!(serde_json::to_string(&Description::of(Accepts::Everything)).unwrap(), r#"{"accepts":null}"#);
    }
}
