//! The pipeline from end to end: real binaries, real protocols, one process a function environment.
#![allow(clippy::unwrap_used, reason = "in a test suite a failure is a panic, and the helpers are part of the tests")]

mod alarms;
mod chaos;
mod commands;
mod demo;
mod faults;
mod http;
mod killed;
mod operator;
mod recovered;
mod redrive;
mod restart;
mod rollout;
mod schemas;
mod told;
mod traced;
mod walk;
