//! The edge: API Gateway's HTTP API with Lambda proxy integration, payload format 2.0; or what a REST API or a function URL
//! would hand on.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.
//! Guarantees: requests hold so many bytes at once ([`Bounds`]), and those that find no room wait. Each step of a request
//! ends within its bound: its head, room for it, its body, the function. Not imitated: stages, CORS, authorizers,
//! throttling, TLS.

mod connection;
mod edge;
mod event;
mod response;
mod room;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderValue, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::lambda::{Function, Invocation, PAYLOAD_MAX};
use crate::operator::Operator;
use connection::{Client, Patient};
pub use edge::Edge;
use room::Room;
pub use routes::RouteError;
use routes::Routes;

/// Bytes of a request's body:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>.
const BODY_MAX: usize = 10 * 1024 * 1024;

/// Bytes of the request line and of the headers' values together. Same page.
const HEAD_MAX: usize = 10_240;

/// How long an integration may take. Same page.
const INTEGRATION_MAX: Duration = Duration::from_secs(30);

/// Bytes of bodies that are held at once. API Gateway has no such bound: it is not one machine.
const HELD_MAX: usize = 64 * 1024 * 1024;

/// How long requests may take, and how much they may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Until a request's head is there: 408.
    pub head: Duration,
    /// Until there is room for its body: 503.
    pub room: Duration,
    /// Until its body is there: 408.
    pub body: Duration,
    /// Bytes of bodies at once, of requests whose function has not got them yet.
    pub held: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { head: INTEGRATION_MAX, room: INTEGRATION_MAX, body: INTEGRATION_MAX, held: HELD_MAX }
    }
}

/// How long open requests may take to end when the API stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// An HTTP API in front of functions.
pub struct Gateway {
    routes: Routes<Function>,
    beside: Router,
    edge: Edge,
    bounds: Bounds,
}

impl Gateway {
    /// An API with these routes: method or `ANY`, path, function.
    ///
    /// # Errors
    /// A path that is no route, or one route twice.
    pub fn new(routes: Vec<(String, String, Function)>) -> Result<Self, RouteError> {
        let (beside, edge, bounds) = (Router::new(), Edge::default(), Bounds::default());
        Ok(Self { routes: Routes::new(routes)?, beside, edge, bounds })
    }

    /// Hands requests on as `edge` does.
    #[must_use]
    pub fn speaking(self, edge: Edge) -> Self {
        Self { edge, ..self }
    }

    /// Answers what is below [`PREFIX`](crate::operator::PREFIX) too, before the routes.
    #[must_use]
    pub fn beside(self, operator: Operator) -> Self {
        Self { beside: operator.router(), ..self }
    }

    /// Requests are bound like this, and not as they are by default.
    #[must_use]
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Serves until `cancel`, then lets open requests end.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener, cancel: CancellationToken) -> std::io::Result<()> {
        let port = listener.local_addr()?.port();
        let (bounds, edge, routes) = (self.bounds, self.edge, self.routes);
        let room = Room::new(bounds.held);
        let state = Arc::new(Shared { routes, edge, domain: format!("127.0.0.1:{port}"), bounds, room });
        let router = Router::new().fallback(answer).with_state(state).merge(self.beside);
        let router = router.layer(middleware::from_fn(note_request));
        let service = router.into_make_service_with_connect_info::<Client>();
        let serving = axum::serve(Patient::new(listener, bounds.head), service)
            .with_graceful_shutdown(cancel.clone().cancelled_owned());
        let late = async {
            cancel.cancelled().await;
            tokio::time::sleep(STOP_WITHIN).await;
        };
        tokio::select! {
            result = async { serving.await } => result,
            () = late => Ok(()),
        }
    }
}

struct Shared {
    routes: Routes<Function>,
    edge: Edge,
    domain: String,
    bounds: Bounds,
    room: Room,
}

/// Tells the connection when a head is there, and when it has to wait for the next one.
async fn note_request(ConnectInfo(client): ConnectInfo<Client>, request: Request, next: Next) -> Response {
    client.asks(request.version());
    let response = next.run(request).await;
    client.is_answered();
    response
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(client): ConnectInfo<Client>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(found) = shared.routes.find(&parts.method, parts.uri.path()) else {
        return response::message(StatusCode::NOT_FOUND, "Not Found");
    };
    if head_bytes(&parts) > HEAD_MAX {
        return response::message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large");
    }
    if let Some(name) = event::unreadable(&parts.headers) {
        let text = format!("Bad Request: the value of the header {name} has bytes that are not ASCII");
        return response::message(StatusCode::BAD_REQUEST, &text);
    }
    let expected = body.size_hint().exact().map_or(BODY_MAX, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if expected > BODY_MAX {
        // a client that is still sending would not read the answer
        _ = tokio::time::timeout(shared.bounds.body, pass_over(body)).await;
        return too_large();
    }
    let Some(mut held) = shared.room.take(expected, shared.bounds.room).await else {
        return response::message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    };
    let body = match tokio::time::timeout(shared.bounds.body, read(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(StatusCode::PAYLOAD_TOO_LARGE)) => return too_large(),
        Ok(Err(status)) => return response::message(status, "Bad Request"),
        Err(_) => return late(),
    };
    held.shrink(body.len());
    // an event is longer than its body
    let built = (body.len() <= PAYLOAD_MAX).then(|| {
        let client = client.address.ip();
        event::build(shared.edge, &parts, &body, (&found.key, &found.parameters), &shared.domain, client)
    });
    drop(body);
    let Some(event) = built.filter(|event| event.len() <= PAYLOAD_MAX) else {
        // Lambda refuses what API Gateway would hand on
        return response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long");
    };
    let event = held.keep(event);
    // a task of its own: a client that hangs up does not end the invocation
    let target = found.target.clone();
    let invocation = tokio::spawn(async move { target.invoke(event).await });
    let invocation = tokio::time::timeout(INTEGRATION_MAX, invocation).await.ok().and_then(Result::ok);
    match invocation {
        Some(Invocation::Returned(bytes)) => response::from_function(&bytes),
        Some(Invocation::Failed { error_type, message }) => {
            tracing::debug!(error_type, message, "the function failed");
            response::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
        Some(Invocation::Throttled) | None => response::message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

fn too_large() -> Response {
    response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
}

/// What is left of the body is not waited for.
fn late() -> Response {
    let mut response = response::message(StatusCode::REQUEST_TIMEOUT, "Request Timeout");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn head_bytes(parts: &http::request::Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.to_string().len() + " HTTP/1.1 ".len();
    line + parts.headers.values().map(HeaderValue::len).sum::<usize>()
}

/// Reads a body that is too large, up to twice the bound, and keeps nothing of it.
async fn pass_over(body: Body) {
    let mut chunks = body.into_data_stream();
    let mut passed = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        passed += chunk.len();
        if passed > 2 * BODY_MAX {
            return;
        }
    }
}

async fn read(body: Body) -> Result<bytes::Bytes, StatusCode> {
    to_bytes(body, BODY_MAX).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.to_string().contains("length limit")) {
            true => StatusCode::PAYLOAD_TOO_LARGE,
            false => StatusCode::BAD_REQUEST,
        }
    })
}

#[cfg(test)]
mod tests;
