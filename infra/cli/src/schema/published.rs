//! `penstock schema list` and `show`: what is published.

use anyhow::Context;
use penstock_schema::registry::{Index, Listed, Registry};
use penstock_schema::{SchemaId, TypeName, Version, name};
use serde_json::{Value, json};

use super::publish::told_policy;
use super::{FINE, REFUSED, told};
use crate::target::Target;
use crate::terminal::{self, figures, harmless, harmless_lines, many, note, say};

/// Prints the types that are published.
pub(super) async fn list(json: bool, target: &Target) -> anyhow::Result<u8> {
    let index = target.operator().await?.schemas()?.index(true).await?;
    if json {
        let types: Vec<_> = index.types.iter().map(|(kind, listed)| listed_json(kind, listed)).collect();
        say(&terminal::json(&json!({ "revision": index.revision, "types": types }))?);
        return Ok(FINE);
    }
    if !index.types.is_empty() {
        say(&harmless_lines(&table(&index)));
    }
    note(&format!("{}, revision {}", many(index.types.len(), "type"), index.revision));
    Ok(FINE)
}

pub(super) fn table(index: &Index) -> String {
    let rows = index.types.iter().map(|(kind, Listed { policy, readable_from })| {
        let key = policy.partition_key.as_deref().unwrap_or("-");
        let owner = policy.owner.as_deref().unwrap_or("-");
        let versions = readable_from.len().to_string();
        vec![kind.to_string(), versions, policy.compatibility.to_string(), harmless(key), harmless(owner)]
    });
    figures(&["type", "versions", "compatibility", "partition key", "owner"], &rows.collect::<Vec<_>>())
}

/// Prints a type, or a version of it.
pub(super) async fn show(text: &str, json: bool, target: &Target) -> anyhow::Result<u8> {
    let (kind, version) = wanted(text)?;
    let registry = target.operator().await?.schemas()?;
    let index = registry.index(true).await?;
    let Some(listed) = index.types.get(&kind) else {
        note(&format!("no schema of `{kind}` is published; `penstock schema list` shows those that are"));
        return Ok(REFUSED);
    };
    let Some(version) = version else {
        if json {
            say(&terminal::json(&listed_json(&kind, listed))?);
        } else {
            lines(&kind, listed).iter().for_each(|line| say(&harmless(line)));
        }
        return Ok(FINE);
    };
    let found = registry.versions(&[SchemaId { kind: kind.clone(), version }]).await?;
    let Some(kept) = found.into_iter().next() else {
        note(&format!("`{kind}` has no version {version}; the last one is {}", listed.readable_from.len()));
        return Ok(REFUSED);
    };
    if json {
        let schema: Value = serde_json::from_str(&kept.text).context("what is published is no JSON")?;
        let readable_from = listed.readable_from.get(version as usize - 1);
        let told = json!({
            "type": kind.as_str(), "version": version, "readable_from": readable_from, "schema": schema, "text": kept.text,
        });
        say(&terminal::json(&told)?);
    } else {
        say(&harmless_lines(kept.text.trim_end()));
    }
    Ok(FINE)
}

fn wanted(text: &str) -> Result<(TypeName, Option<Version>), name::Error> {
    match text.rsplit_once(':') {
        Some((kind, version)) => Ok((kind.parse()?, Some(name::version(version)?))),
        None => Ok((text.parse()?, None)),
    }
}

pub(super) fn lines(kind: &TypeName, Listed { policy, readable_from }: &Listed) -> Vec<String> {
    let mut lines = vec![kind.to_string(), format!("  policy {}", told_policy(policy))];
    for (version, from) in (1..).zip(readable_from) {
        let id = told::name(&SchemaId { kind: kind.clone(), version });
        lines.push(match version - *from {
            0 => format!("  {id}  readers of earlier versions cannot read it"),
            _ => format!("  {id}  readers of version {from} and later can read it"),
        });
    }
    // the first has none before it
    if let Some(first) = lines.get_mut(2) {
        *first = format!("  {}", told::name(&SchemaId { kind: kind.clone(), version: 1 }));
    }
    lines
}

fn listed_json(kind: &TypeName, Listed { policy, readable_from }: &Listed) -> Value {
    json!({ "type": kind.as_str(), "versions": readable_from.len(), "policy": policy, "readable_from": readable_from })
}
