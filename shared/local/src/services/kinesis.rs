//! Kinesis: ferrokinesis with the write limits of a shard, and a journal of its own under it.
//!
//! Records stay in memory for their stream's retention: about 1.4 times the payload and 300 bytes each, up to
//! [`RETAINED_MAX`], beyond which puts are refused. ferrokinesis's own durable mode is not used: it writes and syncs all
//! streams and records anew on every put, so that a put costs as much as the whole backlog.

mod kept;
mod reported;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use ferrokinesis::store::{Store, StoreOptions};
use tokio::sync::{RwLock, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::event_source::Puts;
use crate::metrics::MetricStore;
use crate::services::StartError;
use crate::services::state_dir::StateDir;
use kept::Kept;

/// Above any template: the limit of 10 shards an account would be met by three streams.
const SHARDS_MAX: u32 = 10_000;
/// Bytes of records in memory; a put past it gets `LimitExceededException` instead of the machine getting slow.
const RETAINED_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// How often records past their retention are dropped.
const REAP_SECONDS: u64 = 60;
/// How often changes that no put followed (a split, a deletion) are written down.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The stream store, and where it is kept.
#[derive(Clone)]
pub(crate) struct Kinesis {
    store: Store,
    /// Writers hold it alone while they put and write down; readers share it. Two things hang on that:
    /// - ferrokinesis numbers a put's records first and stores them later, so that of two puts side by side the later
    ///   numbers can be stored first. A reader in between would go on past the earlier ones and never see them.
    /// - no reader sees a record that a crash could take back: its sequence number would be given out again, below a
    ///   consumer's progress. What cannot be written down is taken out of the store before a reader comes.
    kept: Arc<RwLock<Option<Kept>>>,
    metrics: MetricStore,
    /// What was to be written down last could not be.
    refuses: Arc<AtomicBool>,
    /// Counts puts and whatever else is no read.
    puts: watch::Sender<u64>,
}

impl std::fmt::Debug for Kinesis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kinesis").finish_non_exhaustive()
    }
}

impl Kinesis {
    /// Opens the store with what an earlier run left.
    pub(crate) async fn open(
        state: Option<&StateDir>,
        account_id: &str,
        region: &str,
        metrics: MetricStore,
    ) -> Result<Self, StartError> {
        let store = Store::new(StoreOptions {
            create_stream_ms: 0,
            delete_stream_ms: 0,
            update_stream_ms: 0,
            shard_limit: SHARDS_MAX,
            enforce_limits: true,
            max_retained_bytes: Some(RETAINED_MAX),
            aws_account_id: account_id.to_owned(),
            aws_region: region.to_owned(),
            ..StoreOptions::default()
        });
        let kept = match state {
            Some(state) => Some(Kept::open(&state.kinesis(), &store).await?),
            None => None,
        };
        Ok(Self {
            store,
            kept: Arc::new(RwLock::new(kept)),
            metrics,
            refuses: Arc::default(),
            puts: watch::Sender::default(),
        })
    }

    /// What changes with each put, once a reader can see it.
    pub(crate) fn puts(&self) -> Puts {
        self.puts.subscribe()
    }

    /// Whether there is a stream of this name.
    pub(crate) async fn has_stream(&self, name: &str) -> bool {
        self.store.contains_stream(name).await
    }

    /// Whether there is any stream.
    pub(crate) async fn has_streams(&self) -> bool {
        !self.store.list_stream_names().await.is_empty()
    }

    /// The protocol.
    pub(crate) fn router(&self) -> Router {
        let router = ferrokinesis::create_router(self.store.clone());
        let router = router.layer(middleware::from_fn_with_state(self.clone(), one_writer_at_a_time));
        // the outermost, so that no lock is held while a request is read
        router.layer(middleware::from_fn_with_state(self.metrics.clone(), reported::report))
    }

    /// What runs beside the protocol until `stop`.
    pub(crate) fn background(&self, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let reaper = ferrokinesis::retention::run_reaper(self.store.clone(), REAP_SECONDS);
        vec![until(stop, reaper), until(stop, self.clone().save_regularly())]
    }

    /// Writes down what is left and syncs it.
    pub(crate) async fn close(&self) -> io::Result<()> {
        let mut kept = self.kept.write().await;
        let Some(kept) = &mut *kept else { return Ok(()) };
        kept.save(&self.store).await?;
        kept.sync()
    }

    async fn save_regularly(self) {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            let mut kept = self.kept.write().await;
            let Some(kept) = &mut *kept else { return };
            _ = self.save(kept).await;
        }
    }

    async fn write(&self, request: Request, next: Next) -> Response {
        let mut kept = self.kept.write().await;
        let response = next.run(request).await;
        let Some(kept) = &mut *kept else { return response };
        match self.save(kept).await {
            Ok(()) => response,
            Err(_) => unsaved(),
        }
    }

    /// Writes down what changed, and says so once when that begins to fail and once when it works again.
    async fn save(&self, kept: &mut Kept) -> io::Result<()> {
        let saved = kept.save(&self.store).await;
        let failed = saved.is_err();
        if self.refuses.swap(failed, Ordering::Relaxed) != failed {
            match &saved {
                Err(error) => tracing::error!(%error, "the state of Kinesis cannot be written: puts are refused"),
                Ok(()) => tracing::info!("the state of Kinesis can be written again"),
            }
        }
        saved
    }
}

fn until(stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let stop = stop.clone();
    tokio::spawn(async move {
        stop.run_until_cancelled_owned(work).await;
    })
}

async fn one_writer_at_a_time(State(kinesis): State<Kinesis>, request: Request, next: Next) -> Response {
    if reads_only(&request) {
        let _shared = kinesis.kept.read().await;
        return next.run(request).await;
    }
    let response = kinesis.write(request, next).await;
    // behind the lock, so that whoever is told can read
    kinesis.puts.send_modify(|puts| *puts += 1);
    response
}

/// The operation that a request names, or nothing.
fn operation(request: &Request) -> &str {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    target.and_then(|target| target.split('.').next_back()).unwrap_or("")
}

fn reads_only(request: &Request) -> bool {
    ["Get", "List", "Describe", "Subscribe"].iter().any(|verb| operation(request).starts_with(verb))
}

/// What was put is not there.
fn unsaved() -> Response {
    let body = r#"{"__type":"InternalFailure","message":"the state directory cannot be written"}"#;
    let json = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (StatusCode::INTERNAL_SERVER_ERROR, json, body).into_response()
}

#[cfg(test)]
mod tests;
