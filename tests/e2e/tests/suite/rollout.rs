//! A type gets its next version while events flow, and neither who is upgraded first nor who is late breaks anything.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use e2e::{Pipeline, Setup, event, root};
use penstock::dead_letter::Code;
use penstock_admin::schemas::{Folder, publish};
use penstock_aws::SchemaTable;

const BATCHED: &str = "application/cloudevents-batch+json";

fn registry(pipeline: &Pipeline) -> SchemaTable {
    let table = pipeline.stack.pipeline().tables.iter().find(|table| table.logical_id == "Schemas").unwrap();
    SchemaTable::new(pipeline.stack.clients().dynamodb.clone(), &table.name)
}

/// Orders that are placed, each once, under a version.
fn placed(from: u64, version: u32) -> String {
    let order = |number: u64| {
        let voucher = if version == 2 { r#","voucher":"AUTUMN""# } else { "" };
        let data = format!(r#"{{"order_id":"O{number}","total_cents":100{voucher}}}"#);
        let text = event(&format!("{number}"), &format!("O{number}"), "shop.order.placed", &data);
        text.replacen('{', &format!(r#"{{"dataschema":"urn:penstock:schema:shop.order.placed:{version}","#), 1)
    };
    format!("[{}]", (from..from + 20).map(order).collect::<Vec<_>>().join(","))
}

/// `order-status` reads version 2 as 1, so that producers were first; `order-alerts` understood 2 before anybody sent it, so that
/// consumers were. Producers of version 1 go on beside those of 2.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_gets_its_next_version_under_load_and_nobody_is_broken() {
    let pipeline = Setup::default().start().await;
    let all = Folder::read(&root().join("events/schemas")).unwrap();
    let mut first = all.clone();
    first.types.get_mut(&"shop.order.placed".parse().unwrap()).unwrap().versions.remove(&2);
    publish(&registry(&pipeline), &first, false).await.unwrap();

    let (sent, published, done) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let producer = async |version: u32| {
        while !done.load(Ordering::Relaxed) {
            // a new release of a producer is there when its version is
            let version = if published.load(Ordering::Relaxed) { version } else { 1 };
            let from = sent.fetch_add(20, Ordering::Relaxed);
            let (status, answer) = pipeline.post(BATCHED, placed(from, version)).await;
            assert_eq!(status, 202, "{answer}");
        }
    };
    let upgrade = async {
        while sent.load(Ordering::Relaxed) < 400 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        publish(&registry(&pipeline), &all, false).await.unwrap();
        published.store(true, Ordering::Relaxed);
        let at = sent.load(Ordering::Relaxed);
        while sent.load(Ordering::Relaxed) < at + 800 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    futures_util::future::join3(producer(1), producer(2), upgrade).await;
    for group in ["order-status", "order-alerts"] {
        let counts = pipeline.wait_for(group, sent.load(Ordering::Relaxed)).await;
        assert_eq!((counts.handled, counts.dead_letters), (sent.load(Ordering::Relaxed), 0), "{group}: {counts:?}");
    }
    pipeline.stop().await;
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(folder.join("t")).unwrap();
    std::fs::write(folder.join("t").join(name), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_group_does_not_understand_waits_for_its_upgrade() {
    if !e2e::has_own_services("a_version_that_a_group_does_not_understand_waits_for_its_upgrade") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (state, schemas) = (folder.path().join("state"), folder.path().join("schemas"));
    let release = |last: u32| {
        let setup = Setup { state: Some(state.clone()), ..Setup::obedient() };
        setup.with("Versions", format!(r#"{{"t":[1,{last}]}}"#))
    };
    // nobody promises anything: readers of 1 cannot read 2
    write(&schemas, "policy.json", r#"{"compatibility":"NONE"}"#);
    write(&schemas, "1.json", r#"{"const":"succeed"}"#);
    write(&schemas, "2.json", r#"{"enum":["succeed",{"refuse_times":0}]}"#);
    let before = release(1).start().await;
    publish(&registry(&before), &Folder::read(&schemas).unwrap(), false).await.unwrap();
    let of = |id: &str, version: u32, data: &str| {
        let urn = format!(r#"{{"dataschema":"urn:penstock:schema:t:{version}","#);
        event(id, id, "t", data).replacen('{', &urn, 1)
    };
    let new = r#"{"refuse_times":0}"#;
    let body = format!("[{},{},{}]", of("a", 1, "\"succeed\""), of("b", 2, new), of("c", 1, new));
    let (status, answer) = before.post(BATCHED, body).await;
    assert_eq!((status, &answer["events"][2]["code"]), (207, &"schema_violation".into()), "{answer}");
    let counts = before.wait_for("obedient", 2).await;
    assert_eq!((counts.handled, counts.dead_letters), (1, 1));
    let letters = before.dead_letters("obedient").await;
    assert_eq!(letters[0].code, Code::UnknownVersion, "{letters:?}");
    assert_eq!(letters[0].reason, "`t` has version 2 here; this group understands 1 to 1");
    before.stop().await;

    let after = release(2).start().await;
    assert_eq!(after.redrive("obedient").await, 1);
    let began = std::time::Instant::now();
    loop {
        let effects = after.drain("Effects").await;
        if effects.contains(&"b".to_owned()) {
            break;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{}", after.logs());
    }
    assert!(after.dead_letters("obedient").await.is_empty());
    after.stop().await;
}
