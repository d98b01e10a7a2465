//! The event that a function gets for a request through a REST API: payload format 1.0.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::clf_time;

/// The stage, which stands before the path in `requestContext.path`.
const STAGE: &str = "prod";

/// What a request is made of.
pub(super) struct Parts<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The path of the route, with its parameters in braces.
    pub(super) resource: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: BTreeMap<String, Vec<String>>,
    pub(super) path_parameters: &'a BTreeMap<String, String>,
    pub(super) body: &'a [u8],
    pub(super) domain: &'a str,
    pub(super) client: IpAddr,
    pub(super) seconds: u64,
    pub(super) millis: u64,
}

/// The event. A REST API without binary media types takes every body for UTF-8.
pub(super) fn build(parts: Parts<'_>) -> Value {
    let Parts { method, path, resource, query, headers, path_parameters, body, domain, client, seconds, millis } =
        parts;
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let user_agent = headers.get("user-agent").and_then(|values| values.last()).cloned();
    json!({
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": last(&headers),
        "multiValueHeaders": or_null(headers),
        "queryStringParameters": last(&parameters),
        "multiValueQueryStringParameters": or_null(parameters),
        "pathParameters": or_null(path_parameters.clone()),
        "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": "local",
            "extendedRequestId": uuid::Uuid::new_v4().to_string(),
            "httpMethod": method,
            "identity": {"sourceIp": client.to_string(), "userAgent": user_agent},
            "path": format!("/{STAGE}{path}"),
            "protocol": "HTTP/1.1",
            "requestId": uuid::Uuid::new_v4().to_string(),
            "requestTime": clf_time(seconds),
            "requestTimeEpoch": millis,
            "resourcePath": resource,
            "stage": STAGE,
        },
        "body": (!body.is_empty()).then(|| String::from_utf8_lossy(body)),
        "isBase64Encoded": false,
    })
}

/// The last value of each name, which is all that the members without `multiValue` have.
fn last(values: &BTreeMap<String, Vec<String>>) -> Value {
    or_null(values.iter().filter_map(|(name, values)| Some((name, values.last()?))).collect::<BTreeMap<_, _>>())
}

/// Where there is nothing, there is `null`.
fn or_null<K: serde::Serialize + Ord, V: serde::Serialize>(members: BTreeMap<K, V>) -> Value {
    if members.is_empty() { Value::Null } else { json!(members) }
}
