//! The registry: where versions are published, and what functions read.
//!
//! Versions are only ever added. One item, the index, says which there are; whoever publishes writes it over the revision
//! that was read, together with the new versions or not at all, so that of two publishers one has to look again.

mod memory;

use std::collections::BTreeMap;
use std::future::Future;

use penstock::ports::Error;
use serde::{Deserialize, Serialize};

use crate::name::{SchemaId, TypeName, Version};
use crate::policy::Policy;

pub use memory::Memory;

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// One more with each publication; 0 before the first.
    pub revision: u64,
    /// The types.
    pub types: BTreeMap<TypeName, Listed>,
}

/// One type of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What holds for it.
    pub policy: Policy,
    /// For each version, from 1, the earliest one whose readers can read it.
    pub readable_from: Vec<Version>,
}

/// A version as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which one.
    pub id: SchemaId,
    /// The schema's text.
    pub text: String,
}

/// Whether a publication was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It was.
    Yes,
    /// The index has another revision than was read, or a version is there already. Nothing was written.
    Superseded,
}

/// The registry.
pub trait Registry: Send + Sync {
    /// What is published. With `fresh` nothing that was published before is missing; without it may be some seconds old.
    fn index(&self, fresh: bool) -> impl Future<Output = Result<Index, Error>> + Send;
    /// The versions that are asked for; those that are not there are left out.
    fn versions(&self, ids: &[SchemaId]) -> impl Future<Output = Result<Vec<Kept>, Error>> + Send;
    /// Adds versions, and writes the index, over the revision `index.revision - 1`: all of it or nothing.
    fn publish(&self, index: &Index, new: &[Kept]) -> impl Future<Output = Result<Published, Error>> + Send;
}

impl<R: Registry> Registry for &R {
    fn index(&self, fresh: bool) -> impl Future<Output = Result<Index, Error>> + Send {
        (**self).index(fresh)
    }
    fn versions(&self, ids: &[SchemaId]) -> impl Future<Output = Result<Vec<Kept>, Error>> + Send {
        (**self).versions(ids)
    }
    fn publish(&self, index: &Index, new: &[Kept]) -> impl Future<Output = Result<Published, Error>> + Send {
        (**self).publish(index, new)
    }
}
