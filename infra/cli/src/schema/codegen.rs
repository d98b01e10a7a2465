//! `penstock schema codegen`: the types of a folder of schemas as one Rust file.

mod keywords;
mod types;
mod view;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use penstock_admin::schemas::{Folder, file_of};
use penstock_schema::{TypeName, Version};

use super::{At, FINE, REFUSED};
use crate::terminal::{complain, harmless_lines, many, note};

/// What the file begins with.
const HEADER: &str = include_str!("codegen/header.rs.in");

/// What reads integers, in a file that has some.
const WHOLE_NUMBERS: &str = include_str!("codegen/whole_numbers.rs.in");

/// Options of `penstock schema codegen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    folder: At,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write nothing; say whether the file is what would be written
    #[arg(long)]
    check: bool,
}

/// Writes the file, or compares it.
pub(super) fn run(options: &Options) -> anyhow::Result<u8> {
    let (path, found) = options.folder.read()?;
    if let [first, rest @ ..] = found.faults.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        bail!("{}/{first}{more}; `penstock schema lint` shows all", path.display());
    }
    let written = Written::of(&found)?;
    for line in &written.untyped {
        note(&harmless_lines(&format!("{}/{line}", path.display())));
    }
    let out = options.out.display();
    let before = match std::fs::read_to_string(&options.out) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {out}")),
    };
    // as git may have it on Windows
    let is_current = before.is_some_and(|text| text.replace("\r\n", "\n") == written.text);
    let types = many(found.types.len(), "type");
    if is_current {
        note(&format!("{out} is current: {types}"));
    } else if options.check {
        complain(&format!("{out} is out of date: run `penstock schema codegen {} --out {out}`", path.display()));
        return Ok(REFUSED);
    } else {
        std::fs::write(&options.out, &written.text).with_context(|| format!("cannot write {out}"))?;
        note(&format!("{out} written: {types}"));
    }
    Ok(FINE)
}

/// A file of types.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) text: String,
    /// What has no type: a line for each place, which begins with its file.
    pub(super) untyped: Vec<String>,
}

impl Written {
    /// The types of a folder.
    ///
    /// # Errors
    /// When two types would have one name in Rust, or a schema gives no type at all.
    pub(super) fn of(found: &Folder) -> anyhow::Result<Self> {
        let mut modules = BTreeMap::new();
        let (mut untyped, mut has_integers) = (Vec::new(), false);
        for (kind, in_folder) in &found.types {
            let mut text = String::new();
            for (version, schema) in &in_folder.versions {
                let file = file_of(kind, *version);
                let made = types::of(schema.value()).map_err(|why| {
                    anyhow!(
                        "{file}: no Rust type can be made of it ({why}); write the data type of this version by hand"
                    )
                })?;
                has_integers |= made.has_integers;
                untyped.extend(made.untyped.iter().map(|(pointer, why)| match pointer.as_str() {
                    "" => format!("{file}: warning: no type for all of it: {why}"),
                    pointer => format!("{file}: {pointer}: warning: no type for all of it: {why}"),
                }));
                let types = prettyplease::unparse(&syn::File { shebang: None, attrs: Vec::new(), items: made.items });
                version_module(&mut text, kind, *version, &schema.id().to_string(), &types);
            }
            if let Some(latest) = in_folder.versions.keys().last() {
                let _ = writeln!(text, "pub use v{latest} as latest;");
            }
            let name = module_name(kind);
            let text = format!(
                "/// Events of the type `{kind}`.\npub mod {name} {{\n/// What they are called.\npub const TYPE: &str = {:?};\n{text}}}\n",
                kind.as_str()
            );
            if let Some((other, _)) = modules.insert(name.clone(), (kind, text)) {
                bail!(
                    "the types `{other}` and `{kind}` would both be the module `{name}`; generate them from two folders"
                );
            }
        }
        let mut text = HEADER.to_owned();
        for (_, module) in modules.values() {
            let file = syn::parse_file(module).context("what was generated is no Rust")?;
            text.push('\n');
            text.push_str(&spaced(&prettyplease::unparse(&file)));
        }
        if has_integers {
            text.push('\n');
            text.push_str(WHOLE_NUMBERS);
        }
        Ok(Self { text, untyped })
    }
}

/// Rust with an empty line after each item that has others behind it.
fn spaced(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let mut spaced = String::new();
    for (index, line) in lines.iter().enumerate() {
        spaced.push_str(line);
        spaced.push('\n');
        let trimmed = line.trim_start();
        let is_statement = trimmed.ends_with(';')
            && ["pub const ", "pub struct ", "use "].iter().any(|word| trimmed.starts_with(word));
        let ends = trimmed == "}" || is_statement;
        if ends && lines.get(index + 1).is_some_and(|next| next.trim_start() != "}") {
            spaced.push('\n');
        }
    }
    spaced
}

fn version_module(text: &mut String, kind: &TypeName, version: Version, id: &str, types: &str) {
    let _ = writeln!(
        text,
        "/// Version {version} of `{kind}`.\npub mod v{version} {{\nuse serde::{{Deserialize, Serialize}};\n/// Its `dataschema`.\npub const SCHEMA: &str = {id:?};\n{types}}}"
    );
}

/// What the module of a type is called.
fn module_name(kind: &TypeName) -> String {
    let name = kind.as_str().replace(['.', '-'], "_");
    let is_free = name != "whole_numbers" && syn::parse_str::<syn::Ident>(&name).is_ok();
    if is_free { name } else { format!("type_{name}") }
}

#[cfg(test)]
mod tests;
