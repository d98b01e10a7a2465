//! The rules of a mapping: lineage, discovery, restarts.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn source() -> EventSource {
    EventSource { stream_arn: "stream".into(), region: "region".into(), role_arn: "role".into() }
}

fn id(n: usize) -> ShardId {
    ShardId::new(&format!("shardId-{n:012}"))
}

fn listed(n: usize, parents: &[usize]) -> ListedShard {
    ListedShard { id: id(n), parents: parents.iter().copied().map(id).collect() }
}

fn mapping(position: StartingPosition, checkpoint: Option<Checkpoint>) -> Mapping {
    Mapping::new(Settings { starting_position: position, ..Settings::default() }, source(), checkpoint, NOW)
}

fn list(mapping: &mut Mapping, shards: &[ListedShard], now: Timestamp) {
    assert_eq!(mapping.next(now), Step::List);
    mapping.on_listing(shards);
}

/// Starts what is due, and gives the shards that are read, with the places.
fn reads(mapping: &mut Mapping, now: Timestamp) -> Vec<(ShardId, ReadFrom)> {
    let mut reads = Vec::new();
    loop {
        match mapping.next(now) {
            Step::Shard(shard, Action::Fetch { from, .. }) => reads.push((shard, from)),
            Step::WaitUntil(_) => return reads,
            other => panic!("{other:?}"),
        }
    }
}

fn record(sequence: &str) -> Record {
    Record { sequence: sequence.parse().unwrap(), partition_key: "key".into(), data: bytes::Bytes::new(), arrival: NOW }
}

/// Ends shard `n`, whose read is under way, with one record that is settled.
fn settle_and_end(mapping: &mut Mapping, n: usize, sequence: &str) {
    mapping.on_records(&id(n), vec![record(sequence)], true, NOW);
    let Step::Shard(shard, Action::Invoke(records)) = mapping.next(NOW) else { panic!("a record was read") };
    assert_eq!((shard, records.len()), (id(n), 1));
    mapping.on_invocation(&id(n), &Invocation::Returned("".into()), NOW, 0);
}

#[test]
fn children_of_a_split_start_when_the_parent_is_drained() {
    let mut mapping = mapping(StartingPosition::TrimHorizon, None);
    list(&mut mapping, &[listed(0, &[]), listed(1, &[0]), listed(2, &[0])], NOW);
    assert_eq!(reads(&mut mapping, NOW), [(id(0), ReadFrom::TrimHorizon)]);
    assert_eq!(mapping.status(NOW).shards[&id(1)].state, ShardState::Waiting);
    settle_and_end(&mut mapping, 0, "17");
    assert_eq!(mapping.next(NOW), Step::List, "the end of a shard lists the shards at once");
    assert_eq!(mapping.status(NOW).shards[&id(0)].state, ShardState::Drained);
    assert_eq!(mapping.status(NOW).shards[&id(0)].settled, 1, "what a drained shard did is still seen");
    assert_eq!(reads(&mut mapping, NOW), [(id(1), ReadFrom::TrimHorizon), (id(2), ReadFrom::TrimHorizon)]);
}

#[test]
fn the_child_of_a_merge_waits_for_both_parents() {
    let mut mapping = mapping(StartingPosition::TrimHorizon, None);
    list(&mut mapping, &[listed(0, &[]), listed(1, &[]), listed(2, &[0, 1])], NOW);
    assert_eq!(reads(&mut mapping, NOW).len(), 2);
    settle_and_end(&mut mapping, 1, "17");
    assert_eq!(mapping.next(NOW), Step::List);
    assert_eq!(reads(&mut mapping, NOW), [], "one parent is not drained");
    settle_and_end(&mut mapping, 0, "18");
    assert_eq!(reads(&mut mapping, NOW), [(id(2), ReadFrom::TrimHorizon)]);
}

#[test]
fn a_parent_with_a_failing_record_holds_its_children_back() {
    let mut mapping = mapping(StartingPosition::TrimHorizon, None);
    list(&mut mapping, &[listed(0, &[]), listed(1, &[0])], NOW);
    reads(&mut mapping, NOW);
    mapping.on_records(&id(0), vec![record("17")], true, NOW);
    assert!(matches!(mapping.next(NOW), Step::Shard(_, Action::Invoke(_))));
    let failed = Invocation::Failed { error_type: "Error".into(), message: String::new() };
    mapping.on_invocation(&id(0), &failed, NOW, 0);
    let Step::WaitUntil(until) = mapping.next(NOW) else { panic!("the retry waits") };
    assert!(matches!(mapping.next(until), Step::Shard(shard, Action::Invoke(_)) if shard == id(0)));
}

#[test]
fn a_parent_that_is_not_in_the_stream_any_more_counts_as_drained() {
    let mut mapping = mapping(StartingPosition::TrimHorizon, None);
    list(&mut mapping, &[listed(7, &[2, 3])], NOW);
    assert_eq!(reads(&mut mapping, NOW), [(id(7), ReadFrom::TrimHorizon)]);
}

#[test]
fn a_shard_that_leaves_the_listing_is_drained_with_what_was_read_of_it() {
    let mut mapping = mapping(StartingPosition::TrimHorizon, None);
    list(&mut mapping, &[listed(0, &[]), listed(1, &[0])], NOW);
    reads(&mut mapping, NOW);
    let later = NOW.plus(Duration::from_secs(1));
    list(&mut mapping, &[listed(1, &[0])], later);
    settle_and_end(&mut mapping, 0, "17");
    list(&mut mapping, &[listed(1, &[0])], later);
    assert_eq!(reads(&mut mapping, later), [(id(1), ReadFrom::TrimHorizon)]);
    assert!(!mapping.checkpoint().shards.contains_key(&id(0)), "and forgotten");
}

