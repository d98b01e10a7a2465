//! A server on loopback that passes a function's calls on to the services, and counts them.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use super::Counter;
use super::seen::Seen;
use crate::services::StartError;
use crate::services::server::{self, BODY_MAX};

/// The services behind a relay, by the beginning of `X-Amz-Target` and by the variable that points an SDK at them.
const SERVICES: [(&str, &str); 3] = [
    ("Kinesis", "AWS_ENDPOINT_URL_KINESIS"),
    ("DynamoDB", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("AmazonSQS", "AWS_ENDPOINT_URL_SQS"),
];

/// The variables that point a function at its relay.
pub type Relay = BTreeMap<String, String>;

#[derive(Clone)]
struct Passing {
    function: String,
    counter: Counter,
    client: reqwest::Client,
    /// Where the services are, in the order of [`SERVICES`].
    endpoints: [String; 3],
}

/// Starts a relay for `function`, before the services that `environment` names, until `stop`.
///
/// # Errors
/// When it cannot listen.
pub async fn relay(
    counter: &Counter,
    function: &str,
    environment: &BTreeMap<String, String>,
    stop: &CancellationToken,
) -> Result<Relay, StartError> {
    let (listener, url) = server::listen("a counting relay", 0).await?;
    let passing = Passing {
        function: function.to_owned(),
        counter: counter.clone(),
        client: reqwest::Client::new(),
        endpoints: SERVICES.map(|(_, variable)| environment.get(variable).cloned().unwrap_or_default()),
    };
    // it ends with the listener's task, which ends at `stop`
    drop(server::serve(listener, Router::new().fallback(pass).with_state(passing), stop.clone()));
    Ok(SERVICES.iter().map(|(_, variable)| ((*variable).to_owned(), url.clone())).collect())
}

async fn pass(State(passing): State<Passing>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(at) = SERVICES.iter().position(|(prefix, _)| target.starts_with(prefix)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (seen, body) = read(&passing.function, target, body);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", passing.endpoints[at]);
    let sent = passing.client.request(parts.method.clone(), url).headers(end_to_end(&parts.headers)).body(body).send();
    let Ok(answer) = sent.await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, headers) = (answer.status(), end_to_end(answer.headers()));
    let Ok(body) = answer.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    if let Some(seen) = seen {
        let count = seen.answered(status.is_success(), &body);
        passing.counter.count(seen.call, &count);
    }
    (status, headers, Body::from(body)).into_response()
}

/// A call as it is counted, and its body as it is passed on. What is not JSON is passed on as it came.
fn read(function: &str, target: &str, body: Bytes) -> (Option<Seen>, Bytes) {
    let Ok(mut value) = serde_json::from_slice(&body) else { return (None, body) };
    let Some(seen) = Seen::read(function, target, &mut value) else { return (None, body) };
    let body = if seen.call.service == "DynamoDB" { Bytes::from(value.to_string()) } else { body };
    (Some(seen), body)
}

/// Headers without those that speak of the connection or of the length of the body.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType};
    use penstock_aws::Clients;

    use super::*;
    use crate::metrics::MetricStore;
    use crate::services::{Options, Ports, Services};

    async fn services() -> Services {
        let (account_id, region) = ("000000000000".to_owned(), "us-east-1".to_owned());
        let options =
            Options { state_dir: None, account_id, region, ports: Ports::default(), metrics: MetricStore::new(1) };
        Services::start(options).await.unwrap()
    }

    #[tokio::test]
    async fn calls_arrive_as_they_would_without_a_relay_and_are_counted() {
        let (services, counter, stop) = (services().await, Counter::default(), CancellationToken::new());
        let mut environment = services.environment();
        environment.extend(relay(&counter, "group", &environment, &stop).await.unwrap());
        let through = Clients::from_environment(&environment).dynamodb;
        let attribute = AttributeDefinition::builder().attribute_name("pk").attribute_type("S".into()).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap();
        let table = through.create_table().table_name("orders").attribute_definitions(attribute).key_schema(key);
        table.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();

        let put = || through.put_item().table_name("orders").item("pk", AttributeValue::S("k".repeat(1500)));
        put().send().await.unwrap();
        // a condition that does not hold is an answer like any other
        let error = put().condition_expression("attribute_not_exists(pk)").send().await.unwrap_err();
        assert!(error.as_service_error().unwrap().is_conditional_check_failed_exception());
        // the services have it, whoever asks
        let read = services.clients().dynamodb.get_item().table_name("orders");
        assert!(read.key("pk", AttributeValue::S("k".repeat(1500))).send().await.unwrap().item.is_some());

        let counts = counter.take();
        let (call, count) = counts.iter().find(|(call, _)| call.operation == "PutItem").unwrap();
        assert_eq!((call.function.as_str(), call.resource.as_str()), ("group", "orders"));
        assert_eq!((count.calls, count.refused, count.write_units, count.bytes), (2, 1, 2.0, 1502));
        assert!(!counts.keys().any(|call| call.operation == "GetItem"), "only the function's own calls are counted");
        stop.cancel();
    }
}
