//! A folder of schemas: `<type>/<version>.json`, and `<type>/policy.json` beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use penstock_schema::history::{Refused, Step};
use penstock_schema::{History, Policy, Problem, Schema, SchemaId, TypeName, Version, lint, name};
use serde::Serialize;

/// What the policy of a type is called.
pub const POLICY: &str = "policy.json";

/// What may lie beside schemas.
const BESIDE: &str = "README.md";

/// Something that is wrong in a folder, or may be meant otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The file, from the folder on.
    pub file: String,
    /// Where in it, as a JSON pointer; empty for all of it.
    pub pointer: String,
    /// What, and how to mend it.
    pub text: String,
}

impl Fault {
    fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), pointer: String::new(), text: text.into() }
    }

    fn of(file: &str, Problem { pointer, text }: Problem) -> Self {
        Self { file: file.to_owned(), pointer, text }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, pointer, text } = self;
        if pointer.is_empty() { write!(f, "{file}: {text}") } else { write!(f, "{file}: {pointer}: {text}") }
    }
}

/// One type of a folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InFolder {
    /// What holds for it; the default if nothing is written.
    pub policy: Policy,
    /// Its versions, as far as they can be read.
    pub versions: BTreeMap<Version, Schema>,
    /// The versions that have a file, whether it can be read or not.
    pub files: BTreeSet<Version>,
}

/// What a folder has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Folder {
    /// Its types.
    pub types: BTreeMap<TypeName, InFolder>,
    /// Everything that is wrong. Where there is something, [`types`](Self::types) lacks it.
    pub faults: Vec<Fault>,
    /// What may be meant otherwise.
    pub warnings: Vec<Fault>,
}

/// A version of a folder, judged by those before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Which one.
    pub id: SchemaId,
    /// What it would be to its history.
    pub step: Result<Step, Refused>,
}

impl Folder {
    /// Reads a folder. What is wrong in it is no error, but told with the rest.
    ///
    /// # Errors
    /// When there is no such folder, or it cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for (name, path) in entries(folder)? {
            if !path.is_dir() {
                if name != BESIDE {
                    let text = format!(
                        "is not the folder of a type; schemas are in `<type>/<version>.json`, {BESIDE} may be beside"
                    );
                    found.faults.push(Fault::new(name, text));
                }
                continue;
            }
            match name.parse::<TypeName>() {
                Ok(kind) => found.read_type(kind, &path)?,
                Err(error) => found.faults.push(Fault::new(name, error.to_string())),
            }
        }
        found.faults.sort();
        found.warnings.sort();
        Ok(found)
    }

    fn read_type(&mut self, kind: TypeName, folder: &Path) -> io::Result<()> {
        let mut read = InFolder::default();
        for (entry, path) in entries(folder)? {
            let file = format!("{kind}/{entry}");
            if entry == BESIDE {
                continue;
            }
            let Some(stem) = entry.strip_suffix(".json").filter(|_| !path.is_dir()) else {
                let text = format!("is neither a version, as in `1.json`, nor `{POLICY}`");
                self.faults.push(Fault::new(file, text));
                continue;
            };
            let version = match (entry == POLICY, name::version(stem)) {
                (true, _) => None,
                (false, Ok(version)) => Some(version),
                (false, Err(error)) => {
                    self.faults.push(Fault::new(file, error.to_string()));
                    continue;
                }
            };
            read.files.extend(version);
            let text = match text_of(&path) {
                Ok(text) => text,
                Err(fault) => {
                    self.faults.push(Fault::new(file, fault));
                    continue;
                }
            };
            let Some(version) = version else {
                match Policy::parse(&text) {
                    Ok(policy) => read.policy = policy,
                    Err(error) => self.faults.push(Fault::new(file, error)),
                }
                continue;
            };
            match Schema::parse(SchemaId { kind: kind.clone(), version }, &text) {
                Ok(schema) => {
                    self.warnings.extend(schema.warnings().iter().map(|problem| Fault::of(&file, problem.clone())));
                    read.versions.insert(version, schema);
                }
                Err(problems) => self.faults.extend(problems.into_iter().map(|problem| Fault::of(&file, problem))),
            }
        }
        let gap = (1..).zip(&read.files).find(|(expected, version)| expected != *version);
        if let Some((missing, version)) = gap {
            let text = format!("is missing, and there is a version {version}; versions go from 1 without a gap");
            self.faults.push(Fault::new(file_of(&kind, missing), text));
        }
        if read.files.is_empty() {
            self.faults.push(Fault::new(kind.as_str(), "has no version; the first one is `1.json`"));
        }
        self.types.insert(kind, read);
        Ok(())
    }

    /// Judges each version by those before it, as the policy of its type wants it. One that is refused is among those before
    /// the next one all the same, so that each is told of its own faults.
    pub fn judge(&self) -> Vec<Judged> {
        let mut judged = Vec::new();
        for (kind, InFolder { policy, versions, .. }) in &self.types {
            let mut history = History::new(kind.clone(), policy.clone());
            for (version, schema) in versions {
                // what cannot be read was told; those behind the gap cannot be judged
                if *version != history.latest() + 1 {
                    break;
                }
                let step = history.push(schema.clone());
                if step.is_err() {
                    history.restore(schema.clone(), *version);
                }
                judged.push(Judged { id: schema.id().clone(), step });
            }
        }
        judged
    }

    /// A version.
    pub fn get(&self, id: &SchemaId) -> Option<&Schema> {
        self.types.get(&id.kind)?.versions.get(&id.version)
    }

    /// Whether a version has a file, be it one that cannot be read.
    pub fn has(&self, id: &SchemaId) -> bool {
        self.types.get(&id.kind).is_some_and(|kind| kind.files.contains(&id.version))
    }
}

/// The file of a version, from the folder on.
pub fn file_of(kind: &TypeName, version: Version) -> String {
    format!("{kind}/{version}.json")
}

/// What is in a folder, by name. Hidden files are nobody's business.
fn entries(folder: &Path) -> io::Result<BTreeMap<String, std::path::PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.insert(name, path);
        }
    }
    Ok(found)
}

/// A file's text, or why it can be no schema's.
fn text_of(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let about = std::fs::metadata(path).map_err(unreadable)?;
    // a device or a pipe may have no end
    if !about.is_file() {
        return Err("is no regular file".to_owned());
    }
    let most = lint::BYTES_MAX as u64;
    let mut bytes = Vec::new();
    // one more than there may be: the file may grow meanwhile
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(format!("{} bytes; it has {most} at most", about.len().max(most + 1)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is not UTF-8 from byte {at} on: save it as UTF-8")
    })
}
