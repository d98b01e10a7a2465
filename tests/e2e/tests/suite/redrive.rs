//! Dead letters that are sent back to their group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use e2e::{Pipeline, Setup, event, penstock, text};

use crate::commands::{free_port, start_dev_with};

/// Posts events of one order, each of its kind, and waits until `order-status` has settled them.
async fn post(pipeline: &Pipeline, order: &str, kinds: &[&str], settled: u64) {
    let events: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let total = if *kind == "placed" { r#","total_cents":100"# } else { "" };
            let data = format!(r#"{{"order_id":"{order}"{total}}}"#);
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

/// Sends the letters of the one group back; the lines that say what became of each, and the exit code.
async fn send_back(port: &str) -> (Vec<serde_json::Value>, Option<i32>) {
    let arguments = ["dlq", "redrive", "--group", "obedient", "--wait", "90", "--json", "--port", port];
    let said = penstock(&arguments, "").await;
    let lines = text(&said.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, said.status.code())
}

fn became<'a>(letters: &'a [serde_json::Value], word: &str) -> Vec<&'a serde_json::Value> {
    letters.iter().filter(|letter| letter["became"] == word).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_letters_of_which_a_tenth_is_refused_again_end_within_seconds_and_each_is_told() {
    let port = free_port().to_string();
    let _dev = start_dev_with(&port, &["--template", "tests/e2e/obedient.yaml"]).await;
    // 100 keys with ten events each, of which one is always refused and the others once
    let events: Vec<_> = (0..1000)
        .map(|number| {
            let (key, nth) = (number % 100, number / 100);
            let data = if key % 10 == nth { "\"refuse\"" } else { "{\"refuse_times\":1}" };
            event(&format!("{key}.{nth}"), &key.to_string(), "t", data)
        })
        .collect();
    let sent = penstock(&["send", "-", "--port", &port], &events.join("\n")).await;
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let began = Instant::now();
    loop {
        let status = penstock(&["status", "--json", "--port", &port], "").await;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        if status["status"]["groups"][0]["dead_letters"] == 1000 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "{status}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    let began = Instant::now();
    let (letters, code) = send_back(&port).await;
    assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
    assert_eq!((letters.len(), code), (1000, Some(1)));
    let places: BTreeSet<_> =
        letters.iter().map(|letter| format!("{}.{}", letter["sequence"], letter["index"])).collect();
    assert_eq!(places.len(), 1000);
    let (settled, back) = (became(&letters, "settled").len(), became(&letters, "back"));
    assert_eq!(settled + back.len(), 1000);
    let refused = back.iter().filter(|letter| letter["code"] == "refused").count();
    let overtaken = back.iter().filter(|letter| letter["code"] == "overtaken").count();
    assert_eq!(refused + overtaken, back.len());
    assert!(back.len() >= 100 && refused <= 100, "{refused} refused, {overtaken} overtaken");
    // of each key in the order of the stream; what would have broken it came back
    let effects = penstock(&["queue", "Effects", "--limit", "2000", "--port", &port], "").await;
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in text(&effects.stdout).lines() {
        let (key, nth) = id.split_once('.').unwrap();
        keys.entry(key.to_owned()).or_default().push(nth.to_owned());
    }
    assert_eq!(keys.values().map(Vec::len).sum::<usize>(), settled);
    assert!(keys.values().all(|nths| nths.is_sorted_by(|a, b| a < b)), "{keys:?}");

    // what was overtaken is handled when it is sent back once more
    let (letters, code) = send_back(&port).await;
    assert_eq!((letters.len(), code), (back.len(), Some(1)));
    assert_eq!((became(&letters, "settled").len(), became(&letters, "back").len()), (back.len() - 100, 100));
}
