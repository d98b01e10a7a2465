//! The edge: API Gateway's HTTP API with Lambda proxy integration, payload format 2.0; or what a REST API or a function URL
//! would hand on.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.
//! Guarantees: a request is in memory at most up to its bound, and is answered within 30 s. Not imitated: stages, CORS,
//! authorizers, throttling, TLS.

mod edge;
mod event;
mod response;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::lambda::{Function, Invocation, PAYLOAD_MAX};
use crate::operator::Operator;
pub use edge::Edge;
pub use routes::RouteError;
use routes::Routes;

/// Bytes of a request's body:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>.
const BODY_MAX: usize = 10 * 1024 * 1024;

/// Bytes of the request line and of the headers' values together. Same page.
const HEAD_MAX: usize = 10_240;

/// How long an integration may take. Same page.
const INTEGRATION_MAX: Duration = Duration::from_secs(30);

/// How long open requests may take to end when the API stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// An HTTP API in front of functions.
pub struct Gateway {
    routes: Routes<Function>,
    beside: Router,
    edge: Edge,
}

impl Gateway {
    /// An API with these routes: method or `ANY`, path, function.
    ///
    /// # Errors
    /// A path that is no route, or one route twice.
    pub fn new(routes: Vec<(String, String, Function)>) -> Result<Self, RouteError> {
        Ok(Self { routes: Routes::new(routes)?, beside: Router::new(), edge: Edge::default() })
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

    /// Serves until `cancel`, then lets open requests end.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener, cancel: CancellationToken) -> std::io::Result<()> {
        let port = listener.local_addr()?.port();
        let state = Arc::new(Shared { routes: self.routes, edge: self.edge, domain: format!("127.0.0.1:{port}") });
        let router = Router::new().fallback(answer).with_state(state).merge(self.beside);
        let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(cancel.clone().cancelled_owned());
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
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(client): ConnectInfo<std::net::SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(found) = shared.routes.find(&parts.method, parts.uri.path()) else {
        return response::message(StatusCode::NOT_FOUND, "Not Found");
    };
    if head_bytes(&parts) > HEAD_MAX {
        return response::message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large");
    }
    let body = match read(body).await {
        Ok(body) => body,
        Err(status) => {
            let text = if status == StatusCode::PAYLOAD_TOO_LARGE { "Request Entity Too Large" } else { "Bad Request" };
            return response::message(status, text);
        }
    };
    let Some(event) =
        event::build(shared.edge, &parts, &body, (&found.key, &found.parameters), &shared.domain, client.ip())
    else {
        return response::message(StatusCode::BAD_REQUEST, "Bad Request");
    };
    drop(body);
    if event.len() > PAYLOAD_MAX {
        // Lambda refuses what API Gateway would hand on
        return response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long");
    }
    // a task of its own: a client that hangs up does not end the invocation
    let target = found.target.clone();
    let invocation = tokio::spawn(async move { target.invoke(event.into()).await });
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

fn head_bytes(parts: &http::request::Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.to_string().len() + " HTTP/1.1 ".len();
    line + parts.headers.values().map(http::HeaderValue::len).sum::<usize>()
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
