//! The demo of the README.

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
