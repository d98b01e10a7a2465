//! Waiting for a group to settle what was accepted before.

use std::time::Duration;

use penstock::PartitionKey;
use penstock::ports::{Clock, Error, Shards};
use penstock::time::Timestamp;
use penstock_aws::clock::SystemClock;
use penstock_aws::deployment::GroupParts;
use penstock_aws::{KinesisShards, ProgressTable};

use crate::Operator;
use crate::backlog::{self, Backlog};

/// Between two looks: a shard has five reads a second, and the groups need theirs.
const PAUSE: Duration = Duration::from_millis(400);

impl Operator {
    /// Waits until `group` has settled all events of `key` that arrived up to `since`, for `patience` at most; whether it
    /// has. Events of other keys on the same shard are waited for too.
    ///
    /// # Errors
    /// When the stream or the progress table does not answer.
    pub async fn caught_up(
        &self,
        group: &GroupParts,
        key: &str,
        since: Timestamp,
        patience: Duration,
    ) -> Result<bool, Error> {
        let (kinesis, stream) = (&self.clients.kinesis, &self.deployment.stream);
        let progress =
            ProgressTable::new(self.clients.dynamodb.clone(), &self.deployment.progress_table, &group.group, stream);
        let place = PartitionKey::as_stored(key).hash_key();
        let listed = KinesisShards::new(kinesis.clone(), stream).list().await?;
        let mut open: Vec<_> =
            listed.into_iter().filter(|listed| listed.range.contains(place)).map(|listed| listed.shard).collect();
        let clock = SystemClock;
        let end = clock.now().plus(patience);
        loop {
            let mut late = Vec::new();
            for shard in open {
                let position = progress.look(&shard).await?.position;
                match backlog::behind(kinesis, stream, &shard, &position).await? {
                    Backlog::Since(arrival) if arrival <= since => late.push(shard),
                    Backlog::Unknown => late.push(shard),
                    Backlog::Since(_) | Backlog::None | Backlog::Drained => {}
                }
            }
            if late.is_empty() {
                return Ok(true);
            }
            if clock.now() >= end {
                return Ok(false);
            }
            open = late;
            clock.sleep(PAUSE).await;
        }
    }
}
