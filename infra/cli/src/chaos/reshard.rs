//! Splits and merges of the stream's shards while it is written and read.

use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use tokio_util::sync::CancellationToken;

/// Open shards, at least.
const OPEN_MIN: usize = 2;

/// Open shards, at most.
const OPEN_MAX: usize = 8;

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// Shards that were split.
    pub(super) splits: u64,
    /// Pairs of shards that were merged.
    pub(super) merges: u64,
    /// Open shards now.
    pub(super) open: usize,
}

/// A shard that takes records: its id and its range of hash keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    from: u128,
    to: u128,
    id: String,
}

/// Splits and merges until `over`. What the stream refuses, because the last change is still under way, is left.
pub(super) async fn run(
    client: &Client,
    stream: &str,
    mut random: fastrand::Rng,
    figures: &Mutex<Figures>,
    over: &CancellationToken,
) {
    loop {
        let pause = Duration::from_millis(random.u64(2_000..8_000));
        if over.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        let Ok(listed) = client.list_shards().stream_name(stream).send().await else { continue };
        let open = open(listed.shards());
        let split = open.len() <= OPEN_MIN || (open.len() < OPEN_MAX && random.bool());
        let at = random.usize(..open.len().max(1));
        let changed = match (split, open.get(at), open.get(at + 1)) {
            (true, Some(shard), _) if shard.to > shard.from => {
                let middle = shard.from + (shard.to - shard.from) / 2 + 1;
                let request = client.split_shard().stream_name(stream).shard_to_split(&shard.id);
                request.new_starting_hash_key(middle.to_string()).send().await.is_ok()
            }
            (false, Some(left), Some(right)) => {
                let request = client.merge_shards().stream_name(stream).shard_to_merge(&left.id);
                request.adjacent_shard_to_merge(&right.id).send().await.is_ok()
            }
            _ => false,
        };
        let mut figures = figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match split {
            true => figures.splits += u64::from(changed),
            false => figures.merges += u64::from(changed),
        }
        figures.open = if !changed {
            open.len()
        } else if split {
            open.len() + 1
        } else {
            open.len() - 1
        };
    }
}

/// The shards that take records, in the order of their hash keys, so that neighbours are adjacent.
fn open(shards: &[Shard]) -> Vec<Open> {
    let mut open: Vec<_> = shards
        .iter()
        .filter(|shard| shard.sequence_number_range().is_none_or(|range| range.ending_sequence_number().is_none()))
        .filter_map(|shard| {
            let range = shard.hash_key_range()?;
            let (from, to) = (range.starting_hash_key().parse().ok()?, range.ending_hash_key().parse().ok()?);
            Some(Open { from, to, id: shard.shard_id().to_owned() })
        })
        .collect();
    open.sort();
    open
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::{HashKeyRange, SequenceNumberRange};

    use super::*;

    fn shard(id: &str, from: u128, to: u128, closed: bool) -> Shard {
        let keys = HashKeyRange::builder().starting_hash_key(from.to_string()).ending_hash_key(to.to_string());
        let end = closed.then(|| "2".to_owned());
        let numbers = SequenceNumberRange::builder().starting_sequence_number("1").set_ending_sequence_number(end);
        let shard = Shard::builder().shard_id(id).hash_key_range(keys.build().unwrap());
        shard.sequence_number_range(numbers.build().unwrap()).build().unwrap()
    }

    #[test]
    fn closed_shards_are_left_out_and_neighbours_stand_side_by_side() {
        let shards = [shard("0", 0, 99, true), shard("1", 50, 99, false), shard("2", 0, 49, false)];
        let ids: Vec<_> = open(&shards).into_iter().map(|shard| shard.id).collect();
        assert_eq!(ids, ["2", "1"]);
    }
}
