//! `penstock schema lint` and `check`: what is wrong with a folder of schemas.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use penstock_admin::schemas::{self, Fault, Folder, Judged, POLICY, file_of};
use penstock_schema::history::Refused;
use penstock_schema::registry::Registry;
use penstock_schema::{Catalogue, Policy, SchemaId, TypeName, name};
use serde_json::{Value, json};

use super::{At, FINE, REFUSED, consumers, git, told};
use crate::target::Target;
use crate::terminal::{self, harmless_lines, many, note, say};

/// Options of `penstock schema check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    folder: At,
    /// Refuse versions that have changed or are gone since this git commit, branch or tag
    #[arg(long, value_name = "REF", conflicts_with = "against_table")]
    against: Option<String>,
    /// Refuse versions that are other than those that are published, or that could not follow them
    #[arg(long)]
    against_table: bool,
    /// Only warn of a policy that asks for less than it did
    #[arg(long)]
    allow_looser: bool,
    /// Refuse versions that would reach a consumer group of the template which does not understand them: builds and asks each
    #[arg(long)]
    consumers: bool,
    /// The template, for --consumers
    #[arg(long, value_name = "FILE", default_value = "template.yaml")]
    template: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
    /// Whether a policy may ask for less than it did.
    pub(super) allows_looser: bool,
    /// Versions that were judged, with the policy that they were judged by.
    pub(super) judged: Vec<(Judged, Policy)>,
}

/// Prints what is wrong file by file.
pub(super) fn lint(folder: &At, json: bool) -> anyhow::Result<u8> {
    let (path, found) = folder.read()?;
    let count = found.types.values().map(|kind| kind.versions.len()).sum();
    let report = Report { faults: found.faults, warnings: found.warnings, ..Report::default() };
    report.print(&path, json, &format!("{} of {}", many(count, "version"), many(found.types.len(), "type")))
}

/// Prints what is wrong, version by version.
pub(super) async fn run(options: Options) -> anyhow::Result<u8> {
    let (path, found) = options.folder.read()?;
    let judged = found.judge().into_iter().map(|judged| {
        let policy = found.types.get(&judged.id.kind).map(|kind| kind.policy.clone()).unwrap_or_default();
        (judged, policy)
    });
    let allows_looser = options.allow_looser;
    let mut report = Report { judged: judged.collect(), allows_looser, ..Report::default() };
    let mut beside = String::new();
    if let Some(reference) = &options.against {
        since(&found, &git::files(&path, reference)?, reference, &mut report);
        beside = format!(" and against {reference}");
    } else if options.against_table {
        let registry = options.target.operator().await?.schemas()?;
        let index = registry.index(true).await?;
        let published = schemas::load(&registry, &index, |_| true).await?;
        beside = format!(" and against revision {} of the registry", index.revision);
        published_before(&found, &published, &mut report);
    }
    if options.consumers {
        let root = crate::project()?;
        let groups = consumers::ask(&root, &root.join(&options.template)).await?;
        consumers::compare(&found, &groups, &mut report);
        beside += &format!(", for {}", many(groups.len(), "group"));
    }
    report.faults.extend(found.faults);
    report.warnings.extend(found.warnings);
    report.faults.sort();
    report.warnings.sort();
    let checked = format!("{} checked against those before{beside}", many(report.judged.len(), "version"));
    report.print(&path, options.json, &checked)
}

fn fault(file: String, text: String) -> Fault {
    Fault { file, pointer: String::new(), text }
}

/// Compares a folder with its files at a commit, which may have been anything.
pub(super) fn since(found: &Folder, before: &BTreeMap<String, Vec<u8>>, reference: &str, report: &mut Report) {
    for (file, bytes) in before {
        let Some((kind, entry)) = file.split_once('/') else { continue };
        let Ok(kind) = kind.parse::<TypeName>() else { continue };
        if entry == POLICY {
            let policy = std::str::from_utf8(bytes).ok().and_then(|text| Policy::parse(text).ok());
            weakened(found, &kind, policy, reference, report);
            continue;
        }
        let Some(version) = entry.strip_suffix(".json").and_then(|stem| name::version(stem).ok()) else { continue };
        let id = SchemaId { kind: kind.clone(), version };
        match found.get(&id) {
            Some(schema) if schema.text().as_bytes() == bytes => {}
            Some(_) => {
                let next =
                    found.types.get(&kind).and_then(|kind| kind.versions.keys().last()).map_or(1, |last| last + 1);
                let text = format!(
                    "has changed since {reference}: a version is never changed; put it back, and add {next}.json"
                );
                report.faults.push(fault(file.clone(), text));
            }
            // a file that cannot be read is told of already
            None if found.has(&id) => {}
            None => {
                let text = format!("is gone since {reference}: a version is never taken away; put it back");
                report.faults.push(fault(file.clone(), text));
            }
        }
    }
}

