//! The demo of the README.

use std::time::{Duration, Instant};

use e2e::{penstock, root, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_adds_up_and_finds_what_the_samples_are_known_to_hold() {
    let output = penstock(&["dev", "--demo", "--port", "0"], "").await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");

    let expected = std::fs::read_to_string(root().join("events/samples/orders.expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    let accepted = expected["accepted"].to_string();
    let refused = expected["refused_at_the_edge"].as_array().map(Vec::len).unwrap_or_default();
    assert!(out.contains(&format!("{accepted} accepted, {refused} refused, 0 not taken")), "{out}");
    for group in ["order-status", "order-alerts"] {
        let row = out.lines().find(|line| line.starts_with(group)).expect("a row for each group");
        let cells: Vec<_> = row.split_whitespace().collect();
        let expected = &expected["groups"][group];
        let of = |name: &str| expected[name].to_string();
        let dead = expected["dead_letters"].as_array().map(Vec::len).unwrap_or_default().to_string();
        let wanted = [
            group.to_owned(),
            accepted.clone(),
            accepted.clone(),
            of("handled"),
            of("duplicates"),
            dead.clone(),
            dead,
            "yes".to_owned(),
        ];
        assert_eq!(cells, wanted, "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_adds_up_while_its_functions_are_killed() {
    let mut demo = tokio::process::Command::new(e2e::binaries().await.join("penstock"))
        .args(["dev", "--demo", "--port", "0"])
        .current_dir(root())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let parent = demo.id().unwrap();
    let (mut kills, began) = (0, Instant::now());
    let status = loop {
        if let Some(status) = demo.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(150), "the demo does not end after {kills} kills");
        // long enough for a process to start and do something, or the demo would never end
        tokio::time::sleep(Duration::from_millis(fastrand::u64(200..600))).await;
        if let Some(victim) = fastrand::choice(&e2e::functions(parent)).filter(|_| kills < 20) {
            kills += usize::from(e2e::kill(victim.pid));
        }
    };
    let mut out = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut demo.stdout.take().unwrap(), &mut out).await.unwrap();
    assert!(status.success(), "after {kills} kills: {out}");
    assert!(out.contains("992 accepted, 8 refused, 0 not taken"), "{out}");
    assert_eq!(out.matches("      yes").count(), 2, "{out}");
    assert!(kills >= 2, "only {kills} processes were killed");
}
