//! The template's alarms over what really happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::{Pipeline, Setup, Signal, event, signal};
use penstock_local::metrics::{MetricKey, State};

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_crashes_and_its_dead_letter_raise_their_alarms_and_the_end_of_both_ends_them() {
    if !e2e::has_own_services(
        "a_function_that_crashes_and_its_dead_letter_raise_their_alarms_and_the_end_of_both_ends_them",
    ) {
        return;
    }
    let pipeline = Setup { alarm_speed: Some(60), ..Setup::obedient() }.start().await;
    let (status, answer) = pipeline.post("application/cloudevents+json", event("1", "k", "t", "\"abort\"")).await;
    assert_eq!(status, 202, "{answer}");
    let crashed = pipeline.alarm("CrashesAlarm", State::Alarm).await;
    assert!(crashed.reason.starts_with("1 of 1 datapoint > 0 ("), "{}", crashed.reason);
    assert_eq!(crashed.description, "The function crashes.");
    let lettered = pipeline.alarm("DeadLettersAlarm", State::Alarm).await;
    assert_eq!(lettered.reason, "1 of 1 datapoint > 0 (1)");
    assert_eq!(pipeline.drain("ObedientDeadLetters").await.len(), 1);
    pipeline.alarm("DeadLettersAlarm", State::Ok).await;

    let totals = pipeline.stack.metrics().totals();
    let all = |namespace, name, dimension, value: &str| totals[&MetricKey::of(namespace, name, dimension, value)].all;
    let functions = &pipeline.stack.pipeline().functions;
    let obedient = functions.iter().find(|function| function.logical_id == "Obedient").unwrap().name.clone();
    let of_lambda = |name| all("AWS/Lambda", name, "FunctionName", &obedient);
    let counters = pipeline.stack.functions()["Obedient"].counters();
    assert_eq!((of_lambda("Invocations").sum, of_lambda("Errors").sum), {
        (f64::from(u32::try_from(counters.invocations).unwrap()), f64::from(u32::try_from(counters.errors).unwrap()))
    });
    assert_eq!(of_lambda("IteratorAge").count, of_lambda("Invocations").sum, "it is told each time, and so at retries");
    let own = |name: &str, dimensions: &[(&str, &str)]| {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        totals[&MetricKey { namespace: "Penstock".to_owned(), name: name.to_owned(), dimensions }].all.sum
    };
    assert!(own("isolation_runs", &[("Group", "obedient")]) >= 1.0, "it was found by isolation");
    assert_eq!(own("dead_letters", &[("Group", "obedient"), ("Reason", "crashed")]), 1.0);
    let stream = pipeline.stack.pipeline().streams[0].name.clone();
    assert_eq!(all("AWS/Kinesis", "IncomingRecords", "StreamName", &stream).sum, 1.0);
    pipeline.stop().await;
}

/// Stops the processes of a function, and whatever is started in their place, as long as `while_` takes. Each of them has a
/// moment to begin with: one that never asks for work is another fault.
async fn stopped<T>(pipeline: &Pipeline, function: &str, while_: impl Future<Output = T>) -> T {
    let mut seen = BTreeMap::new();
    let stop = async {
        loop {
            for process in pipeline.stack.functions()[function].processes() {
                if seen.entry(process.pid).or_insert_with(Instant::now).elapsed() > Duration::from_millis(200) {
                    signal(process.pid, Signal::STOP);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let result = tokio::select! {
        result = while_ => result,
        () = stop => unreachable!("it does not end"),
    };
    for process in pipeline.stack.functions()[function].processes() {
        signal(process.pid, Signal::CONT);
    }
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_stopped_raises_the_alarm_on_its_lag_until_it_goes_on() {
    let timeout_max = Some(Duration::from_secs(2));
    let setup = Setup { alarm_speed: Some(20), timeout_max, ..Setup::default() };
    let pipeline = setup.with("LagAlarmMilliseconds", 1000).with("BatchSize", 1).start().await;
    for batch in 0..5 {
        let placed = |n: u32| {
            let order = format!("ORDER-{batch}-{n}");
            event(&order, &order, "shop.order.placed", &format!(r#"{{"order_id":"{order}","total_cents":100}}"#))
        };
        let events: Vec<_> = (0..80).map(placed).collect();
        let (status, answer) =
            pipeline.post("application/cloudevents-batch+json", format!("[{}]", events.join(","))).await;
        assert_eq!(status, 202, "{answer}");
    }
    let rings = stopped(&pipeline, "OrderStatus", pipeline.alarm("OrderStatusIteratorAgeAlarm", State::Alarm)).await;
    assert!(rings.reason.starts_with("5 of 5 datapoints > 1000 ("), "{}", rings.reason);
    assert!(rings.description.contains("docs/runbook/iterator-age.md"), "{}", rings.description);
    pipeline.wait_for("order-status", 400).await;
    pipeline.alarm_over("OrderStatusIteratorAgeAlarm").await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_throttles_raises_the_alarm_on_failing_requests() {
    if !e2e::has_own_services("a_stream_that_throttles_raises_the_alarm_on_failing_requests") {
        return;
    }
    let timeout_max = Some(Duration::from_secs(2));
    // a period is long enough for its hundred requests on a machine that is busy with other tests
    let setup = Setup { alarm_speed: Some(4), timeout_max, ..Setup::default() };
    let pipeline = setup.with("ShardCount", 1).start().await;
    let filler = "x".repeat(100_000);
    let send = async |client: u32| {
        for n in 0.. {
            let id = format!("{client}-{n}");
            let data = format!(r#"{{"order_id":"{id}","total_cents":1,"note":"{filler}"}}"#);
            // whatever the answer is: the alarm judges
            pipeline.post("application/cloudevents+json", event(&id, &id, "shop.order.noted", &data)).await;
        }
    };
    let load = futures_util::future::join_all((0..24).map(send));
    let rings = tokio::select! {
        rings = pipeline.alarm("ProduceErrorsAlarm", State::Alarm) => rings,
        _ = load => unreachable!("it does not end"),
    };
    assert!(rings.reason.starts_with("1 of 1 datapoint > 1 ("), "{}", rings.reason);
    pipeline.alarm_over("ProduceErrorsAlarm").await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_raises_the_alarm_of_its_group_and_of_no_other() {
    if !e2e::has_own_services("a_poison_event_raises_the_alarm_of_its_group_and_of_no_other") {
        return;
    }
    let pipeline = Setup { alarm_speed: Some(60), ..Setup::default() }.start().await;
    let poison = event("1", "O", "shop.order.placed", r#"{"order_id":"O","total_cents":-1}"#);
    let (status, answer) = pipeline.post("application/cloudevents+json", poison).await;
    assert_eq!(status, 202, "{answer}");
    let rings = pipeline.alarm("OrderAlertsDeadLettersAlarm", State::Alarm).await;
    assert!(rings.description.contains("penstock dlq list --group order-alerts"), "{}", rings.description);
    let ringing: Vec<_> = pipeline.stack.alarms().into_iter().filter(|alarm| alarm.state == State::Alarm).collect();
    assert_eq!(ringing.iter().map(|alarm| alarm.name.as_str()).collect::<Vec<_>>(), ["OrderAlertsDeadLettersAlarm"]);
    assert_eq!(pipeline.drain("OrderAlertsDeadLetters").await.len(), 1);
    pipeline.alarm_over("OrderAlertsDeadLettersAlarm").await;
    pipeline.stop().await;
}