/// Whether another compatibility is asked for than before. It may be, and somebody should see it.
fn weakened(found: &Folder, kind: &TypeName, before: Option<Policy>, when: &str, report: &mut Report) {
    let (Some(before), Some(now)) = (before, found.types.get(kind)) else { return };
    let (was, is) = (before.compatibility, now.policy.compatibility);
    let file = format!("{kind}/{POLICY}");
    if was.asks_more_than(is) {
        let text = format!(
            "asks for {is}; at {when} it asked for {was}: what was promised to readers holds no more. --allow-looser lets it pass"
        );
        if report.allows_looser { &mut report.warnings } else { &mut report.faults }.push(fault(file, text));
    } else if was != is {
        report.warnings.push(fault(file, format!("asks for {is}; at {when} it asked for {was}")));
    }
}

/// Compares a folder with what is published.
pub(super) fn published_before(found: &Folder, published: &Catalogue, report: &mut Report) {
    for (kind, history) in published {
        let Some(in_folder) = found.types.get(kind) else {
            let text = "is published, and not in this folder".to_owned();
            report.warnings.push(fault(kind.to_string(), text));
            continue;
        };
        weakened(found, kind, Some(history.policy.clone()), "the registry", report);
        for (version, entry) in history.versions() {
            let file = file_of(kind, version);
            match in_folder.versions.get(&version) {
                Some(schema) if schema.text() == entry.schema.text() => {}
                Some(_) => {
                    let next = history.latest() + 1;
                    let text = format!(
                        "is published with other bytes: a version is never changed; put it back, and add {next}.json"
                    );
                    report.faults.push(fault(file, text));
                }
                None if in_folder.files.contains(&version) => {}
                None => {
                    let text = "is published, and not in this folder: is it an old checkout?".to_owned();
                    report.faults.push(fault(file, text));
                }
            }
        }
    }
}

impl Report {
    fn refused(&self) -> impl Iterator<Item = (&SchemaId, &Refused, &Policy)> {
        let refused = self.judged.iter().map(|(judged, policy)| (&judged.id, judged.step.as_ref().err(), policy));
        refused.filter_map(|(id, why, policy)| Some((id, why?, policy)))
    }

    /// Prints it, and says how it ended.
    fn print(&self, folder: &Path, json: bool, looked_at: &str) -> anyhow::Result<u8> {
        if json {
            say(&terminal::json(&self.json())?);
        } else {
            super::show(&self.lines(folder));
        }
        let wrong = self.faults.len() + self.refused().count();
        let warnings = many(self.warnings.len(), "warning");
        note(&harmless_lines(&format!("{looked_at}: {}, {warnings}", many(wrong, "fault"))));
        Ok(if wrong == 0 { FINE } else { REFUSED })
    }

    pub(super) fn lines(&self, folder: &Path) -> Vec<String> {
        let at = |fault: &Fault| folder.join(&fault.file).display().to_string();
        let told = |fault: &Fault, word: &str| match fault.pointer.as_str() {
            "" => format!("{}: {word}{}", at(fault), fault.text),
            pointer => format!("{}: {pointer}: {word}{}", at(fault), fault.text),
        };
        let mut lines: Vec<_> = self.faults.iter().map(|fault| told(fault, "")).collect();
        for (id, why, policy) in self.refused() {
            let file = folder.join(file_of(&id.kind, id.version));
            lines.push(format!("{}: refused, the policy is {}", file.display(), policy.compatibility));
            lines.extend(told::refused(why, id).into_iter().map(|line| format!("  {line}")));
        }
        lines.extend(self.warnings.iter().map(|fault| told(fault, "warning: ")));
        lines
    }

    pub(super) fn json(&self) -> Value {
        let refused = self.refused().map(|(id, why, policy)| {
            let mut told = told::refused_json(why);
            told["type"] = id.kind.as_str().into();
            told["version"] = id.version.into();
            told["file"] = file_of(&id.kind, id.version).into();
            told["compatibility"] = policy.compatibility.as_str().into();
            told
        });
        json!({ "faults": self.faults, "refused": refused.collect::<Vec<_>>(), "warnings": self.warnings })
    }
}
