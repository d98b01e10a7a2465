//! The event that a function gets for a request: payload format 2.0 here, 1.0 in `rest`.

mod rest;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::request::Parts;
use serde_json::{Value, json};

use super::Edge;

/// The event as JSON. The value of every header is ASCII, as [`unreadable`] tells.
pub(super) fn build(
    edge: Edge,
    parts: &Parts,
    body: &[u8],
    (route_key, path_parameters): (&str, &BTreeMap<String, String>),
    domain: &str,
    client: IpAddr,
) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let added = added(now.as_secs(), domain, client);
    if edge == Edge::RestApi {
        let mut headers = all_headers(&parts.headers);
        headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), vec![value])));
        let event = rest::build(rest::Parts {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            resource: route_key.rsplit(' ').next().unwrap_or_default(),
            query: parts.uri.query().unwrap_or_default(),
            headers,
            path_parameters,
            body,
            domain,
            client,
            seconds: now.as_secs(),
            millis: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        });
        return event.to_string().into_bytes();
    }
    // a function URL has no routes
    let route_key = if edge == Edge::FunctionUrl { "$default" } else { route_key };
    let mut headers = headers(&parts.headers);
    headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let cookies: Vec<&str> = cookies(&parts.headers);
    let query = parts.uri.query().unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": parts.uri.path(),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": "local",
            "http": {
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": client.to_string(),
                "userAgent": headers.get("user-agent").cloned().unwrap_or_default(),
            },
            "requestId": uuid::Uuid::new_v4().to_string(),
            "routeKey": route_key,
            "stage": "$default",
            "time": clf_time(now.as_secs()),
            "timeEpoch": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query_parameters(query));
    }
    if !path_parameters.is_empty() {
        event["pathParameters"] = json!(path_parameters);
    }
    if !body.is_empty() {
        let (body, base64) = match as_text(&parts.headers, body) {
            Some(text) => (Value::from(text), false),
            None => (Value::from(BASE64_STANDARD.encode(body)), true),
        };
        event["body"] = body;
        event["isBase64Encoded"] = base64.into();
    }
    event.to_string().into_bytes()
}

/// The first header whose value cannot be told in JSON as it is.
pub(super) fn unreadable(headers: &HeaderMap) -> Option<&str> {
    headers.iter().find(|(_, value)| value.to_str().is_err()).map(|(name, _)| name.as_str())
}

/// The headers that every edge adds.
fn added(seconds: u64, domain: &str, client: IpAddr) -> [(&'static str, String); 4] {
    let port = domain.rsplit_once(':').map_or("80", |(_, port)| port);
    let random = uuid::Uuid::new_v4().simple().to_string();
    [
        ("x-amzn-trace-id", format!("Root=1-{seconds:08x}-{}", &random[..24])),
        ("x-forwarded-for", client.to_string()),
        ("x-forwarded-port", port.to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
    ]
}

/// All values of each header, cookies among them.
fn all_headers(from: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in from {
        headers.entry(name.as_str().to_owned()).or_default().push(value.to_str().unwrap_or_default().to_owned());
    }
    headers
}

/// Header values of one name are joined by commas; cookies travel apart.
fn headers(from: &HeaderMap) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in from.iter().filter(|(name, _)| *name != http::header::COOKIE) {
        let value = value.to_str().unwrap_or_default();
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    headers
}

fn cookies(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(http::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).map(str::trim).filter(|cookie| !cookie.is_empty()).collect()
}

fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let entry = parameters.entry(name.into_owned()).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        entry.push_str(&value);
    }
    parameters
}

/// The body as text where its content type is one of those that API Gateway takes for text, nothing encodes it, and it is
/// UTF-8. As recorded from AWS (<https://github.com/ministackorg/ministack/pull/766>); nobody has said what AWS makes of an
/// encoding, so that what is encoded is kept whole here.
fn as_text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    if headers.contains_key(http::header::CONTENT_ENCODING) {
        return None;
    }
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let textual = kind.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&kind.as_str());
    textual.then(|| std::str::from_utf8(body).ok()).flatten()
}

/// `12/Mar/2020:19:03:58 +0000`, as access logs have it.
fn clf_time(seconds: u64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = i64::try_from(seconds).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    let time = time.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let month = MONTHS[usize::from(u8::from(time.month())) - 1];
    let (hour, minute, second) = time.to_hms();
    format!("{:02}/{month}/{}:{hour:02}:{minute:02}:{second:02} +0000", time.day(), time.year())
}
