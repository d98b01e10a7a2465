//! DynamoDB: dynoxide on SQLite, in memory or in the state directory.
//!
//! Every write is committed before it is answered. Times to live are stored and nothing sweeps what expired: on AWS too
//! it may stay for days, so readers filter.

use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::services::StartError;
use crate::services::state_dir::StateDir;

const SERVICE: &str = "DynamoDB";

/// Opens the database.
pub(crate) fn open(state: Option<&StateDir>) -> Result<Database, StartError> {
    let Some(state) = state else {
        return Database::memory().map_err(|error| StartError::Store { service: SERVICE, reason: error.to_string() });
    };
    let path = state.dynamodb();
    let Some(name) = path.to_str() else {
        return Err(StartError::Store {
            service: SERVICE,
            reason: format!("the path {} is not UTF-8", path.display()),
        });
    };
    Database::new(name).map_err(|error| StartError::Corrupt { reason: error.to_string(), path: path.clone() })
}

/// Serves it until `stop`.
pub(crate) fn serve(listener: TcpListener, database: Database, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = dynoxide::server::serve_with_shutdown(listener, database, stop.cancelled_owned()).await {
            tracing::error!(%error, "a local service ended");
        }
    })
}
