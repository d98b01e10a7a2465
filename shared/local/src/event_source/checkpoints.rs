//! Where the progress of a mapping is kept between runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use penstock_event_source::Checkpoint;

/// Keeps the checkpoint of one mapping. A load gives what was saved last, and nothing before the first save.
pub trait CheckpointStore: Send + Sync + 'static {
    /// The checkpoint that was saved last.
    fn load(&self) -> impl Future<Output = Result<Option<Checkpoint>, CheckpointError>> + Send;

    /// Replaces it. After a crash in the middle, a load gives the old one or the new one.
    fn save(&self, checkpoint: &Checkpoint) -> impl Future<Output = Result<(), CheckpointError>> + Send;
}

/// A checkpoint that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file holds something else. Deleting it starts the mapping over at its starting position.
    #[error("{} is no checkpoint; delete it to start the mapping over", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("the checkpoint {} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// Keeps the checkpoint in memory: clones share it, and it ends with the process.
#[derive(Debug, Clone, Default)]
pub struct MemoryCheckpoints(Arc<Mutex<Option<Checkpoint>>>);

impl CheckpointStore for MemoryCheckpoints {
    async fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint.clone());
        Ok(())
    }
}

/// Keeps the checkpoint in a file, replaced as a whole. Survives the death of the process, not the loss of power:
/// nothing is synced, and what is lost then is delivered again.
#[derive(Debug, Clone)]
pub struct FileCheckpoints {
    path: PathBuf,
}

impl FileCheckpoints {
    /// Keeps it at `path`; the directory is made when it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self) -> impl FnOnce(io::Error) -> CheckpointError {
        let path = self.path.clone();
        |source| CheckpointError::Io { path, source }
    }
}

impl CheckpointStore for FileCheckpoints {
    async fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let bytes = match tokio::fs::read(&self.path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io()(error)),
        };
        let corrupt = |source| CheckpointError::Corrupt { path: self.path.clone(), source };
        serde_json::from_slice(&bytes).map(Some).map_err(corrupt)
    }

    async fn save(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let bytes = serde_json::to_vec_pretty(checkpoint).expect("strings and integers are written to memory");
        if let Some(folder) = self.path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(self.io())?;
        }
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        tokio::fs::write(&new, bytes).await.map_err(self.io())?;
        tokio::fs::rename(&new, &self.path).await.map_err(self.io())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use penstock::ShardId;

    use super::*;
    use penstock_event_source::ShardProgress;

    fn checkpoint() -> Checkpoint {
        let progress = ShardProgress { settled_to: Some("4959".parse().unwrap()), drained: true };
        Checkpoint {
            stream_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(),
            start_at_ms: Some(7),
            shards: BTreeMap::from([
                (ShardId::new("shardId-000000000000"), progress),
                (ShardId::new("shardId-000000000001"), ShardProgress::default()),
            ]),
        }
    }

    async fn gives_what_was_saved_last(store: impl CheckpointStore) {
        assert_eq!(store.load().await.unwrap(), None);
        let mut saved = checkpoint();
        store.save(&saved).await.unwrap();
        saved.shards.clear();
        store.save(&saved).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(saved));
    }

    #[tokio::test]
    async fn both_stores_give_what_was_saved_last() {
        gives_what_was_saved_last(MemoryCheckpoints::default()).await;
        let dir = tempfile::tempdir().unwrap();
        gives_what_was_saved_last(FileCheckpoints::new(dir.path().join("mapping.json"))).await;
    }

    #[tokio::test]
    async fn a_file_survives_its_store() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mapping.json");
        FileCheckpoints::new(&path).save(&checkpoint()).await.unwrap();
        assert_eq!(FileCheckpoints::new(&path).load().await.unwrap(), Some(checkpoint()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[tokio::test]
    async fn a_corrupt_file_is_named_and_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mapping.json");
        let whole = serde_json::to_string(&checkpoint()).unwrap();
        for text in ["", "{}", &whole[..whole.len() / 2], &whole.replace("4959", "")] {
            std::fs::write(&path, text).unwrap();
            let error = FileCheckpoints::new(&path).load().await.unwrap_err();
            assert!(matches!(error, CheckpointError::Corrupt { .. }), "{text}");
            assert!(error.to_string().contains("mapping.json"), "{error}");
        }
    }
}
