//! Schemas of events: what may be published, which versions understand each other, and whether an event keeps to one.
//!
//! Pure: no I/O, no clock, no randomness. `events/schemas/<type>/<version>.json` is the source of truth, `penstock schema` and
//! the registry's table keep to what is decided here, and the edge judges by it.

pub mod compare;
mod contain;
pub mod history;
pub mod json;
pub mod lint;
pub mod name;
pub mod policy;
pub mod registry;
mod schema;
pub mod validate;
mod views;
mod walk;

pub use compare::{Change, Comparison, Direction, Effect, Effects};
pub use history::{Catalogue, History};
pub use lint::Problem;
pub use name::{SchemaId, TypeName, Version};
pub use policy::Policy;
pub use schema::Schema;
pub use validate::{Validator, Violation};
