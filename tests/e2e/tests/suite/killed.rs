//! `kill -9` of function processes at random, under load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use e2e::{Pipeline, Setup, penstock, text};
use order_alerts::{Alert, LARGE_ORDER_CENTS};
use order_status::{Order, Status};
use penstock_local::Stack;

const EVENTS: usize = 5_000;

/// What the orders are in the end, told by a model that knows nothing of Penstock.
#[derive(Default)]
struct Expected {
    status: BTreeMap<String, Status>,
    steps: BTreeMap<String, usize>,
    large: BTreeSet<String>,
}

/// Lifecycles of many orders, interleaved at random, each in its order.
fn orders(random: &mut fastrand::Rng) -> (Vec<String>, Expected) {
    let mut expected = Expected::default();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut lines = Vec::new();
    let mut orders = 0;
    while lines.len() < EVENTS {
        if open.len() < 40 {
            open.push((orders, 0));
            orders += 1;
        }
        let at = random.usize(..open.len());
        let (order, step) = open[at];
        let id = format!("ORDER-{order:05}");
        let total = random.i64(100..LARGE_ORDER_CENTS + 3_000);
        let (kind, data, status) = match step {
            0 => ("placed", format!(r#"{{"order_id":"{id}","total_cents":{total}}}"#), Status::Placed),
            1 if random.u8(..10) == 0 => {
                ("cancelled", format!(r#"{{"order_id":"{id}","reason":"customer"}}"#), Status::Cancelled)
            }
            1 => ("paid", format!(r#"{{"order_id":"{id}"}}"#), Status::Paid),
            2 => ("shipped", format!(r#"{{"order_id":"{id}"}}"#), Status::Shipped),
            _ => ("delivered", format!(r#"{{"order_id":"{id}"}}"#), Status::Delivered),
        };
        if step == 0 && total > LARGE_ORDER_CENTS {
            expected.large.insert(id.clone());
        }
        lines.push(e2e::event(&format!("{order}-{step}"), &id, &format!("shop.order.{kind}"), &data));
        *expected.steps.entry(id.clone()).or_default() += 1;
        expected.status.insert(id, status);
        if matches!(status, Status::Delivered | Status::Cancelled) {
            open.swap_remove(at);
        } else {
            open[at].1 += 1;
        }
    }
    (lines, expected)
}

/// Kills a random process of a random function, again and again.
async fn kill(stack: &Stack, random: &mut fastrand::Rng, kills: &AtomicUsize) {
    while kills.load(Ordering::Relaxed) < 60 {
        tokio::time::sleep(Duration::from_millis(random.u64(100..500))).await;
        let pids: Vec<_> =
            stack.functions().values().flat_map(|function| function.processes()).map(|process| process.pid).collect();
        let Some(pid) = pids.get(random.usize(..pids.len().max(1))) else {
            continue;
        };
        kills.fetch_add(usize::from(e2e::kill(*pid)), Ordering::Relaxed);
    }
}

async fn states(pipeline: &Pipeline) -> BTreeMap<String, Order> {
    let group = pipeline.stack.group("order-status").unwrap();
    let table = &group.environment["PENSTOCK_STATE_TABLE"];
    let mut pages = pipeline.stack.clients().dynamodb.scan().table_name(table).into_paginator().items().send();
    let mut states = BTreeMap::new();
    while let Some(item) = pages.next().await {
        let item = item.unwrap();
        let get = |name: &str| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).unwrap();
        states.insert(get("pk").clone(), serde_json::from_str(get("state")).unwrap());
    }
    states
}

async fn survives(seed: u64) {
    let pipeline = Setup::default().start().await;
    let mut random = fastrand::Rng::with_seed(seed);
    let (lines, expected) = orders(&mut random);
    let endpoint = pipeline.stack.endpoint().to_owned();
    let arguments = ["send", "-", "--endpoint", &endpoint, "--batch", "50", "--retries", "60"];
    let input = lines.join("\n");
    let sending = penstock(&arguments, &input);
    let all_settled = async {
        let sent = sending.await;
        assert!(sent.status.success(), "{}{}", text(&sent.stdout), text(&sent.stderr));
        assert!(text(&sent.stdout).contains(&format!("{EVENTS} accepted, 0 refused, 0 not taken")));
        let on_stream = pipeline.on_stream().await;
        for group in ["order-status", "order-alerts"] {
            pipeline.wait_at_most(group, on_stream, Duration::from_secs(180)).await;
        }
        on_stream
    };
    // killed while events go in, and on while the groups work them off
    let kills = AtomicUsize::new(0);
    let on_stream = {
        let mut all_settled = std::pin::pin!(all_settled);
        tokio::select! {
            on_stream = &mut all_settled => on_stream,
            () = kill(&pipeline.stack, &mut random, &kills) => all_settled.await,
        }
    };
    let kills = kills.into_inner();
    assert!(kills >= 5, "only {kills} processes were killed");

    for group in ["order-status", "order-alerts"] {
        let counts = pipeline.settled(group).await;
        assert_eq!(counts.total(), on_stream, "{group} with seed {seed} and {kills} kills: {counts:?}");
        assert_eq!(counts.dead_letters, 0, "{group}: {:?}", pipeline.dead_letters(group).await);
        assert_eq!(counts.handled, EVENTS as u64, "{group}: {counts:?}");
    }
    let states = states(&pipeline).await;
    assert_eq!(states.len(), expected.status.len());
    for (id, status) in &expected.status {
        let order = &states[id];
        assert_eq!((order.status, order.history.len()), (*status, expected.steps[id]), "{id} with seed {seed}");
    }
    let alerts: Vec<Alert> =
        pipeline.drain("Alerts").await.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let alerted: BTreeSet<_> = alerts.iter().map(|alert| alert.order_id.clone()).collect();
    assert_eq!(alerted, expected.large, "at least once each, and no other");
    let keys: BTreeSet<_> = alerts.iter().map(|alert| &alert.idempotency_key).collect();
    assert_eq!(keys.len(), expected.large.len(), "an alert that repeats has the key it had");
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_by_kill_9_seed_1() {
    Box::pin(survives(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_by_kill_9_seed_2() {
    Box::pin(survives(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_by_kill_9_seed_3() {
    Box::pin(survives(3)).await;
}
