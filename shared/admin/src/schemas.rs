//! Schemas: a folder of them, what is published of them, and publishing the one as the other.

mod folder;
mod publish;

use std::collections::BTreeMap;

use penstock::ports;
use penstock_aws::SchemaTable;
use penstock_schema::registry::{Index, Kept, Registry};
use penstock_schema::{Catalogue, History, Schema, SchemaId, TypeName, Version};

use crate::Operator;

pub use folder::{Fault, Folder, InFolder, Judged, POLICY, file_of};
pub use publish::{Changes, Error, PolicyChange, Publication, Refusal, Unfit, publish};

/// The stack has no registry.
#[derive(Debug, thiserror::Error)]
#[error("the stack `{0}` has no table of schemas: deploy it again with a template that has one")]
pub struct NoTable(String);

impl Operator {
    /// The registry of the stack.
    ///
    /// # Errors
    /// When it has none.
    pub fn schemas(&self) -> Result<SchemaTable, NoTable> {
        let table = self.deployment.schema_table.as_ref();
        let table = table.ok_or_else(|| NoTable(self.deployment.stack.clone()))?;
        Ok(SchemaTable::new(self.clients.dynamodb.clone(), table))
    }
}

/// The versions that `index` lists, of the types that `wanted` takes.
///
/// # Errors
/// When the registry does not answer, or what it holds cannot be read.
pub async fn load(
    registry: &impl Registry,
    index: &Index,
    wanted: impl Fn(&TypeName) -> bool,
) -> Result<Catalogue, ports::Error> {
    let types: Vec<_> = index.types.iter().filter(|(kind, _)| wanted(kind)).collect();
    let ids: Vec<SchemaId> = types
        .iter()
        .flat_map(|(kind, listed)| (1..).zip(&listed.readable_from).map(|(version, _)| id(kind, version)))
        .collect();
    let kept = registry.versions(&ids).await?;
    let mut texts: BTreeMap<SchemaId, String> = kept.into_iter().map(|Kept { id, text }| (id, text)).collect();
    let mut catalogue = Catalogue::new();
    for (kind, listed) in types {
        let mut history = History::new(kind.clone(), listed.policy.clone());
        for (version, readable_from) in (1..).zip(&listed.readable_from) {
            let id = id(kind, version);
            let damaged = |why: &str| ports::Error::Damaged(format!("{id} is in the index of schemas and {why}"));
            let text = texts.remove(&id).ok_or_else(|| damaged("nowhere else"))?;
            let schema = Schema::parse(id.clone(), &text);
            let schema = schema.map_err(|problems| match problems.first() {
                Some(problem) => damaged(&format!("cannot be used: {problem}")),
                None => damaged("cannot be used"),
            })?;
            history.restore(schema, *readable_from);
        }
        catalogue.insert(kind.clone(), history);
    }
    Ok(catalogue)
}

fn id(kind: &TypeName, version: Version) -> SchemaId {
    SchemaId { kind: kind.clone(), version }
}

#[cfg(test)]
mod tests;
