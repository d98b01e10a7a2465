//! The pipeline from end to end: real binaries, real protocols, one process a function environment.

mod commands;
mod demo;
mod faults;
mod http;
mod killed;
mod restart;
mod walk;
