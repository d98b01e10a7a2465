//! The pipeline under load, kills, zombies and resharding, checked by the command that CI runs for longer.

use e2e::{penstock, text};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_by_chaos() {
    let output = penstock(&["chaos", "--seconds", "20", "--seed", "1"], "").await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("it held"), "{out}");
    for what in ["events accepted", "kills of the edge", "kills of consumers", "splits", "orders checked"] {
        let row = out.lines().find(|line| line.starts_with(what)).expect("a row for each figure");
        let count: u64 = row.split_whitespace().last().unwrap().parse().unwrap();
        assert!(count > 0, "{out}");
    }
    assert!(out.contains("again: cargo penstock chaos --seconds 20 --seed 1"), "{out}");
}
