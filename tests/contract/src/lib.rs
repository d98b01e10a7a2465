//! What every adapter of the core's ports has to do. One suite, run against the real SDK over the embedded services and
//! against the simulation's world, so that what holds in the one holds in the other.
//!
//! A check is a function over a [`World`] that is fresh: nothing is stored in it. [`suite!`] makes a test of each.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check that fails panics")]

pub mod progress;
pub mod recoveries;
pub mod redrives;
pub mod schemas;
pub mod states;
pub mod stream;
pub mod windows;

use std::future::Future;

use penstock::dead_letter::DeadLetter;
use penstock::ports::{DeadLetters, Ledger, Records, Recoveries, Shards, States, Stream, Turns};
use penstock::{Position, ShardId};
use penstock_schema::registry::Registry;

/// The ports of a group, and what only an operator does.
pub trait World {
    /// The group's ports.
    type Group: Ledger + Turns + Recoveries + DeadLetters + Shards + Records;
    /// The ports of another group on the same stream.
    fn group(&self, name: &str) -> Self::Group;
    /// The states of a projection.
    fn states(&self) -> impl States;
    /// The registry of schemas.
    fn schemas(&self) -> impl Registry;
    /// The stream, which has one shard.
    fn stream(&self) -> impl Stream;
    /// Splits a shard in the middle of its hash keys.
    fn split(&self, shard: &ShardId) -> impl Future<Output = ()>;
    /// The letters in the queue of a group.
    fn letters(&self, group: &str) -> impl Future<Output = Vec<DeadLetter>>;
}

/// The shard that a fresh stream has.
pub fn shard() -> ShardId {
    ShardId::new("shardId-000000000000")
}

/// A position whose sequence number has 56 digits, as Kinesis's have.
pub fn position(last: u32, index: u32) -> Position {
    Position::new(format!("49680497862775739260483894113445589547591{last:015}").parse().unwrap(), index)
}

/// A test for each check, with `$world` as the expression of a fresh world.
#[macro_export]
macro_rules! suite {
    ($world:expr) => {
        $crate::suite!(@ $world, progress:
            a_first_run_begins_at_the_start, each_run_counts_up, a_later_run_fences_an_earlier_one,
            what_is_committed_is_what_the_next_run_finds, a_commit_can_be_said_twice,
            a_commit_that_arrives_late_is_not_written,
            shards_and_groups_are_apart, a_thousand_failures_are_kept);
        $crate::suite!(@ $world, windows:
            what_is_recorded_is_loaded, runs_up_to_a_given_one_are_left_out, what_is_old_is_left_out_unless_it_is_kept, what_is_old_is_told_by_arrival_or_by_recording,
            no_more_names_are_loaded_than_there_is_room_for,
            parts_of_a_run_are_apart, more_than_a_page_is_loaded_whole, epochs_are_compared_as_numbers);
        $crate::suite!(@ $world, redrives:
            a_look_fences_nobody, what_was_redriven_is_counted_for_the_next_run, one_call_has_the_turn, what_was_redriven_is_loaded_and_is_no_segment,
            what_expires_goes_forward_only);
        $crate::suite!(@ $world, recoveries: a_cursor_goes_forward_only, a_cursor_is_of_one_range_and_no_segment);
        $crate::suite!(@ $world, states:
            there_is_no_state_at_first, a_state_is_written_over_the_one_that_was_read,
            a_state_is_not_written_over_another, large_states_are_kept, each_state_of_a_call_is_judged_alone);
        $crate::suite!(@ $world, schemas:
            nothing_is_published_at_first, what_is_published_is_read_back, an_index_is_published_without_versions,
            a_revision_is_published_once, a_version_is_never_overwritten,
            many_versions_are_read_and_the_missing_left_out);
        $crate::suite!(@ $world, stream:
            what_is_put_is_read_back_in_order, reading_back_goes_on_after_a_number, a_page_says_what_follows_it,
            a_shard_that_is_not_there_is_no_error, a_child_knows_its_ancestors, a_letter_comes_back_with_its_bytes);
    };
    (@ $world:expr, $port:ident: $($check:ident),*) => {
        mod $port {
            use super::*;
            $(
                #[tokio::test]
                async fn $check() {
                    $crate::$port::$check(&$world.await).await;
                }
            )*
        }
    };
}
