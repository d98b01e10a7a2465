//! The schemas that the function was built with.

use penstock_schema::policy::Policy;
use penstock_schema::registry::{Index, Kept, Listed};
use penstock_schema::{SchemaId, TypeName};

/// Types, policies, and the texts of their versions from 1.
type Bundled = &'static [(&'static str, &'static str, &'static [&'static str])];

const BUNDLED: Bundled = include!(concat!(env!("OUT_DIR"), "/schemas.rs"));

/// What is bundled, as a registry has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bundle {
    pub(crate) index: Index,
    pub(crate) versions: Vec<Kept>,
}

impl Bundle {
    /// The one of this build.
    pub(crate) fn of_build() -> Self {
        Self::of(BUNDLED)
    }

    pub(crate) fn of(bundled: Bundled) -> Self {
        let mut bundle = Self::default();
        for (kind, policy, texts) in bundled {
            let (Ok(kind), Ok(policy)) = (kind.parse::<TypeName>(), Policy::parse(policy)) else {
                tracing::warn!(kind, "a bundled type is left out: its name or its policy is none");
                continue;
            };
            let versions = 1..=u32::try_from(texts.len()).unwrap_or(0);
            // what the policy promises; the registry has looked
            let compatibility = policy.compatibility;
            let readable_from = |version: u32| match (compatibility.is_forward(), compatibility.is_transitive()) {
                (true, true) => 1,
                (true, false) => (version - 1).max(1),
                (false, _) => version,
            };
            let listed = Listed { policy, readable_from: versions.clone().map(readable_from).collect() };
            bundle.index.types.insert(kind.clone(), listed);
            bundle.versions.extend(versions.zip(*texts).map(|(version, text)| Kept {
                id: SchemaId { kind: kind.clone(), version },
                text: (*text).to_owned(),
            }));
        }
        bundle
    }
}
