//! What stands before the function: an HTTP API, a REST API or a function URL. Each hands a request on in a shape of its own,
//! and wants the answer in it.
//!
//! | | request | answer |
//! |---|---|---|
//! | HTTP API | payload 2.0, or 1.0 if its integration says so | likewise |
//! | REST API | 1.0 | 1.0 |
//! | function URL | 2.0 | 2.0 |
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>

use aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayProxyResponse, ApiGatewayV2httpRequest, ApiGatewayV2httpResponse,
};
use aws_lambda_events::encodings::Body;
use http::{HeaderMap, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::Answer;

/// The shape of a request and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// 1.0.
    V1,
    /// 2.0.
    V2,
}

/// A request, whatever it came through.
#[derive(Debug)]
pub struct Request {
    /// The shape that the answer has to have.
    pub payload: Payload,
    /// Its method.
    pub method: Method,
    /// The path, with the stage before it or not.
    pub path: String,
    /// The stage; `$default` is in no path.
    pub stage: String,
    /// Its headers; values of one name are joined by commas.
    pub headers: HeaderMap,
    /// The body, as the gateway passes it.
    pub body: Option<String>,
    /// The body is base64.
    pub is_base64_encoded: bool,
    /// What the gateway calls the request.
    pub id: String,
}

/// What a function was invoked with is no request.
#[derive(Debug, thiserror::Error)]
#[error("not a request of an HTTP API, a REST API or a function URL: {0}")]
pub struct Error(String);

/// What tells the shapes apart.
#[derive(Deserialize)]
struct Version<'a> {
    #[serde(default, borrow)]
    version: Option<&'a str>,
}

impl Request {
    /// Reads what Lambda gives the function.
    ///
    /// # Errors
    /// When it is no request.
    pub fn read(event: &RawValue) -> Result<Self, Error> {
        let wrong = |error: serde_json::Error| Error(error.to_string());
        let Version { version } = serde_json::from_str(event.get()).map_err(wrong)?;
        match version {
            Some("2.0") => Ok(serde_json::from_str::<ApiGatewayV2httpRequest>(event.get()).map_err(wrong)?.into()),
            // a REST API names no version
            None | Some("1.0") => {
                Ok(serde_json::from_str::<ApiGatewayProxyRequest>(event.get()).map_err(wrong)?.into())
            }
            Some(version) => Err(Error(format!("there is no payload version `{version}`"))),
        }
    }
}

impl From<ApiGatewayV2httpRequest> for Request {
    fn from(request: ApiGatewayV2httpRequest) -> Self {
        let ApiGatewayV2httpRequest { raw_path, headers, request_context, body, is_base64_encoded, .. } = request;
        Self {
            payload: Payload::V2,
            method: request_context.http.method,
            path: raw_path.or(request_context.http.path).unwrap_or_default(),
            stage: request_context.stage.unwrap_or_default(),
            headers,
            body,
            is_base64_encoded,
            id: request_context.request_id.unwrap_or_default(),
        }
    }
}

impl From<ApiGatewayProxyRequest> for Request {
    fn from(request: ApiGatewayProxyRequest) -> Self {
        let ApiGatewayProxyRequest { path, http_method, headers, multi_value_headers, request_context, .. } = request;
        Self {
            payload: Payload::V1,
            method: http_method,
            path: path.unwrap_or_default(),
            stage: request_context.stage.unwrap_or_default(),
            // `headers` has the last value of each name alone
            headers: if multi_value_headers.is_empty() { headers } else { joined(&multi_value_headers) },
            body: request.body,
            is_base64_encoded: request.is_base64_encoded,
            id: request_context.request_id.unwrap_or_default(),
        }
    }
}

/// As payload 2.0 has them.
fn joined(headers: &HeaderMap) -> HeaderMap {
    let mut joined = HeaderMap::with_capacity(headers.keys_len());
    for name in headers.keys() {
        let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        // parts of header values and a comma are a header value
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b","[..])) {
            joined.insert(name.clone(), value);
        }
    }
    joined
}

/// An answer in the shape that its request came in.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// 1.0.
    V1(ApiGatewayProxyResponse),
    /// 2.0.
    V2(ApiGatewayV2httpResponse),
}

impl Response {
    /// An answer for whoever sent a request of this shape.
    pub fn of(answer: Answer, payload: Payload) -> Self {
        let body = Some(Body::Text(answer.body));
        match payload {
            Payload::V1 => {
                let mut response = ApiGatewayProxyResponse::default();
                response.status_code = answer.status.into();
                response.headers = answer.headers;
                response.body = body;
                Self::V1(response)
            }
            Payload::V2 => {
                let mut response = ApiGatewayV2httpResponse::default();
                response.status_code = answer.status.into();
                response.headers = answer.headers;
                response.body = body;
                Self::V2(response)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn payload(name: &str) -> Value {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/payloads");
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    }

    fn read(value: &Value) -> Result<Request, Error> {
        Request::read(&serde_json::value::to_raw_value(value).unwrap())
    }

    #[test]
    fn the_same_request_is_the_same_whatever_it_came_through() {
        for (name, shape) in [
            ("apigw-v2-structured.json", Payload::V2),
            ("rest-structured.json", Payload::V1),
            ("url-structured.json", Payload::V2),
        ] {
            let request = read(&payload(name)).unwrap();
            assert_eq!((request.payload, &request.method), (shape, &Method::POST), "{name}");
            assert!(request.path.ends_with("/v1/events"), "{name}: {}", request.path);
            assert_eq!(request.headers["content-type"], "application/cloudevents+json", "{name}");
            assert!(!request.id.is_empty() && request.body.is_some(), "{name}");
        }
    }

    #[test]
    fn values_of_one_header_are_joined_and_none_is_lost() {
        let mut event = payload("rest-binary.json");
        event["multiValueHeaders"]["ce-id"] = json!(["a", "b"]);
        assert_eq!(read(&event).unwrap().headers["ce-id"], "a,b");
        // the console's test of a method sends none
        event["multiValueHeaders"] = Value::Null;
        event["headers"] = json!({"ce-id": "c"});
        assert_eq!(read(&event).unwrap().headers["ce-id"], "c");
    }

    #[test]
    fn what_is_no_request_is_told_as_such() {
        for event in [json!({}), json!({"version": "3.0"}), json!({"Records": []}), json!([]), json!({"version": 2})] {
            let error = read(&event).unwrap_err().to_string();
            assert!(error.starts_with("not a request of an HTTP API"), "{event}: {error}");
        }
    }

    #[test]
    fn the_answer_has_the_shape_of_the_request() {
        for payload in [Payload::V1, Payload::V2] {
            let value = serde_json::to_value(Response::of(Answer::method_not_allowed("POST"), payload)).unwrap();
            assert_eq!((&value["statusCode"], &value["isBase64Encoded"]), (&json!(405), &json!(false)));
            assert_eq!(value["headers"], json!({"content-type": "application/problem+json", "allow": "POST"}));
            assert!(value["body"].as_str().unwrap().contains(r#""code":"method_not_allowed""#));
            // a REST API refuses an answer with a member that it does not know
            assert_eq!(value.get("cookies").is_some(), payload == Payload::V2, "{value}");
        }
    }
}
