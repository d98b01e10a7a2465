//! An HTTP server on loopback that ends when told to.
//!
//! On the stop signal it accepts nothing more, answers `503` to what is still waiting (a long poll may wait 20 s), and
//! closes idle connections. A client that holds a request open past [`STOP_PATIENCE`] is left behind.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::services::StartError;

/// How long a stopping server waits for its connections to end.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The largest body: a full `PutRecords` of 10 MiB in base64, with room for its keys.
pub(crate) const BODY_MAX: usize = 16 * 1024 * 1024;

/// Listens on 127.0.0.1, on a free port when `port` is 0. Gives the listener and its URL.
pub(crate) async fn listen(service: &'static str, port: u16) -> Result<(TcpListener, String), StartError> {
    let refused = |source| StartError::Listen { service, port, source };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(refused)?;
    let url = format!("http://{}", listener.local_addr().map_err(refused)?);
    Ok((listener, url))
}

/// Serves `router` until `stop`.
pub(crate) fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    let app = router
        .layer(middleware::from_fn_with_state(stop.clone(), answer_until_stopped))
        .layer(DefaultBodyLimit::max(BODY_MAX));
    tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "a local service ended");
        }
    })
}

async fn answer_until_stopped(State(stop): State<CancellationToken>, request: Request, next: Next) -> Response {
    stop.run_until_cancelled(next.run(request)).await.unwrap_or_else(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
}
