//! The state that a projection keeps for a key.

use penstock::PartitionKey;
use penstock::ports;
use penstock::projection::StoredState;
use penstock_aws::deployment::GroupParts;
use penstock_aws::error::classify;
use penstock_aws::{StateTable, StateWrites};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Operator;

/// A key, and its state.
#[derive(Debug, Serialize)]
pub struct StateOfKey {
    /// The partition key.
    pub key: String,
    /// Its state.
    #[serde(flatten)]
    pub state: KeyState,
}

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
        let table = StateTable::new(self.clients.dynamodb.clone(), table, StateWrites::Batches);
        table.load_one(&PartitionKey::as_stored(key)).await?.map(KeyState::of).transpose()
    }

    /// At most `limit` keys with their states, in no order; and whether there are more.
    ///
    /// # Errors
    /// When the group is no projection, or its table does not say.
    pub async fn states(&self, group: &GroupParts, limit: usize) -> Result<(Vec<StateOfKey>, bool), Error> {
        let table = group.states.as_ref().ok_or_else(|| Error::NoProjection(group.group.clone()))?;
        let mut pages = self.clients.dynamodb.scan().table_name(table).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = pages.next().await {
            if found.len() == limit {
                return Ok((found, true));
            }
            let item = item.map_err(|error| classify("Scan", error))?;
            let (key, stored) = StateTable::read(&item)?;
            found.push(StateOfKey { key, state: KeyState::of(stored)? });
        }
        Ok((found, false))
    }
}

impl KeyState {
    fn of(stored: StoredState) -> Result<Self, Error> {
        let state = stored.state.map(RawValue::from_string).transpose();
        let state = state.map_err(|error| Error::NoJson(error.to_string()))?;
        Ok(Self { state, applied: stored.applied.to_string() })
    }
}