#[test]
fn shards_are_listed_regularly_and_failures_back_off() {
    let mut mapping = mapping(StartingPosition::TrimHorizon, None);
    assert_eq!(mapping.next(NOW), Step::List);
    assert!(matches!(mapping.next(NOW), Step::WaitUntil(at) if at > NOW), "one listing at a time");
    assert_eq!(mapping.on_listing_failed(NOW, 0), 1);
    let retry = NOW.plus(Duration::from_millis(50));
    assert_eq!(mapping.next(NOW), Step::WaitUntil(retry));
    list(&mut mapping, &[], retry);
    assert_eq!(mapping.next(retry), Step::WaitUntil(retry.plus(Duration::from_secs(1))));
}

#[test]
fn latest_is_the_second_of_the_first_run_for_every_shard_and_every_restart() {
    let settings = Settings { starting_position: StartingPosition::Latest, ..Settings::default() };
    let begun = NOW.plus(Duration::from_millis(987));
    let mut first = Mapping::new(settings.clone(), source(), None, begun);
    list(&mut first, &[listed(0, &[])], begun);
    assert_eq!(reads(&mut first, begun), [(id(0), ReadFrom::AtTimestamp(NOW))]);
    let later = NOW.plus(Duration::from_secs(3600));
    let settings = Settings { starting_position: StartingPosition::Latest, ..Settings::default() };
    let mut second = Mapping::new(settings, source(), Some(first.checkpoint()), later);
    list(&mut second, &[listed(0, &[]), listed(1, &[])], later);
    let from = ReadFrom::AtTimestamp(NOW);
    assert_eq!(reads(&mut second, later), [(id(0), from.clone()), (id(1), from)]);
}

#[test]
fn a_restart_goes_on_behind_what_is_done_and_does_not_read_drained_shards() {
    let mut first = mapping(StartingPosition::TrimHorizon, None);
    let shards = [listed(0, &[]), listed(1, &[0]), listed(2, &[0]), listed(3, &[1])];
    list(&mut first, &shards, NOW);
    reads(&mut first, NOW);
    settle_and_end(&mut first, 0, "17");
    list(&mut first, &shards, NOW);
    reads(&mut first, NOW);
    mapping_settles(&mut first, 2, "23");
    let saved = serde_json::to_string(&first.checkpoint()).unwrap();
    let mut second = mapping(StartingPosition::TrimHorizon, Some(serde_json::from_str(&saved).unwrap()));
    assert_eq!(second.checkpoint(), first.checkpoint(), "a save before the first listing loses nothing");
    list(&mut second, &shards, NOW);
    let after = ReadFrom::After("23".parse().unwrap());
    assert_eq!(reads(&mut second, NOW), [(id(1), ReadFrom::TrimHorizon), (id(2), after)]);
    assert_eq!(second.checkpoint(), first.checkpoint());
}

fn mapping_settles(mapping: &mut Mapping, n: usize, sequence: &str) {
    mapping.on_records(&id(n), vec![record(sequence)], false, NOW);
    assert!(matches!(mapping.next(NOW), Step::Shard(_, Action::Invoke(_))));
    assert!(mapping.delivers());
    mapping.on_invocation(&id(n), &Invocation::Returned("".into()), NOW, 0);
    assert!(!mapping.delivers());
}

#[test]
#[should_panic(expected = "is not")]
fn an_outcome_for_a_shard_that_is_not_read_is_a_fault_of_the_caller() {
    mapping(StartingPosition::TrimHorizon, None).on_given_up(&id(0));
}

/// A stream with a history of splits and merges: each shard's parents have smaller numbers.
fn lineage() -> impl Strategy<Value = Vec<ListedShard>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..3), 1..12).prop_map(
        |shards| {
            let parents = shards.into_iter().enumerate().map(|(n, (a, b, count))| match (n, count) {
                (0, _) | (_, 0) => listed(n, &[]),
                (_, 1) => listed(n, &[a.index(n)]),
                _ => listed(n, &[a.index(n), b.index(n)]),
            });
            parents.collect()
        },
    )
}

proptest! {
    #[test]
    fn no_shard_is_read_before_its_parents_are_drained_and_all_are_in_the_end(
        shards in lineage(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 100),
        restarts in proptest::collection::vec(prop::bool::weighted(0.2), 100),
    ) {
        let mut mapping = mapping(StartingPosition::TrimHorizon, None);
        list(&mut mapping, &shards, NOW);
        let mut under_way: Vec<ShardId> = Vec::new();
        let mut drained: Vec<ShardId> = Vec::new();
        for (pick, restart) in order.into_iter().zip(restarts) {
            loop {
                match mapping.next(NOW) {
                    Step::List => mapping.on_listing(&shards),
                    Step::Shard(shard, Action::Fetch { .. }) => {
                        let parents = &shards.iter().find(|listed| listed.id == shard).unwrap().parents;
                        prop_assert!(parents.iter().all(|parent| drained.contains(parent)), "{shard} is too early");
                        prop_assert!(!drained.contains(&shard), "{shard} was drained");
                        under_way.push(shard);
                    }
                    Step::Shard(shard, action) => prop_assert!(false, "{shard}: {action:?}"),
                    Step::WaitUntil(_) => break,
                }
            }
            if under_way.is_empty() {
                break;
            }
            if restart {
                under_way.clear();
                mapping = self::mapping(StartingPosition::TrimHorizon, Some(mapping.checkpoint()));
                continue;
            }
            let shard = under_way.swap_remove(pick.index(under_way.len()));
            mapping.on_records(&shard, Vec::new(), true, NOW);
            drained.push(shard);
        }
        prop_assert_eq!(drained.len(), shards.len());
    }
}
