//! DynamoDB, as the core's [`Progress`](penstock::ports::Progress), [`Windows`](penstock::ports::Windows) and
//! [`States`](penstock::ports::States). One file a table: its keys, its item, its encoder and decoder.

mod fingerprints;
#[cfg(test)]
mod golden;
mod item;
mod progress;
mod recovery;
mod redriven;
mod state;
mod state_table;
mod window;

pub use progress::ProgressTable;
pub use state_table::{StateTable, StateWrites};
pub use window::WindowTable;
