//! What redrives and recoveries leave behind: attributes of the progress item, and window items of their own.

use penstock::ports::{Error, Redrives};
use penstock::progress::Begun;
use penstock::time::Timestamp;
use penstock::window::Redriven;
use penstock::{Position, ShardId};

use super::{ProgressTable, WindowTable};

/// A group's [`Redrives`] over its two tables.
#[derive(Debug, Clone)]
pub struct RedriveItems {
    /// The progress.
    pub progress: ProgressTable,
    /// The windows.
    pub windows: WindowTable,
}

impl Redrives for RedriveItems {
    async fn look(&self, shard: &ShardId) -> Result<Begun, Error> {
        self.progress.look(shard).await
    }
    async fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, Error> {
        self.windows.load_redriven(shard, since).await
    }
    async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), Error> {
        self.windows.record_redriven(shard, redriven).await
    }
    async fn give_up(&self, shard: &ShardId, last: &Position) -> Result<(), Error> {
        self.progress.give_up(shard, last).await
    }
    async fn announce(&self, shard: &ShardId) -> Result<(), Error> {
        self.progress.announce(shard).await
    }
}
