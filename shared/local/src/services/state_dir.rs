//! The state directory: where the services keep what must outlive the process, one process at a time.
//!
//! The lock is the operating system's and ends with the process, however that dies; the file that carries it stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::services::StartError;

/// A state directory that this process holds.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the directory where it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        let refused = |source| StartError::StateDir { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(refused)?;
        let lock_path = path.join("lock");
        let mut lock =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&lock_path).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::InUse { path: path.to_owned(), pid: holder(&lock_path) });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        write_pid(&mut lock).map_err(refused)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The journal of streams and records.
    pub(crate) fn kinesis(&self) -> PathBuf {
        self.path.join("kinesis.jsonl")
    }

    /// The SQLite database of tables and items.
    pub(crate) fn dynamodb(&self) -> PathBuf {
        self.path.join("dynamodb.sqlite")
    }

    /// The journal of queues and messages.
    pub(crate) fn sqs(&self) -> PathBuf {
        self.path.join("sqs.jsonl")
    }
}

fn holder(lock_path: &Path) -> String {
    std::fs::read_to_string(lock_path)
        .ok()
        .map(|pid| pid.trim().to_owned())
        .filter(|pid| !pid.is_empty())
        .unwrap_or_else(|| "?".to_owned())
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}
