//! `penstock schema publish`: the versions of a folder, into the registry of a stack.

use std::path::Path;

use anyhow::bail;
use penstock_admin::Operator;
use penstock_admin::schemas::{self, Changes, Error, Folder, PolicyChange, Publication, Refusal, Unfit};
use penstock_schema::Policy;
use serde_json::{Value, json};

use super::{At, FINE, FOLDER, REFUSED, told};
use crate::target::Target;
use crate::terminal::{self, many, note, say};

/// Options of `penstock schema publish`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    folder: At,
    /// Say what would be published, and publish nothing
    #[arg(long)]
    dry_run: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Publishes, and prints what has changed.
pub(super) async fn run(options: Options) -> anyhow::Result<u8> {
    let (path, found) = options.folder.read()?;
    if found.types.is_empty() && found.faults.is_empty() {
        bail!("there is no type in {}", path.display());
    }
    if !found.faults.is_empty() {
        return refuse(&options, &faults(&path, &found), json!({ "faults": found.faults }));
    }
    let registry = options.target.operator().await?.schemas()?;
    match schemas::publish(&registry, &found, options.dry_run).await {
        Ok(publication) => {
            if options.json {
                let mut told = publication_json(&publication);
                told["dry_run"] = options.dry_run.into();
                say(&terminal::json(&told)?);
            } else {
                super::show(&lines(&publication, options.dry_run));
            }
            Ok(FINE)
        }
        Err(Error::Refused(refusals)) => {
            let told: Vec<_> = refusals.iter().map(refusal_json).collect();
            refuse(&options, &refused(&refusals), json!({ "refused": told }))
        }
        Err(error) => Err(error.into()),
    }
}

fn refuse(options: &Options, lines: &[String], told: Value) -> anyhow::Result<u8> {
    if options.json {
        say(&terminal::json(&told)?);
    } else {
        super::show(lines);
    }
    note("nothing was published");
    Ok(REFUSED)
}

fn faults(path: &Path, found: &Folder) -> Vec<String> {
    let report =
        super::check::Report { faults: found.faults.clone(), warnings: found.warnings.clone(), ..Default::default() };
    report.lines(path)
}

/// Publishes the schemas of a project into the pipeline that runs on this machine; a line for what has come of it, and none
/// if there is nothing to publish or nowhere to.
pub(crate) async fn publish_own(operator: &Operator, project: &Path) -> anyhow::Result<Option<String>> {
    let folder = project.join(FOLDER);
    let Ok(registry) = operator.schemas() else { return Ok(None) };
    if !folder.is_dir() {
        return Ok(None);
    }
    let found = Folder::read(&folder)?;
    if let [first, rest @ ..] = found.faults.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        bail!("{first}{more}; `penstock schema lint` shows all");
    }
    let published = match schemas::publish(&registry, &found, false).await {
        Ok(published) => published,
        Err(Error::Refused(refusals)) => {
            let names: Vec<_> = refusals.iter().map(|refusal| told::name(&refusal.id)).collect();
            bail!("{} cannot follow what is published; `penstock schema publish` says why", names.join(", "));
        }
        Err(error) => return Err(error.into()),
    };
    let new: usize = published.changes.values().map(|changes| changes.new.len()).sum();
    let types = many(found.types.len(), "type");
    Ok(Some(match new {
        0 => format!("schemas of {types} are published already"),
        new => format!("schemas are published: {} new, {types} in all", many(new, "version")),
    }))
}

pub(super) fn lines(publication: &Publication, dry_run: bool) -> Vec<String> {
    let Publication { revision, changes } = publication;
    if changes.is_empty() {
        return vec![format!("all of it is published already, in revision {revision}")];
    }
    let mut lines = Vec::new();
    for (kind, Changes { new, policy }) in changes {
        lines.extend(new.iter().map(|version| format!("{kind}:{version}  new")));
        match policy {
            PolicyChange::Same => {}
            PolicyChange::New(policy) => lines.push(format!("{kind}  policy {}", told_policy(policy))),
            PolicyChange::Changed { before, after } => {
                lines.push(format!("{kind}  policy {}, was {}", told_policy(after), told_policy(before)));
            }
        }
    }
    let end = if dry_run { "would be revision" } else { "is published as revision" };
    lines.push(format!("it {end} {revision}"));
    lines
}

pub(super) fn told_policy(policy: &Policy) -> String {
    // what can be read can be written
    serde_json::to_string(policy).unwrap_or_default()
}

pub(super) fn refused(refusals: &[Refusal]) -> Vec<String> {
    let mut lines = Vec::new();
    for Refusal { id, why } in refusals {
        let name = told::name(id);
        match why {
            Unfit::Missing => lines
                .push(format!("{name}  refused: it is published, and not in this folder; is this an old checkout?")),
            Unfit::Refused(why) => {
                let mut told = told::refused(why, id);
                if told.len() == 1 {
                    lines.push(format!("{name}  refused: {}", told.remove(0)));
                } else {
                    lines.push(format!("{name}  refused"));
                    lines.extend(told.into_iter().map(|line| format!("  {line}")));
                }
            }
        }
    }
    lines
}

fn refusal_json(Refusal { id, why }: &Refusal) -> Value {
    let mut told = match why {
        Unfit::Missing => json!({ "why": "it is published, and not in this folder" }),
        Unfit::Refused(why) => told::refused_json(why),
    };
    told["type"] = id.kind.as_str().into();
    told["version"] = id.version.into();
    told
}

fn publication_json(Publication { revision, changes }: &Publication) -> Value {
    let changes = changes.iter().map(|(kind, Changes { new, policy })| {
        let mut told = json!({ "type": kind.as_str(), "new": new });
        if let PolicyChange::New(after) | PolicyChange::Changed { after, .. } = policy {
            told["policy"] = json!(after);
        }
        if let PolicyChange::Changed { before, .. } = policy {
            told["policy_before"] = json!(before);
        }
        told
    });
    json!({ "revision": revision, "changes": changes.collect::<Vec<_>>() })
}
