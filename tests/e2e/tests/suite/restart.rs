//! A pipeline with `--state` takes up where it was.

use e2e::{Setup, event, penstock, text};

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

#[tokio::test(flavor = "multi_thread")]
async fn after_damage_the_remedy_of_the_message_gives_a_pipeline_that_settles() {
    if !e2e::has_own_services("after_damage_the_remedy_of_the_message_gives_a_pipeline_that_settles") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let setup = || Setup { state: Some(state.clone()), ..Setup::obedient() };
    let post = |ids: [&str; 2]| {
        let events = ids.map(|id| event(id, id, "t", "\"succeed\""));
        format!("[{}]", events.join(","))
    };
    let batched = "application/cloudevents-batch+json";
    for damage in ["damaged", "missing"] {
        let before = setup().start().await;
        assert_eq!(before.post(batched, post(["1", "2"])).await.0, 202);
        before.wait_for("obedient", 2).await;
        before.stop().await;
        let file = state.join("kinesis.jsonl");
        match damage {
            "damaged" => std::fs::write(&file, "x\n").unwrap(),
            _ => std::fs::remove_file(&file).unwrap(),
        }

        let arguments = ["dev", "--port", "0", "--template", "tests/e2e/obedient.yaml", "--state"];
        let refused = penstock(&[&arguments[..], &[state.to_str().unwrap()]].concat(), "").await;
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{damage}: {said}");
        let complaint = said.lines().find(|line| line.starts_with("penstock: ")).unwrap();
        let remedy = complaint.split("remove the whole directory ").nth(1).unwrap();
        let (directory, costs) = remedy.split_once(" to start afresh, which loses ").unwrap();
        assert!(complaint.contains(file.to_str().unwrap()) && costs.contains("dead letters"), "{complaint}");

        std::fs::remove_dir_all(directory).unwrap();
        let after = setup().start().await;
        assert_eq!(after.post(batched, post(["1", "3"])).await.0, 202);
        assert_eq!(after.wait_for("obedient", 2).await.handled, 2, "nothing of the old stream is left");
        after.stop().await;
        std::fs::remove_dir_all(&state).unwrap();
    }
}
