//! Why the services did not start. Each reads as one line and says how to mend it.

use std::io;
use std::path::PathBuf;

use crate::services::journal;
use crate::services::state_dir::remedy;

/// Why [`crate::services::Services::start`] failed. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be created or written.
    #[error("the state directory {} cannot be used: {source}", path.display())]
    StateDir {
        /// The directory, or the file in it that was refused.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has the state directory.
    #[error("the state directory {} is in use by process {pid}: stop that process or name another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, as it wrote itself into the lock file; `?` if it has not yet.
        pid: String,
    },
    /// What an earlier run left cannot be read.
    #[error("the state in {} cannot be read ({reason}): {}", path.display(), remedy(path.parent().unwrap_or(path)))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of what an earlier run left is gone.
    #[error("{} is missing from the state directory: {}", part.display(), remedy(dir))]
    Incomplete {
        /// What is missing.
        part: PathBuf,
        /// The directory.
        dir: PathBuf,
    },
    /// A service cannot listen.
    #[error(
        "{service} cannot listen on 127.0.0.1:{port}: stop what uses that port, or choose another with --service-port"
    )]
    Listen {
        /// `Kinesis`, `DynamoDB` or `SQS`.
        service: &'static str,
        /// The port that was asked for.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// A service's store does not come up.
    #[error("{service} does not start: {reason}")]
    Store {
        /// `Kinesis`, `DynamoDB` or `SQS`.
        service: &'static str,
        /// What the service says.
        reason: String,
    },
}

impl From<journal::OpenError> for StartError {
    fn from(error: journal::OpenError) -> Self {
        match error {
            journal::OpenError::Io { path, source } => Self::StateDir { path, source },
            journal::OpenError::Corrupt { path, line, source } => {
                Self::Corrupt { path, reason: format!("line {line}: {source}") }
            }
        }
    }
}
