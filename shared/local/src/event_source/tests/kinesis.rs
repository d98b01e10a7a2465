//! A Kinesis mapping against ferrokinesis.

use std::time::Duration;

use penstock::ShardId;
use serde_json::Value;

use super::fixture::{Function, STREAM, eventually, failed, kinesis, reporting, sqs};
use super::orders::{MIDDLE, all, create, delivered, each_key, mapping, merge, number, put, run, settings, split};
use crate::event_source::stream;
use crate::event_source::{CheckpointStore, FileCheckpoints, KinesisMapping, MappingError, MemoryCheckpoints};
use penstock_event_source::Settings;
use penstock_event_source::ShardState;
use penstock_event_source::{Pacing, ReadFrom};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_stay_in_order_through_splits_and_merges_while_reading() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    let function = Function::succeeding().taking(Duration::from_millis(5));
    let running = run(mapping(settings()), &client, &sqs(), &function, MemoryCheckpoints::default());
    put(&client, 0..10).await;
    split(&client, "shardId-000000000000", MIDDLE).await;
    put(&client, 10..20).await;
    merge(&client, "shardId-000000000001", "shardId-000000000002").await;
    put(&client, 20..30).await;
    function.until(|batches| all(batches, 120)).await;
    assert_eq!(delivered(&function.batches()), each_key(0..30));
    let status = running.status.clone();
    eventually("a caught up mapping", || {
        let shards = &status.borrow().shards;
        let state = |shard| shards.iter().filter(|(_, status)| status.state == shard).count();
        state(ShardState::Drained) == 3
            && state(ShardState::Reading) == 1
            && shards.values().all(|shard| shard.iterator_age.is_zero() && shard.in_flight == 0)
            && shards.values().map(|shard| shard.settled).sum::<u64>() == 120
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_record_of_a_child_is_delivered_before_its_failing_parent_is_drained() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    put(&client, 0..5).await;
    split(&client, "shardId-000000000000", MIDDLE).await;
    put(&client, 5..8).await;
    merge(&client, "shardId-000000000001", "shardId-000000000002").await;
    put(&client, 8..10).await;
    // every third run settles half a batch, every other third crashes
    let function = Function::new(|run, records| match run % 3 {
        0 => reporting(records[records.len() / 2]["kinesis"]["sequenceNumber"].as_str().unwrap()),
        1 => failed(),
        _ => crate::lambda::Invocation::Returned("{}".into()),
    });
    let running = run(mapping(settings()), &client, &sqs(), &function, MemoryCheckpoints::default());
    let last =
        |batches: &[Vec<Value>]| delivered(batches).values().filter(|numbers| numbers.last() == Some(&9)).count() == 4;
    function.until(last).await;
    running.stop().await.unwrap();
    let generation = |record: &Value| match record["eventID"].as_str().unwrap().split_once(':').unwrap().0 {
        "shardId-000000000000" => 0,
        "shardId-000000000001" | "shardId-000000000002" => 1,
        _ => 2,
    };
    let generations: Vec<_> = function.batches().iter().flatten().map(generation).collect();
    assert!(generations.is_sorted(), "{generations:?}");
    for (key, mut numbers) in delivered(&function.batches()) {
        // redelivery repeats records, and passes over none
        assert!(numbers.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{key}: {numbers:?}");
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_mapping_reads_at_once_when_it_is_told_of_a_put() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    let function = Function::succeeding();
    // waits double: reads that find nothing end at 1.5 s, and the next one is at 3.1 s
    let pacing = Pacing {
        idle_poll_min: Duration::from_millis(100),
        idle_poll_max: Duration::from_secs(3600),
        ..Pacing::default()
    };
    let (tell, puts) = tokio::sync::watch::channel(0);
    let config = KinesisMapping { puts: Some(puts), ..mapping(Settings { pacing, ..settings() }) };
    let running = run(config, &client, &sqs(), &function, MemoryCheckpoints::default());
    tokio::time::sleep(Duration::from_secs(2)).await;
    put(&client, 0..1).await;
    let told = std::time::Instant::now();
    tell.send_replace(1);
    function.until(|batches| all(batches, 4)).await;
    assert!(told.elapsed() < Duration::from_millis(500), "it waited on for {:?}", told.elapsed());
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_the_last_run_ended() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    let dir = tempfile::tempdir().unwrap();
    let store = FileCheckpoints::new(dir.path().join("mapping.json"));
    let function = Function::succeeding();
    let running = run(mapping(settings()), &client, &sqs(), &function, store.clone());
    put(&client, 0..5).await;
    function.until(|batches| all(batches, 20)).await;
    running.stop().await.unwrap();
    split(&client, "shardId-000000000000", MIDDLE).await;
    put(&client, 5..10).await;
    let running = run(mapping(settings()), &client, &sqs(), &function, store);
    function.until(|batches| all(batches, 40)).await;
    running.stop().await.unwrap();
    assert_eq!(delivered(&function.batches()), each_key(0..10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_mapping_lets_the_invocation_under_way_end_and_saves_it() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    put(&client, 0..1).await;
    let store = MemoryCheckpoints::default();
    let function = Function::succeeding().taking(Duration::from_millis(500));
    let running = run(mapping(settings()), &client, &sqs(), &function, store.clone());
    function.until(|batches| !batches.is_empty()).await;
    let status = running.status.clone();
    eventually("the invocation to show", || status.borrow().shards.values().any(|shard| shard.in_flight == 4)).await;
    running.stop().await.unwrap();
    assert_eq!(function.ended(), 1);
    let last = function.batches()[0][3]["kinesis"]["sequenceNumber"].as_str().unwrap().to_owned();
    let checkpoint = store.load().await.unwrap().expect("a checkpoint was saved");
    let progress = checkpoint.shards.values().next().expect("there is one shard");
    assert_eq!(progress.settled_to.as_ref().map(ToString::to_string), Some(last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invocation_that_outlives_the_grace_is_left_and_delivered_again() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    put(&client, 0..1).await;
    let store = MemoryCheckpoints::default();
    let function = Function::succeeding().taking(Duration::from_secs(600));
    let config = KinesisMapping { grace: Duration::from_millis(50), ..mapping(settings()) };
    let running = run(config, &client, &sqs(), &function, store.clone());
    function.until(|batches| !batches.is_empty()).await;
    running.stop().await.unwrap();
    let again = Function::succeeding();
    let running = run(mapping(settings()), &client, &sqs(), &again, store);
    again.until(|batches| all(batches, 4)).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_told_to_the_queue_and_the_shard_goes_on() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    let sqs = sqs();
    let queue = sqs.create_queue().queue_name("discarded").send().await.unwrap().queue_url.unwrap();
    put(&client, 0..2).await;
    let poison = Function::new(|_, records| match records.iter().any(|record| number(record) == 0) {
        true => failed(),
        false => crate::lambda::Invocation::Returned("{}".into()),
    });
    let settings = Settings { batch_size: 4, maximum_retry_attempts: Some(1), ..settings() };
    let config = KinesisMapping { on_failure_queue_url: Some(queue.clone()), ..mapping(settings) };
    let running = run(config, &client, &sqs, &poison, MemoryCheckpoints::default());
    poison.until(|batches| batches.len() == 3).await;
    let received = sqs.receive_message().queue_url(&queue).send().await.unwrap();
    running.stop().await.unwrap();
    let notice: Value = serde_json::from_str(received.messages()[0].body().unwrap()).unwrap();
    let batches = poison.batches();
    assert_eq!(notice["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(notice["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(notice["KinesisBatchInfo"]["startSequenceNumber"], batches[0][0]["kinesis"]["sequenceNumber"]);
    assert_eq!(notice["KinesisBatchInfo"]["endSequenceNumber"], batches[0][3]["kinesis"]["sequenceNumber"]);
    assert_eq!(notice["KinesisBatchInfo"]["batchSize"], 4);
    assert_eq!(delivered(&batches[2..]), each_key(1..2), "the records behind them were delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iterator_that_expires_during_an_invocation_loses_and_repeats_nothing() {
    let client = kinesis(1).await;
    create(&client, 1).await;
    let function = Function::succeeding().taking(Duration::from_millis(2500));
    let running = run(mapping(settings()), &client, &sqs(), &function, MemoryCheckpoints::default());
    put(&client, 0..1).await;
    function.until(|batches| all(batches, 1)).await;
    put(&client, 1..2).await;
    function.until(|batches| all(batches, 8)).await;
    running.stop().await.unwrap();
    assert_eq!(delivered(&function.batches()), each_key(0..2));
}

#[tokio::test]
async fn a_read_replaces_an_iterator_that_has_expired_by_one_at_the_same_place() {
    let client = kinesis(1).await;
    create(&client, 1).await;
    put(&client, 0..1).await;
    let shard = ShardId::new("shardId-000000000000");
    let read = |iterator| stream::read(&client, STREAM, &shard, &ReadFrom::TrimHorizon, 4, iterator);
    let page = read(None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(page.records.len(), 4);
    assert_eq!(read(page.next).await.unwrap().records, page.records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_there_yet_is_waited_for() {
    let client = kinesis(300).await;
    let function = Function::succeeding();
    let running = run(mapping(settings()), &client, &sqs(), &function, MemoryCheckpoints::default());
    tokio::time::sleep(Duration::from_millis(200)).await;
    create(&client, 2).await;
    put(&client, 0..3).await;
    function.until(|batches| all(batches, 12)).await;
    running.stop().await.unwrap();
    assert_eq!(delivered(&function.batches()), each_key(0..3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_at_latest_reads_what_comes_after_it_began_through_a_restart() {
    let client = kinesis(300).await;
    create(&client, 1).await;
    put(&client, 0..2).await;
    // arrivals are kept in seconds
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let latest = Settings { starting_position: penstock_event_source::StartingPosition::Latest, ..settings() };
    let store = MemoryCheckpoints::default();
    let function = Function::succeeding();
    let running = run(mapping(latest.clone()), &client, &sqs(), &function, store.clone());
    let status = running.status.clone();
    eventually("the mapping to begin", || !status.borrow().shards.is_empty()).await;
    running.stop().await.unwrap();
    put(&client, 2..4).await;
    let running = run(mapping(latest), &client, &sqs(), &function, store);
    function.until(|batches| all(batches, 8)).await;
    running.stop().await.unwrap();
    assert_eq!(delivered(&function.batches()), each_key(2..4));
}

#[tokio::test]
async fn a_checkpoint_of_another_stream_or_settings_that_aws_refuses_are_not_run_with() {
    let client = kinesis(300).await;
    let store = MemoryCheckpoints::default();
    let function = Function::succeeding();
    run(mapping(settings()), &client, &sqs(), &function, store.clone()).stop().await.unwrap();
    let mut other = mapping(settings());
    other.source.stream_arn.push_str("-2");
    let refused = run(other, &client, &sqs(), &function, store.clone()).task.await.unwrap();
    assert!(matches!(refused, Err(MappingError::OtherStream { .. })), "{refused:?}");
    let huge = Settings { batch_size: 10_001, ..settings() };
    let refused = run(mapping(huge), &client, &sqs(), &function, store).task.await.unwrap();
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the settings of the mapping are refused: BatchSize is 10001; it must be 1 to 10,000"
    );
}
