//! The drivers against services that speak the real protocols. The function is a fake in this process: how functions
//! are run is another part's concern.

mod fixture;
mod kinesis;
mod orders;
mod sqs;
