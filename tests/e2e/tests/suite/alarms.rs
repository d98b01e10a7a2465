//! The template's alarms over what really happens.

use e2e::{Setup, event};
use penstock_local::metrics::{MetricKey, State};

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_crashes_and_its_dead_letter_raise_their_alarms_and_the_end_of_both_ends_them() {
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
    let stream = pipeline.stack.pipeline().streams[0].name.clone();
    assert_eq!(all("AWS/Kinesis", "IncomingRecords", "StreamName", &stream).sum, 1.0);
    pipeline.stop().await;
}
