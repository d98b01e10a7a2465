//! The files that a group is written from: those of one called `order-receipts`, with its name replaced.
//!
//! rustfmt finds nothing to change in them, however long the name is: no line breaks because of it, and none is sorted by it.

use std::path::PathBuf;

use anyhow::bail;

use super::kind::Kind;
use super::name::Name;

const PACKAGE: &str = include_str!("Cargo.toml.in");
const HANDLER: &str = include_str!("handler/lib.rs.in");
const HANDLER_MAIN: &str = include_str!("handler/main.rs.in");
const PROJECTION: &str = include_str!("projection/lib.rs.in");
const PROJECTION_MAIN: &str = include_str!("projection/main.rs.in");

/// `text` as the group called `name` has it.
pub(super) fn named(text: &str, name: &Name) -> String {
    text.replace("order-receipts", name.kebab())
        .replace("order_receipts", &name.snake())
        .replace("OrderReceipts", &name.logical())
}

fn of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Handler => (HANDLER, HANDLER_MAIN),
        Kind::Projection => (PROJECTION, PROJECTION_MAIN),
    }
}

/// The files of a group's folder.
pub(super) fn files(name: &Name, kind: Kind) -> Vec<(PathBuf, String)> {
    let (lib, main) = of(kind);
    let files = [("Cargo.toml", kind.pick(PACKAGE)), ("src/lib.rs", lib.to_owned()), ("src/main.rs", main.to_owned())];
    files.map(|(path, text)| (path.into(), named(&text, name))).to_vec()
}

/// Refuses a name whose type would hide another that the code speaks of: `event`, for example.
pub(super) fn refuse_spoken_for(name: &Name, kind: Kind) -> anyhow::Result<()> {
    let logical = name.logical();
    let (lib, _) = of(kind);
    let mut words = lib.split(|c: char| !c.is_alphanumeric() && c != '_');
    if logical != "OrderReceipts" && words.any(|word| word == logical) {
        bail!("`{}` would call its type `{logical}`, which its code has another of", name.kebab());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// What rustfmt says of it.
    fn formatted(source: &str) -> String {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut rustfmt = Command::new("rustfmt")
            .args(["--check", "--edition", "2024", "--config-path"])
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        rustfmt.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
        String::from_utf8(rustfmt.wait_with_output().unwrap().stdout).unwrap()
    }

    #[test]
    fn the_code_is_formatted_whatever_the_name() {
        for name in ["a", "order-receipts", &"z".repeat(super::super::name::CHARACTERS_MAX)] {
            for kind in [Kind::Handler, Kind::Projection] {
                for (path, text) in files(&Name::parse(name).unwrap(), kind) {
                    if path.extension().is_some_and(|extension| extension == "rs") {
                        assert_eq!(formatted(&text), "", "{name}: {kind}: {}", path.display());
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_left_of_the_name_that_it_was_written_with() {
        let name = Name::parse("totals").unwrap();
        for kind in [Kind::Handler, Kind::Projection] {
            for (path, text) in files(&name, kind) {
                assert!(!text.to_lowercase().contains("receipts"), "{}: {text}", path.display());
                assert!(!text.contains("#handler") && !text.contains("#projection"), "{text}");
            }
        }
    }

    #[test]
    fn a_type_that_would_hide_another_is_refused() {
        for (name, kind) in [("event", Kind::Handler), ("failure", Kind::Handler), ("known", Kind::Projection)] {
            let error = refuse_spoken_for(&Name::parse(name).unwrap(), kind).unwrap_err().to_string();
            assert!(error.contains("which its code has another of"), "{error}");
        }
    }
}
