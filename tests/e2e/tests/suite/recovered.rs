//! What the event source gives up on comes back as dead letters.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::{Pipeline, Setup, event};
use penstock::dead_letter::Code;

const ORDERS: usize = 60;

fn alerts_queue(pipeline: &Pipeline) -> &str {
    &pipeline.stack.group("order-alerts").unwrap().environment["ALERTS_QUEUE_URL"]
}

/// Posts a large order for each key, two events in one record.
async fn post(pipeline: &Pipeline) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut events = Vec::new();
    for order in 0..ORDERS {
        for (kind, data) in [
            ("placed", format!(r#"{{"order_id":"O{order}","total_cents":500000}}"#)),
            ("cancelled", format!(r#"{{"order_id":"O{order}","reason":"fraud"}}"#)),
        ] {
            let id = format!("{order}-{kind}");
            events.push(event(&id, &format!("O{order}"), &format!("shop.order.{kind}"), &data));
            ids.insert(id);
        }
    }
    let (status, answer) = pipeline.post("application/cloudevents-batch+json", format!("[{}]", events.join(","))).await;
    assert_eq!(status, 202, "{answer}");
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_record_age_ends_in_dead_letters_with_their_bytes_that_can_be_sent_back() {
    let pipeline = Setup::default().with("ShardCount", 1).with("GiveUpAfterSeconds", 60).start().await;
    let sqs = &pipeline.stack.clients().sqs;
    let alerts = alerts_queue(&pipeline).to_owned();
    let name = alerts.rsplit('/').next().unwrap().to_owned();
    sqs.delete_queue().queue_url(&alerts).send().await.unwrap();

    // many orders fail at once: an outage, so most of them are not dead-lettered before the event source gives up
    let ids = post(&pipeline).await;
    pipeline.wait_for("order-status", 2 * ORDERS as u64).await;
    // the least record age is a minute
    let began = Instant::now();
    let letters = loop {
        let letters = pipeline.dead_letters("order-alerts").await;
        if letters.len() >= ids.len() {
            break letters;
        }
        assert!(began.elapsed() < Duration::from_secs(150), "{} letters\n{}", letters.len(), pipeline.logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let mut found = BTreeSet::new();
    // a first batch of few orders looks like poison
    let given_up = letters.iter().filter(|letter| letter.code == Code::GivenUp).count();
    assert!(given_up >= ids.len() / 3, "{letters:?}");
    for letter in &letters {
        assert!(matches!(letter.code, Code::GivenUp | Code::RetriesExhausted), "{letter:?}");
        let event: serde_json::Value =
            serde_json::from_slice(&BASE64_STANDARD.decode(&letter.data_base64).unwrap()).unwrap();
        found.insert(event["id"].as_str().unwrap().to_owned());
    }
    assert_eq!((found, letters.len()), (ids.clone(), ids.len()), "each event once, with its bytes");

    // the queue is back, and so are the letters
    assert_eq!(sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.as_deref(), Some(alerts.as_str()));
    assert_eq!(pipeline.redrive("order-alerts").await, ids.len() as u64);
    let mut told = Vec::new();
    let began = Instant::now();
    while told.len() < ids.len() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} alerts\n{}", told.len(), pipeline.logs());
        told.extend(pipeline.drain("Alerts").await);
    }
    let keys: BTreeSet<_> = told
        .iter()
        .map(|body| serde_json::from_str::<serde_json::Value>(body).unwrap()["idempotency_key"].to_string())
        .collect();
    assert_eq!((keys.len(), told.len()), (ids.len(), ids.len()), "each alert once");
    assert_eq!(pipeline.dead_letters("order-alerts").await, []);
    pipeline.stop().await;
}
