//! A Lambda function for the tests of `penstock_local::lambda`: it does what each event's `do` says.

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

async fn obey(event: LambdaEvent<Value>) -> Result<Value, Error> {
    match event.payload["do"].as_str() {
        Some("fail") => Err("told to".into()),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_millis(event.payload["ms"].as_u64().unwrap_or(0))).await;
            Ok(event.payload)
        }
        Some("abort") => std::process::abort(),
        Some("exit") => std::process::exit(3),
        Some("allocate") => {
            let bytes = vec![1u8; usize::try_from(event.payload["mb"].as_u64().unwrap_or(0))? << 20];
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(json!({ "allocated": bytes.len() }))
        }
        Some("large") => Ok(Value::String("x".repeat(7 << 20))),
        Some("environment") => {
            let variables = std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), Value::from(value.to_string_lossy())));
            Ok(Value::Object(variables.collect()))
        }
        _ => Ok(json!({ "pid": std::process::id(), "echo": event.payload, "arn": event.context.invoked_function_arn })),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("DIE_AT_START").is_some() {
        return Err("the configuration is missing".into());
    }
    run(service_fn(obey)).await
}
