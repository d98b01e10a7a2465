//! The `penstock` command as a user meets it: up, asked, stopped; and one clear line for what goes wrong.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use e2e::{Signal, binaries, children, functions, penstock, root, text};
use penstock_local::{Options, Profile, Stack};
use tokio::io::{AsyncBufReadExt, BufReader};

/// A port that nothing listens on just now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts `penstock dev` on `port`; the process, and what it printed until it was up.
async fn start_dev(port: &str) -> (tokio::process::Child, String) {
    start_dev_with(port, &[]).await
}

/// As `start_dev`, with more arguments.
pub(crate) async fn start_dev_with(port: &str, arguments: &[&str]) -> (tokio::process::Child, String) {
    let mut dev = tokio::process::Command::new(binaries().await.join("penstock"))
        .args(["dev", "--port", port])
        .args(arguments)
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    while !printed.contains("Ctrl-C") {
        let line = tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await.unwrap().unwrap().unwrap();
        printed.push_str(&line);
        printed.push('\n');
    }
    // the rest is read, so that the pipe never fills
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (dev, printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_do_not_outlive_a_pipeline_that_was_killed() {
    let port = free_port().to_string();
    let (mut dev, _) = start_dev(&port).await;
    // a function's first process starts with its first invocation
    let sent = penstock(&["send", "-", "--port", &port], &e2e::event("1", "k", "t", "1")).await;
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let pid = dev.id().unwrap();
    while functions(pid).len() < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // with the shell that is to end them
    let orphans = children(pid);
    dev.start_kill().unwrap();
    dev.wait().await.unwrap();
    let began = std::time::Instant::now();
    for orphan in orphans {
        let proc = std::path::PathBuf::from(format!("/proc/{}", orphan.pid));
        while proc.exists() {
            assert!(began.elapsed() < Duration::from_secs(2), "{orphan:?} is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_stays_up_is_asked_and_stops_on_ctrl_c_with_all_its_processes() {
    let port = free_port().to_string();
    let (mut dev, printed) = start_dev(&port).await;
    let endpoint = format!("http://127.0.0.1:{port}");
    assert!(printed.contains(&format!("listening on {endpoint}")), "{printed}");

    // the curl line that it prints works as it stands
    let from = printed.find("curl").unwrap();
    let curl = &printed[from..from + printed[from..].find("see what").unwrap()];
    let curled = tokio::process::Command::new("sh").args(["-c", curl]).output().await.unwrap();
    assert!(text(&curled.stdout).contains("202") && text(&curled.stdout).contains("shardId-"), "{curled:?}");

    // at once: the command waits for the group
    let first = penstock(&["state", "--port", &port, "order-status", "ORDER-1"], "").await;
    assert!(text(&first.stdout).contains(r#""status": "placed""#), "{first:?}");
    assert!(text(&first.stderr).contains("it has settled what was accepted before"), "{first:?}");
    let nothing = penstock(&["state", "--port", &port, "--now", "order-status", "ORDER-X"], "").await;
    assert!(text(&nothing.stderr).contains("has no state for `ORDER-X`; it may still be at events"), "{nothing:?}");

    let samples = penstock(&["send", "events/samples/orders.ndjson", "--port", &port], "").await;
    assert!(text(&samples.stdout).contains("992 accepted, 8 refused, 0 not taken"), "{}", text(&samples.stdout));
    assert!(text(&samples.stderr).contains("line 99: refused: malformed_json"), "{}", text(&samples.stderr));

    let began = std::time::Instant::now();
    loop {
        let letters = penstock(&["dlq", "list", "--group", "order-alerts", "--port", &port], "").await;
        if text(&letters.stderr).contains("3 dead letters of order-alerts") {
            assert_eq!(text(&letters.stdout).matches("refused: order").count(), 3, "{}", text(&letters.stdout));
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{}", text(&letters.stderr));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let arguments = ["tail", "--from-start", "--key", "ORDER-1", "--count", "1", "--json", "--port", &port];
    let tail: serde_json::Value = serde_json::from_slice(&penstock(&arguments, "").await.stdout).unwrap();
    assert_eq!((&tail["event"]["type"], &tail["key"]), (&"shop.order.placed".into(), &"ORDER-1".into()), "{tail}");
    let states = penstock(&["state", "order-status", "--limit", "2", "--port", &port], "").await;
    assert_eq!(text(&states.stdout).lines().count(), 2, "{states:?}");
    assert!(text(&states.stderr).contains("there are more"), "{states:?}");
    let alerts = penstock(&["queue", "Alerts", "--limit", "1", "--port", &port], "").await;
    assert!(text(&alerts.stdout).contains("idempotency_key"), "{alerts:?}");
    let status = penstock(&["status", "--port", &port], "").await;
    assert_eq!(status.status.code(), Some(1), "dead letters wait for somebody");
    let said = text(&status.stdout);
    for part in [
        "stack penstock, stream penstock-Events",
        "order-alerts: 3 dead letters",
        "WRONG order-alerts: 3 messages in the dead-letter queue - docs/runbook/dead-letters.md",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    // the other group may still be at it
    loop {
        let json = penstock(&["status", "--json", "--age-max", "3600", "--port", &port], "").await;
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let shards = json["status"]["groups"][1]["shards"].as_array().unwrap();
        assert_eq!(shards.len(), 2, "{json}");
        let rests = |shard: &serde_json::Value| shard["attempts"] == 0 && shard["iterator_age_ms"].is_null();
        if shards.iter().all(|shard| rests(shard) && shard["position"].is_string()) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{json}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let state = penstock(&["state", "--json", "--port", &port, "order-status", "ORDER-1"], "").await;
    let state: serde_json::Value = serde_json::from_slice(&state.stdout).unwrap();
    assert_eq!(state["state"]["status"], "placed", "{state}");
    let unknown = penstock(&["dlq", "list", "--group", "nobody", "--port", &port], "").await;
    assert_eq!(
        text(&unknown.stderr),
        "penstock: there is no consumer group `nobody`; the groups are: order-alerts, order-status\n"
    );

    let pid = rustix::process::Pid::from_raw(i32::try_from(dev.id().unwrap()).unwrap()).unwrap();
    let children = children(dev.id().unwrap());
    assert!(children.len() >= 4, "a process for each function, and the shell: {children:?}");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(30), dev.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    for child in children {
        assert!(
            !std::path::Path::new(&format!("/proc/{}", child.pid)).exists(),
            "process {} is still there",
            child.pid
        );
    }
    let gone = penstock(&["state", "order-status", "ORDER-1", "--port", &port], "").await;
    assert!(text(&gone.stderr).contains(&format!("no pipeline is running on port {port}")), "{}", text(&gone.stderr));
    assert_eq!(penstock(&["status", "--port", &port], "").await.status.code(), Some(2), "it cannot be told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_interrupted_says_how_far_it_came_and_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = tokio::process::Command::new(binaries().await.join("penstock"))
            .args(["dev", "--demo", "--port", "0"])
            .current_dir(root())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = demo.id().unwrap();
        let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        // the figures of a group: something was sent
        while !said.iter().any(|line: &String| line.starts_with("order-status ")) {
            let line = tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await.unwrap().unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended before it was interrupted: {said:?}"));
            if line.starts_with("functions are up") {
                // or the demo might be over before the signal reaches it
                while !functions(pid)
                    .iter()
                    .any(|child| child.name == "order-alerts" && e2e::signal(child.pid, Signal::STOP))
                {
                    assert!(demo.try_wait().unwrap().is_none(), "it ended: {said:?}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            said.push(line);
        }
        let children = children(pid);
        assert!(e2e::signal(pid, signal));
        while let Ok(Some(line)) = lines.next_line().await {
            said.push(line);
        }
        let status = tokio::time::timeout(Duration::from_secs(30), demo.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(130), "{said:?}");
        let interrupted: Vec<_> = said.iter().filter(|line| line.starts_with("interrupted: ")).collect();
        assert_eq!(interrupted.len(), 1, "{said:?}");
        for part in [" events accepted, ", " settled by order-status", " settled by order-alerts"] {
            assert!(interrupted[0].contains(part), "{part} in {interrupted:?}");
        }
        for child in children {
            assert!(!std::path::Path::new(&format!("/proc/{}", child.pid)).exists(), "{child:?} is still there");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rust_it_is_said_that_rust_is_missing() {
    let output = tokio::process::Command::new(binaries().await.join("penstock"))
        .args(["dev", "--port", "0"])
        .env("PATH", "/nowhere")
        .current_dir(root())
        .output()
        .await
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("penstock: Rust is missing") && said.contains("https://rustup.rs"), "{said}");
}

/// The one line that a command fails with.
async fn complaint(arguments: &[&str]) -> String {
    let output = penstock(arguments, "").await;
    assert!(!output.status.success());
    let lines = text(&output.stderr);
    let complaints: Vec<_> = lines.lines().filter(|line| line.starts_with("penstock: ")).collect();
    assert_eq!(complaints.len(), 1, "{lines}");
    complaints[0].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let line = complaint(&["dev", "--port", &port.to_string()]).await;
    assert_eq!(
        line,
        format!("penstock: port {port} is in use on 127.0.0.1; stop what uses it, or choose another with --port")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_typo_is_one_clear_line_with_the_place_and_the_right_word() {
    let folder = tempfile::tempdir().unwrap();
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let file = folder.path().join("template.yaml");
    std::fs::write(&file, template.replacen("RetentionPeriodHours:", "RetentionPeriodHuors:", 1)).unwrap();
    let line = complaint(&["dev", "--port", "0", "--template", file.to_str().unwrap()]).await;
    for part in ["template.yaml:", "Events", "RetentionPeriodHuors", "RetentionPeriodHours"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_binary_is_one_clear_line_that_names_it() {
    let empty = tempfile::tempdir().unwrap();
    let options = Options {
        root: root(),
        template: root().join("template.yaml"),
        parameters: Default::default(),
        state: None,
        stack_name: penstock_local::STACK_NAME.to_owned(),
        services: None,
        clean: false,
        service_ports: Default::default(),
        edge: Default::default(),
        port: 0,
        profile: Profile::Dev,
        timeout_max: None,
        on_timeout: Default::default(),
        alarm_speed: 1,
        telemetry: None,
        count: None,
        on_alarm: Arc::new(|_: &penstock_local::metrics::StateChange| {}),
        binaries: Some(empty.path().to_path_buf()),
        log: Arc::new(|_: &str, _: &str| {}),
        progress: Arc::new(|_: &str| {}),
    };
    let Err(error) = Stack::start(options).await else { panic!("it cannot start") };
    let line = format!("{error:#}");
    assert!(line.contains("ingest") && !line.contains('\n'), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_its_configuration_says_every_variable_that_it_misses() {
    let output = tokio::process::Command::new(binaries().await.join("order-alerts"))
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    for name in
        ["PENSTOCK_GROUP", "PENSTOCK_STREAM", "PENSTOCK_PROGRESS_TABLE", "PENSTOCK_WINDOW_TABLE", "ALERTS_QUEUE_URL"]
    {
        assert!(said.contains(&format!("{name} is not set")), "{name} in {said}");
    }
}
