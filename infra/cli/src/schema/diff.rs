//! `penstock schema diff`: what changes between two schemas, and whose readers it breaks.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use penstock_schema::compare::{Comparison, Effect};
use penstock_schema::policy::{Compatibility, Readers};
use penstock_schema::{Policy, Schema, SchemaId, TypeName, name};
use serde_json::json;

use super::told::{self, Names};
use super::{At, FINE, REFUSED, UNKNOWN};
use crate::terminal::{self, say};

/// Options of `penstock schema diff`.
///
/// Backward: readers of B read what is valid under A. Forward: readers of A read what is valid under B. The exit code is 0
/// when both hold, 1 when one does not, 2 when it could not be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The earlier schema: a file, or a version in the folder, as `shop.order.placed:1`
    a: String,
    /// The later one
    b: String,
    /// The folder of `type:version`; without it, events/schemas of this project
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How consumers read members that their schema does not name: `tolerant` ones pass over them, `strict` ones refuse them
    /// where the schema does. Without it, as the policy beside B says
    #[arg(long, value_enum)]
    readers: Option<Reading>,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

/// How consumers read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Reading {
    Tolerant,
    Strict,
}

/// Prints the comparison.
pub(super) fn run(options: &Options) -> anyhow::Result<u8> {
    let (old, _) = read(&options.a, options)?;
    let (new, beside) = read(&options.b, options)?;
    let readers = match options.readers {
        Some(Reading::Tolerant) => Readers::Tolerant,
        Some(Reading::Strict) => Readers::Strict,
        None => beside.readers,
    };
    let found = Comparison::of(&old, &new, readers);
    if options.json {
        let mut told = told::comparison_json(&found);
        told["readers"] = json!(readers);
        told["satisfies"] = json!(satisfied(&found));
        say(&terminal::json(&told)?);
    } else {
        let names = Names { old: options.a.clone(), new: options.b.clone() };
        super::show(&lines(&found, &names, readers));
    }
    Ok(code(&found))
}

pub(super) fn code(found: &Comparison) -> u8 {
    let both = [&found.whole.backward, &found.whole.forward];
    if both.iter().any(|effect| matches!(effect, Effect::Breaks(_))) {
        REFUSED
    } else if both.contains(&&Effect::CannotTell) {
        UNKNOWN
    } else {
        FINE
    }
}

pub(super) fn lines(found: &Comparison, names: &Names, readers: Readers) -> Vec<String> {
    let mut lines = told::comparison(found, names);
    let readers = match readers {
        Readers::Tolerant => "readers pass over members that they do not know",
        Readers::Strict => "readers refuse members where their schema does",
    };
    let satisfied: Vec<_> = satisfied(found).into_iter().map(Compatibility::as_str).collect();
    lines.push(format!("It would satisfy {} ({readers}).", satisfied.join(", ")));
    lines
}

/// The policies that allow it between these two.
fn satisfied(found: &Comparison) -> Vec<Compatibility> {
    let all = [Compatibility::None, Compatibility::Backward, Compatibility::Forward, Compatibility::Full];
    let fits = |compatibility: &Compatibility| {
        found.whole.breaches(&Policy { compatibility: *compatibility, ..Policy::default() }).is_empty()
    };
    all.into_iter().filter(fits).collect()
}

/// A schema, and the policy beside it.
fn read(text: &str, options: &Options) -> anyhow::Result<(Schema, Policy)> {
    let file = match version_of(text) {
        Some(id) if !Path::new(text).exists() => {
            let folder = At { folder: options.folder.clone() }.path()?;
            folder.join(id.kind.as_str()).join(format!("{}.json", id.version))
        }
        _ => PathBuf::from(text),
    };
    let content = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let schema = Schema::parse(id_of(&file, &content), &content);
    let schema = match schema {
        Ok(schema) => schema,
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(|problem| format!("  {problem}")).collect();
            bail!("{} is no schema that could be published:\n{}", file.display(), problems.join("\n"));
        }
    };
    let policy = file.with_file_name(penstock_admin::schemas::POLICY);
    let policy = match std::fs::read_to_string(&policy) {
        Ok(text) => Policy::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", policy.display()))?,
        Err(_) => Policy::default(),
    };
    Ok((schema, policy))
}

fn version_of(text: &str) -> Option<SchemaId> {
    let (kind, version) = text.rsplit_once(':')?;
    Some(SchemaId { kind: kind.parse().ok()?, version: name::version(version).ok()? })
}

/// What a file is to be called: by its `$id`, or by its place; a comparison does not depend on it.
fn id_of(file: &Path, content: &str) -> SchemaId {
    let own = serde_json::from_str::<serde_json::Value>(content).ok();
    let own = own.and_then(|schema| schema.get("$id")?.as_str()?.parse().ok());
    let placed = || {
        let kind = file.parent()?.file_name()?.to_str()?.parse::<TypeName>().ok()?;
        Some(SchemaId { kind, version: name::version(file.file_stem()?.to_str()?).ok()? })
    };
    let any = || SchemaId { kind: "a".parse().unwrap_or_else(|_| unreachable!("it is a name")), version: 1 };
    own.or_else(placed).unwrap_or_else(any)
}
