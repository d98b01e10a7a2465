//! DynamoDB, as the core's [`Progress`](penstock::ports::Progress), [`Windows`](penstock::ports::Windows) and
//! [`States`](penstock::ports::States), and as the [`Registry`](penstock_schema::registry::Registry) of schemas. One file a table: its keys, its item, its encoder and decoder.

mod fingerprints;
#[cfg(test)]
mod golden;
mod item;
mod progress;
mod recovery;
mod redriven;
mod schema_table;
mod state;
mod state_table;
mod window;

pub use progress::ProgressTable;
pub use schema_table::SchemaTable;
pub use state_table::{StateTable, StateWrites};
pub use window::WindowTable;
