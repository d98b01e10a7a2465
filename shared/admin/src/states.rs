//! The state that a projection keeps for a key.

use penstock::ports::{self, States};
use penstock::{PartitionKey, Position};
use penstock_aws::StateTable;
use penstock_aws::deployment::GroupParts;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Operator;

/// A key's state.
#[derive(Debug, Serialize)]
pub struct KeyState {
    /// The state, as the projection wrote it; `null` while every event was refused.
    pub state: Option<Box<RawValue>>,
    /// The last event that went in or was refused: sequence number and index.
    pub applied: String,
}

/// Why there is none to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The group handles events.
    #[error("`{0}` is not a projection: it keeps no states")]
    NoProjection(String),
    /// DynamoDB did not say, or not in a way that can be read.
    #[error(transparent)]
    Service(#[from] ports::Error),
    /// What is stored is no JSON.
    #[error("the stored state is not JSON: {0}")]
    NoJson(String),
}

impl Operator {
    /// What `group` keeps for `key`, as it was written last; `None` if no event of the key was settled.
    ///
    /// # Errors
    /// When the group is no projection, or its table does not say.
    pub async fn state(&self, group: &GroupParts, key: &str) -> Result<Option<KeyState>, Error> {
        let table = group.states.as_ref().ok_or_else(|| Error::NoProjection(group.group.clone()))?;
        let table = StateTable::new(self.clients.dynamodb.clone(), table);
        let Some(stored) = table.load(&PartitionKey::as_stored(key)).await? else { return Ok(None) };
        let state = stored.state.map(RawValue::from_string).transpose();
        let applied: &Position = &stored.applied;
        Ok(Some(KeyState {
            state: state.map_err(|error| Error::NoJson(error.to_string()))?,
            applied: applied.to_string(),
        }))
    }
}
