//! A registry that lasts as long as its process, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use penstock::ports::Error;

use super::{Index, Kept, Published, Registry};
use crate::name::SchemaId;

/// A registry in memory.
#[derive(Debug, Default)]
pub struct Memory {
    held: Mutex<(Index, BTreeMap<SchemaId, String>)>,
}

impl Memory {
    fn held(&self) -> MutexGuard<'_, (Index, BTreeMap<SchemaId, String>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry for Memory {
    async fn index(&self, _fresh: bool) -> Result<Index, Error> {
        Ok(self.held().0.clone())
    }

    async fn versions(&self, ids: &[SchemaId]) -> Result<Vec<Kept>, Error> {
        let held = self.held();
        let kept = |id: &SchemaId| Some(Kept { id: id.clone(), text: held.1.get(id)?.clone() });
        Ok(ids.iter().filter_map(kept).collect())
    }

    async fn publish(&self, index: &Index, new: &[Kept]) -> Result<Published, Error> {
        let (held_index, versions) = &mut *self.held();
        if held_index.revision.checked_add(1) != Some(index.revision)
            || new.iter().any(|kept| versions.contains_key(&kept.id))
        {
            return Ok(Published::Superseded);
        }
        *held_index = index.clone();
        versions.extend(new.iter().map(|kept| (kept.id.clone(), kept.text.clone())));
        Ok(Published::Yes)
    }
}
