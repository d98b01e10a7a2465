//! Telling the on-failure destination what was given up.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use penstock::ShardId;
use tracing::{error, warn};

use penstock_event_source::Backoff;
use penstock_event_source::GivenUp;

/// Sends tried. AWS drops what its destination does not take (metric `DestinationDeliveryFailures`); so does this, after
/// about ten seconds, because a shard that a wrong queue blocks for ever would be found out later still.
const ATTEMPTS: u32 = 8;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(3) };

/// Sends `notice` to the queue. Records of a mapping without one are dropped, and counted in a warning.
pub(crate) async fn tell(client: &Client, queue_url: Option<&str>, shard: &ShardId, given_up: &GivenUp, notice: &str) {
    let (first, last) = given_up.ends();
    let records = given_up.records.len();
    let condition = given_up.condition;
    let Some(queue_url) = queue_url else {
        warn!(%shard, ?condition, records, from = %first.sequence, to = %last.sequence,
            "records dropped: the mapping has no on-failure destination");
        return;
    };
    for attempt in 1..=ATTEMPTS {
        let sent = client.send_message().queue_url(queue_url).message_body(notice).send().await;
        let Err(refusal) = sent else {
            warn!(%shard, ?condition, records, "records given up, and the on-failure destination told");
            return;
        };
        if attempt == ATTEMPTS {
            error!(%shard, ?condition, records, from = %first.sequence, to = %last.sequence, queue_url,
                error = %DisplayErrorContext(&refusal), "records dropped: the on-failure destination takes no notice");
        } else {
            tokio::time::sleep(BACKOFF.wait(attempt, fastrand::u64(..))).await;
        }
    }
}
