//! Events that fail, and what else is on the stream.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::{Pipeline, Setup, event};
use penstock::dead_letter::Code;

const BATCHED: &str = "application/cloudevents-batch+json";

/// Posts (id, key, what the handler is told to do).
async fn post(pipeline: &Pipeline, events: &[(&str, &str, &str)]) {
    let events: Vec<_> = events.iter().map(|(id, key, told)| event(id, key, "t", &format!("\"{told}\""))).collect();
    let (status, answer) = pipeline.post(BATCHED, format!("[{}]", events.join(","))).await;
    assert_eq!(status, 202, "{answer}");
}

async fn effects(pipeline: &Pipeline) -> BTreeSet<String> {
    pipeline.drain("Effects").await.into_iter().collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_stream_is_dead_lettered_with_its_bytes_and_the_shard_goes_on() {
    let pipeline = Setup::obedient().start().await;
    let stream = &pipeline.stack.pipeline().streams[0].name;
    let forged = [&[0xF3, 0x89, 0x9A, 0xC2][..], &[7; 40]].concat();
    let large: Vec<u8> = (0..1_000_000u32).map(|n| u8::try_from((n ^ (n >> 7)) % 251).unwrap()).collect();
    for garbage in [vec![0xff, 0xfe, 0x00], forged.clone(), b"{}".to_vec(), large.clone()] {
        let put = pipeline.stack.clients().kinesis.put_record().stream_name(stream).partition_key("k");
        put.data(Blob::new(garbage)).send().await.unwrap();
    }
    post(&pipeline, &[("after", "k", "succeed")]).await;
    let counts = pipeline.wait_for("obedient", 5).await;
    assert_eq!((counts.handled, counts.dead_letters), (1, 4));

    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for letter in pipeline.dead_letters("obedient").await {
        assert_eq!((letter.code, letter.group.as_str(), &letter.stream), (Code::NotAnEvent, "obedient", stream));
        let bytes = BASE64_STANDARD.decode(&letter.data_base64).unwrap();
        match found.last_mut() {
            Some((sequence, data)) if *sequence == letter.sequence.to_string() => data.extend(bytes),
            _ => found.push((letter.sequence.to_string(), bytes)),
        }
    }
    let found: Vec<_> = found.into_iter().map(|(_, bytes)| bytes).collect();
    assert!(found == [vec![0xff, 0xfe, 0x00], forged, b"{}".to_vec(), large], "the bytes are as they were put");
    assert_eq!(effects(&pipeline).await, set(&["after"]));
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_asks_for_a_retry_three_times_is_dead_lettered_while_other_keys_go_on() {
    let pipeline = Setup::obedient().start().await;
    post(
        &pipeline,
        &[
            ("a1", "a", "succeed"),
            ("a2", "a", "retry"),
            ("a3", "a", "succeed"),
            ("b1", "b", "succeed"),
            ("c1", "c", "refuse"),
        ],
    )
    .await;
    let counts = pipeline.wait_for("obedient", 5).await;
    assert_eq!((counts.handled, counts.duplicates, counts.dead_letters), (3, 0, 2));
    let letters = pipeline.dead_letters("obedient").await;
    let of = |code| letters.iter().filter(|letter| letter.code == code).collect::<Vec<_>>();
    assert_eq!(of(Code::RetriesExhausted).len(), 1);
    assert_eq!((of(Code::RetriesExhausted)[0].attempts, of(Code::RetriesExhausted)[0].reason.as_str()), (3, "told to"));
    assert_eq!(of(Code::Refused).len(), 1, "{letters:#?} {}", pipeline.logs());
    // in the order of their key, and each once
    assert_eq!(
        pipeline.drain("Effects").await.iter().filter(|id| id.starts_with('a')).collect::<Vec<_>>(),
        ["a1", "a3"]
    );
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downstream_that_is_away_for_half_a_minute_costs_a_small_group_no_dead_letter() {
    let pipeline = Setup::obedient().with("PatienceSeconds", 60).start().await;
    let queue = pipeline.stack.pipeline().queues.iter().find(|queue| queue.logical_id == "Effects").unwrap();
    let sqs = &pipeline.stack.clients().sqs;
    sqs.delete_queue().queue_url(&queue.url).send().await.unwrap();
    let away = tokio::time::sleep(Duration::from_secs(30));
    post(&pipeline, &[("a1", "a", "succeed"), ("a2", "a", "succeed"), ("b1", "b", "succeed"), ("c1", "c", "refuse")])
        .await;
    away.await;
    sqs.create_queue().queue_name(&queue.name).send().await.unwrap();
    let counts = pipeline.wait_at_most("obedient", 4, Duration::from_secs(40)).await;
    assert_eq!((counts.handled, counts.dead_letters), (3, 1), "{}", pipeline.logs());
    assert_eq!(
        pipeline.drain("Effects").await.iter().filter(|id| id.starts_with('a')).collect::<Vec<_>>(),
        ["a1", "a2"]
    );
    let runs = pipeline.lines("obedient").iter().filter(|line| line.contains("outcome=settled")).count();
    assert!(runs <= 8, "it waits and does not spin: {runs} runs in half a minute");
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_or_blocks_its_process_is_found_and_the_others_are_handled() {
    let pipeline = Setup::obedient().with("Timeout", 3).start().await;
    post(
        &pipeline,
        &[
            ("1", "a", "succeed"),
            ("2", "b", "abort"),
            ("3", "c", "succeed"),
            ("4", "d", "panic"),
            ("5", "b", "succeed"),
        ],
    )
    .await;
    let counts = pipeline.wait_for("obedient", 5).await;
    assert_eq!((counts.handled, counts.dead_letters), (3, 2), "{}", pipeline.logs());
    post(&pipeline, &[("6", "a", "block"), ("7", "a", "succeed"), ("8", "b", "hang"), ("9", "b", "succeed")]).await;
    let counts = pipeline.wait_at_most("obedient", 9, Duration::from_secs(180)).await;
    assert_eq!((counts.handled, counts.dead_letters), (5, 4), "{}", pipeline.logs());
    let mut codes: Vec<_> = pipeline.dead_letters("obedient").await.iter().map(|letter| letter.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["crashed", "crashed", "retries_exhausted", "retries_exhausted"]);
    assert_eq!(effects(&pipeline).await, set(&["1", "3", "5", "7", "9"]));
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_twice_takes_effect_once() {
    let pipeline = Setup::obedient().start().await;
    post(&pipeline, &[("1", "a", "succeed"), ("1", "a", "succeed")]).await;
    pipeline.wait_for("obedient", 2).await;
    post(&pipeline, &[("1", "a", "succeed"), ("2", "a", "succeed")]).await;
    let counts = pipeline.wait_for("obedient", 4).await;
    assert_eq!((counts.handled, counts.duplicates), (2, 2));
    assert_eq!(pipeline.drain("Effects").await, ["1", "2"]);
    pipeline.stop().await;
}
