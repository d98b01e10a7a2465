use std::path::Path;

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use super::*;

/// The example, which cargo builds beside the tests.
fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("examples/obedient_function")
}

fn config() -> FunctionConfig {
    FunctionConfig {
        name: "obedient".into(),
        arn: "arn:aws:lambda:us-east-1:000000000000:function:obedient".into(),
        binary: binary(),
        timeout: Duration::from_secs(2),
        memory_mb: 256,
        environment: BTreeMap::from([("OWN".to_owned(), "yes".to_owned())]),
        max_concurrency: 2,
        on_timeout: OnTimeout::Kill,
    }
}

struct Started {
    function: Function,
    metrics: MetricStore,
    lines: Arc<Mutex<Vec<String>>>,
}

fn start(config: FunctionConfig) -> Started {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let log: LogSink = Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
    let metrics = MetricStore::default();
    Started { function: Function::new(config, log, &metrics).unwrap(), metrics, lines }
}

async fn invoke(function: &Function, payload: Value) -> Invocation {
    function.invoke(Bytes::from(payload.to_string())).await
}

fn value(invocation: Invocation) -> Value {
    match invocation {
        Invocation::Returned(bytes) => serde_json::from_slice(&bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn error_type(invocation: Invocation) -> String {
    match invocation {
        Invocation::Failed { error_type, .. } => error_type,
        other => panic!("{other:?}"),
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

#[tokio::test]
async fn invocations_one_after_the_other_use_one_process_and_see_lambdas_variables() {
    let Started { function, .. } = start(config());
    let first = value(invoke(&function, json!({ "n": 1 })).await);
    let second = value(invoke(&function, json!({ "n": 2 })).await);
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!((&first["echo"]["n"], &second["echo"]["n"]), (&1.into(), &2.into()));
    assert_eq!(first["arn"], config().arn);
    let variables = value(invoke(&function, json!({ "do": "environment" })).await);
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_NAME"], "obedient");
    assert_eq!((&variables["OWN"], &variables["TZ"]), (&"yes".into(), &":UTC".into()));
    assert!(variables.get("HOME").is_none(), "nothing of this machine's environment");
    assert_eq!(function.counters().cold_starts, 1);
    function.shutdown().await;
    assert!(function.processes().is_empty());
}

#[tokio::test]
async fn invocations_side_by_side_use_a_process_each_and_are_throttled_at_the_bound() {
    let Started { function, .. } = start(config());
    let three = (0..3).map(|_| invoke(&function, json!({ "do": "sleep", "ms": 500 })));
    let answers = join_all(three).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Invocation::Throttled).count(), 1);
    assert_eq!((function.processes().len(), function.counters().throttles), (2, 1));
    function.shutdown().await;
}

#[tokio::test]
async fn a_function_that_runs_too_long_is_killed_and_the_next_invocation_gets_a_new_process() {
    let Started { function, lines, .. } = start(FunctionConfig { timeout: Duration::from_millis(300), ..config() });
    let before = value(invoke(&function, json!({})).await)["pid"].as_u64().unwrap();
    assert_eq!(error_type(invoke(&function, json!({ "do": "sleep", "ms": 60_000 })).await), "Sandbox.Timedout");
    assert!(test_kill_process(pid(u32::try_from(before).unwrap())).is_err(), "the process is gone");
    let said = lines.lock().unwrap().join("\n");
    assert!(said.contains("ERROR Sandbox.Timedout") && said.contains("Task timed out after 0.30 seconds"), "{said}");
    assert_ne!(value(invoke(&function, json!({})).await)["pid"].as_u64().unwrap(), before);
    function.shutdown().await;
}

#[tokio::test]
async fn a_stopped_process_that_wakes_after_its_timeout_cannot_answer() {
    let Started { function, .. } = start(FunctionConfig { timeout: Duration::from_millis(400), ..config() });
    value(invoke(&function, json!({})).await);
    let zombie = function.processes()[0].pid;
    kill_process(pid(zombie), Signal::STOP).unwrap();
    assert_eq!(error_type(invoke(&function, json!({ "n": 1 })).await), "Sandbox.Timedout");
    // an error means that it is gone already
    _ = kill_process(pid(zombie), Signal::CONT);
    assert_eq!(value(invoke(&function, json!({ "n": 2 })).await)["echo"]["n"], 2);
    function.shutdown().await;
}

#[tokio::test]
async fn an_abandoned_process_lives_past_its_timeout_gets_no_more_work_and_ends_with_the_function() {
    let timeout = Duration::from_millis(400);
    let Started { function, .. } = start(FunctionConfig { timeout, on_timeout: OnTimeout::Abandon, ..config() });
    value(invoke(&function, json!({})).await);
    let zombie = function.processes()[0].pid;
    kill_process(pid(zombie), Signal::STOP).unwrap();
    assert_eq!(error_type(invoke(&function, json!({ "n": 1 })).await), "Sandbox.Timedout");
    assert_eq!(function.abandoned().iter().map(|process| process.pid).collect::<Vec<_>>(), [zombie]);
    assert!(function.processes().is_empty());
    kill_process(pid(zombie), Signal::CONT).unwrap();
    let next = value(invoke(&function, json!({ "n": 2 })).await);
    assert_eq!(next["echo"]["n"], 2);
    assert_ne!(next["pid"], zombie);
    function.shutdown().await;
    assert!(test_kill_process(pid(zombie)).is_err(), "the process is gone");
}

#[tokio::test]
async fn an_abandoned_process_that_ends_is_forgotten() {
    let timeout = Duration::from_millis(300);
    let Started { function, .. } = start(FunctionConfig { timeout, on_timeout: OnTimeout::Abandon, ..config() });
    assert_eq!(error_type(invoke(&function, json!({ "do": "sleep", "ms": 60_000 })).await), "Sandbox.Timedout");
    kill_process(pid(function.abandoned()[0].pid), Signal::KILL).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(function.abandoned().is_empty());
    function.shutdown().await;
}

#[tokio::test]
async fn a_process_that_dies_under_an_invocation_is_seen_at_once() {
    let Started { function, .. } = start(config());
    for told in ["abort", "exit"] {
        assert_eq!(error_type(invoke(&function, json!({ "do": told })).await), "Runtime.ExitError");
    }
    value(invoke(&function, json!({})).await);
    let victim = function.processes()[0].pid;
    let (answer, ()) = tokio::join!(invoke(&function, json!({ "do": "sleep", "ms": 1500 })), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        kill_process(pid(victim), Signal::KILL).unwrap();
    });
    assert_eq!(error_type(answer), "Runtime.ExitError");
    assert_eq!(value(invoke(&function, json!({ "n": 3 })).await)["echo"]["n"], 3);
    function.shutdown().await;
}

#[tokio::test]
async fn a_process_that_dies_while_idle_costs_no_invocation() {
    let Started { function, .. } = start(config());
    value(invoke(&function, json!({})).await);
    kill_process(pid(function.processes()[0].pid), Signal::KILL).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(value(invoke(&function, json!({ "n": 1 })).await)["echo"]["n"], 1);
    function.shutdown().await;
}

#[tokio::test]
async fn an_error_of_the_function_has_its_words_and_keeps_its_process() {
    let Started { function, .. } = start(config());
    let before = value(invoke(&function, json!({})).await);
    match invoke(&function, json!({ "do": "fail" })).await {
        Invocation::Failed { message, .. } => assert!(message.contains("told to"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(value(invoke(&function, json!({})).await)["pid"], before["pid"]);
    assert_eq!(error_type(invoke(&function, json!({ "do": "large" })).await), "Function.ResponseSizeTooLarge");
    let huge = Bytes::from(vec![b' '; PAYLOAD_MAX + 1]);
    assert_eq!(error_type(function.invoke(huge).await), "RequestEntityTooLargeException");
    function.shutdown().await;
}

#[tokio::test]
async fn a_function_that_uses_more_memory_than_it_has_is_killed() {
    let Started { function, .. } = start(config());
    assert_eq!(error_type(invoke(&function, json!({ "do": "allocate", "mb": 400 })).await), "Runtime.OutOfMemory");
    function.shutdown().await;
}

#[tokio::test]
async fn a_function_that_does_not_start_is_tried_twice_and_quoted() {
    let mut config = config();
    config.environment.insert("DIE_AT_START".into(), "1".into());
    let Started { function, lines, .. } = start(config);
    match invoke(&function, json!({})).await {
        Invocation::Failed { error_type, message } => {
            assert_eq!(error_type, "Runtime.ExitError");
            assert!(message.contains("the configuration is missing"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(function.counters().cold_starts, 2);
    assert!(lines.lock().unwrap().iter().any(|line| line.contains("the configuration is missing")));
}

#[tokio::test]
async fn an_invocation_that_nobody_waits_for_ends_its_process() {
    let Started { function, .. } = start(config());
    value(invoke(&function, json!({})).await);
    let victim = function.processes()[0].pid;
    let slow = invoke(&function, json!({ "do": "sleep", "ms": 60_000 }));
    assert!(tokio::time::timeout(Duration::from_millis(200), slow).await.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(test_kill_process(pid(victim)).is_err(), "the process is gone");
    assert_eq!(value(invoke(&function, json!({ "n": 1 })).await)["echo"]["n"], 1);
    function.shutdown().await;
}

#[tokio::test]
async fn what_becomes_of_invocations_is_reported_under_the_names_of_aws() {
    let Started { function, metrics, .. } = start(FunctionConfig { max_concurrency: 1, ..config() });
    value(invoke(&function, json!({})).await);
    error_type(invoke(&function, json!({ "do": "fail" })).await);
    let slow = json!({ "do": "sleep", "ms": 300 });
    join_all((0..2).map(|_| invoke(&function, slow.clone()))).await;
    function.sends(Duration::from_secs(7));
    let totals = metrics.totals();
    let all = |name| totals[&crate::metrics::MetricKey::of("AWS/Lambda", name, "FunctionName", "obedient")].all;
    assert_eq!((all("Invocations").sum, all("Errors").sum, all("Errors").count), (3.0, 1.0, 3.0));
    assert_eq!((all("Throttles").sum, all("Throttles").count), (1.0, 4.0));
    assert_eq!((all("Duration").count, all("IteratorAge").max), (3.0, 7_000.0));
    assert!((300.0..2_000.0).contains(&all("Duration").max), "{:?}", all("Duration"));
    function.shutdown().await;
}

#[test]
fn a_missing_binary_is_named_with_the_way_to_build_it() {
    let config = FunctionConfig { binary: Path::new("nowhere/ingest").into(), ..config() };
    let Err(error) = Function::new(config, Arc::new(|_: &str| {}), &MetricStore::default()) else {
        panic!("it cannot start")
    };
    assert_eq!(
        error.to_string(),
        "the function obedient has no binary at nowhere/ingest; build it with `cargo build --bin ingest`"
    );
}
