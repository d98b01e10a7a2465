//! A pipeline with `--state` takes up where it was.

use e2e::{Setup, event};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_state_keeps_windows_states_and_dead_letters_and_handles_nothing_twice() {
    if !e2e::has_own_services("a_restart_with_state_keeps_windows_states_and_dead_letters_and_handles_nothing_twice") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let setup = || Setup { state: Some(folder.path().to_path_buf()), ..Setup::obedient() };
    let batched = "application/cloudevents-batch+json";
    let told = |id: &str, told: &str| event(id, id, "t", &format!("\"{told}\""));

    let first = setup().start().await;
    let body = format!("[{},{}]", told("1", "succeed"), told("2", "refuse"));
    assert_eq!(first.post(batched, body).await.0, 202);
    first.wait_for("obedient", 2).await;
    first.stop().await;

    let second = setup().start().await;
    assert_eq!(second.on_stream().await, 2, "the stream is kept");
    assert_eq!(second.dead_letters("obedient").await.len(), 1, "dead letters are kept");
    let body = format!("[{},{}]", told("1", "succeed"), told("3", "succeed"));
    assert_eq!(second.post(batched, body).await.0, 202);
    let counts = second.wait_for("obedient", 4).await;
    assert_eq!((counts.handled, counts.duplicates, counts.dead_letters), (2, 1, 1));
    let mut effects = second.drain("Effects").await;
    effects.sort();
    assert_eq!(effects, ["1", "3"]);
    second.stop().await;
}
