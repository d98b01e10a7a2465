//! Dead letters that are sent back to their group.

use std::time::{Duration, Instant};

use e2e::{Pipeline, Setup, event};

/// Posts events of one order, each of its kind, and waits until `order-status` has settled them.
async fn post(pipeline: &Pipeline, order: &str, kinds: &[&str], settled: u64) {
    let events: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let data = format!(r#"{{"order_id":"{order}","total_cents":100}}"#);
            event(&format!("{order}-{kind}"), order, &format!("shop.order.{kind}"), &data)
        })
        .collect();
    let body = format!("[{}]", events.join(","));
    let (status, answer) = pipeline.post("application/cloudevents-batch+json", body).await;
    assert_eq!(status, 202, "{answer}");
    pipeline.wait_for("order-status", settled).await;
}

async fn state(pipeline: &Pipeline, order: &str) -> serde_json::Value {
    let table = &pipeline.stack.group("order-status").unwrap().environment["PENSTOCK_STATE_TABLE"];
    let key = aws_sdk_dynamodb::types::AttributeValue::S(order.to_owned());
    let dynamodb = &pipeline.stack.clients().dynamodb;
    let answer = dynamodb.get_item().table_name(table).key("pk", key).consistent_read(true).send().await.unwrap();
    let state = answer.item().and_then(|item| item.get("state")).and_then(|state| state.as_s().ok()).cloned();
    state.map_or(serde_json::Value::Null, |state| serde_json::from_str(&state).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_sent_back_is_applied_once_and_its_copy_on_the_stream_is_a_duplicate() {
    let pipeline = Setup::default().start().await;
    // shipped before it was paid: refused
    post(&pipeline, "A", &["placed", "shipped"], 2).await;
    assert_eq!(pipeline.dead_letters("order-status").await.len(), 1);
    post(&pipeline, "A", &["paid"], 3).await;
    assert_eq!(state(&pipeline, "A").await["status"], "paid");

    assert_eq!(pipeline.redrive("order-status").await, 1);
    let began = Instant::now();
    while state(&pipeline, "A").await["status"] != "shipped" {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", pipeline.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pipeline.dead_letters("order-status").await, []);
    // the state itself would refuse a second one
    let before = state(&pipeline, "A").await;
    post(&pipeline, "A", &["shipped"], 4).await;
    assert_eq!(pipeline.settled("order-status").await.duplicates, 1);
    assert_eq!(state(&pipeline, "A").await, before);
    pipeline.stop().await;
}
