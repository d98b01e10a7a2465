//! Publishing a folder: all of it is judged by what is published already, and refused if one version of it is.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock::ports;
use penstock_schema::history::{Refused, Step};
use penstock_schema::registry::{Index, Kept, Listed, Published, Registry};
use penstock_schema::{History, Policy, SchemaId, TypeName, Version};

use super::folder::{Folder, InFolder};
use super::load;

/// How often it is tried while others publish.
const TRIES: u32 = 5;

/// Between two of them, and once more of it with each.
const PAUSE: Duration = Duration::from_millis(100);

/// Versions of one transaction. With 64 KiB each they stay below its 4 MB, the index included.
const AT_ONCE: usize = 50;

/// What a publication changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The revision that the registry has then.
    pub revision: u64,
    /// By type; those that are published as they are in the folder have none.
    pub changes: BTreeMap<TypeName, Changes>,
}

/// What changes of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The versions that are added.
    pub new: Vec<Version>,
    /// What becomes of its policy.
    pub policy: PolicyChange,
}

/// What becomes of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChange {
    /// It stays as it is.
    Same,
    /// The type is new, and so is this.
    New(Policy),
    /// It was another one.
    Changed {
        /// That one.
        before: Policy,
        /// This one.
        after: Policy,
    },
}

/// Why a version cannot be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Which one.
    pub id: SchemaId,
    /// Why.
    pub why: Unfit,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Unfit {
    /// It cannot follow what is published.
    Refused(Refused),
    /// It is published, and not in the folder.
    Missing,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Some versions cannot be.
    #[error("{} cannot be published", .0.len())]
    Refused(Vec<Refusal>),
    /// Others publish all the time.
    #[error("others were publishing at the same time, {TRIES} times in a row: try again")]
    Busy,
    /// The registry does not answer, or what it holds cannot be read.
    #[error(transparent)]
    Service(#[from] ports::Error),
}

/// What publishing a folder comes to.
struct Plan {
    /// The index and what is new, transaction by transaction; none if nothing changes.
    parts: Vec<(Index, Vec<Kept>)>,
    publication: Publication,
}

/// Publishes all of a folder that has no fault, or says what it would do. Types that it does not have are left as they are.
///
/// # Errors
/// When a version cannot be published, when others publish, or the registry does not answer. Of more than 50 new versions
/// some may be published then; it can be said again.
pub async fn publish(registry: &impl Registry, folder: &Folder, dry_run: bool) -> Result<Publication, Error> {
    for tried in 0..TRIES {
        tokio::time::sleep(PAUSE * tried).await;
        let Plan { parts, publication } = plan(registry, folder).await?;
        if dry_run || write(registry, &parts).await? {
            return Ok(publication);
        }
    }
    Err(Error::Busy)
}

/// Whether all was written; if not, somebody else has published.
async fn write(registry: &impl Registry, parts: &[(Index, Vec<Kept>)]) -> Result<bool, Error> {
    for (index, new) in parts {
        match registry.publish(index, new).await {
            Ok(Published::Yes) => {}
            Ok(Published::Superseded) | Err(ports::Error::Throttled(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

async fn plan(registry: &impl Registry, folder: &Folder) -> Result<Plan, Error> {
    let mut index = registry.index(true).await?;
    let mut catalogue = load(registry, &index, |kind| folder.types.contains_key(kind)).await?;
    let (mut refusals, mut changes, mut new) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (kind, in_folder) in &folder.types {
        let is_new = !catalogue.contains_key(kind);
        let history =
            catalogue.entry(kind.clone()).or_insert_with(|| History::new(kind.clone(), in_folder.policy.clone()));
        let before = std::mem::replace(&mut history.policy, in_folder.policy.clone());
        let added = follow(history, in_folder, &mut refusals);
        let policy = match (is_new, before == in_folder.policy) {
            (true, _) => PolicyChange::New(in_folder.policy.clone()),
            (false, true) => PolicyChange::Same,
            (false, false) => PolicyChange::Changed { before, after: in_folder.policy.clone() },
        };
        if added.is_empty() && policy == PolicyChange::Same {
            continue;
        }
        let listed = index.types.entry(kind.clone());
        let listed = listed.or_insert_with(|| Listed { policy: Policy::default(), readable_from: Vec::new() });
        listed.policy = in_folder.policy.clone();
        changes.insert(kind.clone(), Changes { new: added.iter().map(|(kept, _)| kept.id.version).collect(), policy });
        new.extend(added);
    }
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    let mut parts = Vec::new();
    // a change of policies alone is one too
    for number in 0..new.len().div_ceil(AT_ONCE).max(usize::from(!changes.is_empty())) {
        let part: Vec<_> = new.iter().skip(number * AT_ONCE).take(AT_ONCE).cloned().collect();
        index.revision += 1;
        for (kept, readable_from) in &part {
            if let Some(listed) = index.types.get_mut(&kept.id.kind) {
                listed.readable_from.push(*readable_from);
            }
        }
        parts.push((index.clone(), part.into_iter().map(|(kept, _)| kept).collect()));
    }
    Ok(Plan { parts, publication: Publication { revision: index.revision, changes } })
}

/// Lets the versions of a folder follow those that are published: what is new, with the earliest version that reads it.
fn follow(history: &mut History, in_folder: &InFolder, refusals: &mut Vec<Refusal>) -> Vec<(Kept, Version)> {
    let mut added = Vec::new();
    for version in 1..=history.latest() {
        if !in_folder.versions.contains_key(&version) {
            let id = SchemaId { kind: history.kind().clone(), version };
            refusals.push(Refusal { id, why: Unfit::Missing });
        }
    }
    for schema in in_folder.versions.values() {
        let id = schema.id().clone();
        match history.push(schema.clone()) {
            Ok(Step::There) => {}
            Ok(Step::Next { readable_from }) => {
                added.push((Kept { id, text: schema.text().to_owned() }, readable_from));
            }
            Err(why) => {
                // the next one is told of its own faults
                history.restore(schema.clone(), id.version);
                refusals.push(Refusal { id, why: Unfit::Refused(why) });
            }
        }
    }
    added
}
