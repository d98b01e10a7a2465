//! The state directory: where the services keep what must outlive the process, one process at a time.
//!
//! Its files belong together. The tables hold how far each group has come on the stream, the checkpoints how far each
//! mapping has: beside another stream, events would be taken for settled that nobody has seen. So a directory of which a
//! part is gone is refused, and nothing in it is reset.
//!
//! The lock is the operating system's and ends with the process, however that dies; the file that carries it stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use penstock_event_source::Checkpoint;

use crate::services::StartError;

/// Where a state directory has the checkpoints of the mappings.
pub(crate) fn mappings(dir: &Path) -> PathBuf {
    dir.join("mappings")
}

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
        let state = Self { path: path.to_owned(), _lock: lock };
        match state.missing() {
            None => Ok(state),
            Some(part) => Err(StartError::Incomplete { part, dir: path.to_owned() }),
        }
    }

    /// A part that is gone. They are made in this order, so that a start which was cut short leaves the first of them.
    fn missing(&self) -> Option<PathBuf> {
        let parts = [self.kinesis(), self.dynamodb(), self.sqs(), self.mappings()];
        let last = parts.iter().rposition(|part| part.exists())?;
        parts.into_iter().take(last).find(|part| !part.exists())
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

    /// The checkpoints of the mappings, a file each.
    pub(crate) fn mappings(&self) -> PathBuf {
        mappings(&self.path)
    }

    /// A mapping's checkpoint that is of this stream.
    pub(crate) fn checkpoint_of(&self, stream_arn: &str) -> Option<PathBuf> {
        let files = std::fs::read_dir(self.mappings()).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut of_stream = files.filter(|file| {
            // one that cannot be read is the mapping's to name
            let bytes = std::fs::read(file).unwrap_or_default();
            serde_json::from_slice::<Checkpoint>(&bytes).is_ok_and(|checkpoint| checkpoint.stream_arn == stream_arn)
        });
        of_stream.next()
    }
}

/// What to do about a state directory that cannot be used, and what that costs.
pub(crate) fn remedy(dir: &Path) -> String {
    format!(
        "put the file back as it was, or remove the whole directory {} to start afresh, which loses the events, states, \
         progress, queues and dead letters in it; its files belong together, and one alone cannot be removed",
        dir.display()
    )
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
