//! `penstock schema check --consumers`: whether a version would reach a consumer group that does not understand it.
//!
//! Each group's function is built and asked, because what it understands stands in its code.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use penstock::Accepts;
use penstock_admin::schemas::{Fault, Folder};
use penstock_aws::{DESCRIBE, Description};
use penstock_local::template::{self, Context as Place};
use penstock_local::{Profile, build_functions};
use penstock_schema::{Catalogue, History};

use super::check::Report;

/// What each group says of itself, by its name.
pub(super) async fn ask(root: &Path, file: &Path) -> anyhow::Result<BTreeMap<String, Description>> {
    // nothing is deployed: names and places only have to be there
    let place = Place {
        region: "local".to_owned(),
        account_id: "000000000000".to_owned(),
        stack_name: "check".to_owned(),
        sqs_endpoint: "http://localhost".to_owned(),
        parameters: BTreeMap::new(),
    };
    let pipeline = template::read_file(file, &place)?;
    let groups: Vec<(&str, &str)> = pipeline
        .functions
        .iter()
        .filter_map(|function| Some((function.environment.get("PENSTOCK_GROUP")?.as_str(), function.binary.as_str())))
        .collect();
    let binaries: Vec<&str> = groups.iter().map(|(_, binary)| *binary).collect();
    let folder = build_functions(root, &binaries, Profile::Dev).await?;
    let mut said = BTreeMap::new();
    for (group, binary) in groups {
        let mut command = tokio::process::Command::new(folder.join(binary));
        command.env(DESCRIBE, "1").stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = command.output().await.with_context(|| format!("cannot run {binary}"))?;
        if !output.status.success() {
            bail!("{binary}, of group {group}, did not say which versions it accepts: {}", output.status);
        }
        let description = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{binary}, of group {group}, did not say which versions it accepts"))?;
        said.insert(group.to_owned(), description);
    }
    Ok(said)
}

/// The versions of a folder that may be published.
fn catalogue(found: &Folder) -> Catalogue {
    let mut catalogue = Catalogue::new();
    for (kind, of_kind) in &found.types {
        let mut history = History::new(kind.clone(), of_kind.policy.clone());
        for schema in of_kind.versions.values() {
            // one that may not follow is told of already
            _ = history.push(schema.clone());
        }
        catalogue.insert(kind.clone(), history);
    }
    catalogue
}

/// Looks for versions that a group would be handed and does not understand.
pub(super) fn compare(found: &Folder, groups: &BTreeMap<String, Description>, report: &mut Report) {
    let catalogue = catalogue(found);
    for (group, description) in groups {
        for (kind, (from, to)) in description.accepts.iter().flatten() {
            let Some((kind, history)) = catalogue.iter().find(|(other, _)| other.as_str() == kind) else {
                let text = format!("`{group}` says which versions of it it understands, and it has none");
                report.warnings.push(Fault { file: kind.clone(), pointer: String::new(), text });
                continue;
            };
            for (version, entry) in history.versions() {
                if !Accepts::reads(&(*from..=*to), version, entry.readable_from) {
                    let text = format!(
                        "would reach `{group}`, which understands {from} to {to} and cannot read it as one of them: its \
                         events would be dead letters. Deploy the group with {version} first"
                    );
                    let file = format!("{kind}/{version}.json");
                    report.faults.push(Fault { file, pointer: String::new(), text });
                }
            }
        }
    }
}
