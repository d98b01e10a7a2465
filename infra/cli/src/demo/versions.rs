//! The demo's schemas: the type of a placed order gets its second version while events flow, and a third that would break readers
//! is refused.

use std::path::Path;

use anyhow::Context;
use penstock_admin::Operator;
use penstock_admin::schemas::{Error, Folder, Unfit, publish};
use penstock_aws::SchemaTable;
use penstock_schema::history::Refused;
use penstock_schema::{Schema, SchemaId, TypeName};

use crate::schema::FOLDER;
use crate::terminal::{harmless_lines, note};

const KIND: &str = "shop.order.placed";

/// The registry of the pipeline, and what is published to it.
pub(super) struct Versions {
    registry: SchemaTable,
    folder: Folder,
    kind: TypeName,
}

impl Versions {
    /// `None` where there is no registry, or not the samples' schemas.
    pub(super) fn of(operator: &Operator, root: &Path) -> anyhow::Result<Option<Self>> {
        let Ok(registry) = operator.schemas() else { return Ok(None) };
        let Ok(folder) = Folder::read(&root.join(FOLDER)) else { return Ok(None) };
        let kind: TypeName = KIND.parse()?;
        let has_two = folder.types.get(&kind).is_some_and(|kind| kind.versions.len() == 2);
        Ok((has_two && folder.faults.is_empty()).then_some(Self { registry, folder, kind }))
    }

    /// Publishes all but the second version; on a registry that has it already nothing.
    pub(super) async fn first(&self) -> anyhow::Result<()> {
        let mut first = self.folder.clone();
        first.types.get_mut(&self.kind).context("the type is there")?.versions.remove(&2);
        match publish(&self.registry, &first, false).await {
            Ok(_) | Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Publishes the second version, and tries a third.
    pub(super) async fn second(&self) -> anyhow::Result<()> {
        publish(&self.registry, &self.folder, false).await?;
        note(&format!("schemas: {KIND}:2 is published; the placed orders that are sent from here on are of it"));
        let mut broken = self.folder.clone();
        let versions = &mut broken.types.get_mut(&self.kind).context("the type is there")?.versions;
        let text = versions.get(&2).map(Schema::text).unwrap_or_default();
        // an amount that becomes a text
        let text = text.replace(&format!("{KIND}:2"), &format!("{KIND}:3")).replacen(
            "\"total_cents\": {\n      \"type\": \"integer\"",
            "\"total_cents\": {\n      \"type\": \"string\"",
            1,
        );
        let id = SchemaId { kind: self.kind.clone(), version: 3 };
        let third = Schema::parse(id, &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        versions.insert(3, third);
        match publish(&self.registry, &broken, false).await {
            Err(Error::Refused(refusals)) => {
                for refusal in refusals {
                    if let Unfit::Refused(Refused::Breaks(breaches)) = refusal.why {
                        // the others say the same of other versions
                        let first = breaches.first().map(ToString::to_string).unwrap_or_default();
                        note(&harmless_lines(&format!("schemas: {KIND}:3 is refused: {first}")));
                    }
                }
            }
            Ok(_) => anyhow::bail!("a version that breaks readers was published"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The samples as they are sent once the second version is there: from line `from` on, placed orders are of it.
pub(super) fn upgrade(lines: &str, from: usize) -> String {
    let urn = |version: u32| format!("urn:penstock:schema:{KIND}:{version}");
    let upgraded = |(number, line): (usize, &str)| match number < from || !line.contains(&urn(1)) {
        true => line.to_owned(),
        false => {
            line.replace(&urn(1), &urn(2)).replacen("\"total_cents\":", "\"voucher\":\"AUTUMN\",\"total_cents\":", 1)
        }
    };
    lines.lines().enumerate().map(upgraded).collect::<Vec<_>>().join("\n")
}
