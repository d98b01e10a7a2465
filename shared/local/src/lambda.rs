//! Lambda functions as processes of this machine.
//!
//! A [`Function`] is a binary and as many execution environments as invocations need at once, up to a bound. An
//! environment is one process behind its own Runtime API
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) and handles one invocation at a time.
//!
//! Guarantees: an answer counts for the invocation it names and for no other; an environment that timed out, crashed or
//! used too much memory is gone, with its whole process group, before its invocation is reported as failed; dropping an
//! invocation's future ends its environment. When this process is killed, a shell ends the functions (`survivors.rs`).
//! Only under [`OnTimeout::Abandon`] does a process outlive its invocation's time-out.
//! Not imitated: the freeze between invocations, extensions, `/tmp` limits.

mod environment;
mod logs;
mod runtime_api;
mod survivors;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use penstock_event_source::Invocation;
use tokio::sync::Semaphore;

use crate::metrics::{FunctionMetrics, MetricStore};
use environment::{Environment, InitError};

/// Bytes of a synchronous invocation's request, and of its response:
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
pub const PAYLOAD_MAX: usize = 6 * 1024 * 1024;

/// How a function is run.
#[derive(Debug, Clone)]
pub struct FunctionConfig {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The binary.
    pub binary: PathBuf,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// How much memory an environment may use, in MB.
    pub memory_mb: u32,
    /// Its variables, besides those that Lambda sets.
    pub environment: BTreeMap<String, String>,
    /// Environments at once; what comes beyond is throttled.
    pub max_concurrency: usize,
    /// What becomes of a process whose invocation timed out.
    pub on_timeout: OnTimeout,
}

/// What becomes of a process whose invocation timed out. It gets no further invocation either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// It is killed before its invocation is reported as failed, as on Lambda.
    #[default]
    Kill,
    /// It is left as it is, so that a run can write on after another one has taken over its work: a network that holds a
    /// request back does the same on Lambda. [`Function::abandoned`] has it until it ends; a shutdown kills it.
    Abandon,
}

/// Hears each line that a function writes.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// A process of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its process id, which is that of its group too.
    pub pid: u32,
    /// Whether an invocation is under way in it.
    pub busy: bool,
}

/// What a function has been through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Invocations that were run.
    pub invocations: u64,
    /// Those that failed.
    pub errors: u64,
    /// Invocations that were not run.
    pub throttles: u64,
    /// Processes started.
    pub cold_starts: u64,
}

/// Why a function cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such binary.
    #[error("the function {name} has no binary at {}; build it with `cargo build --bin {bin}`", .path.display(), bin = file_name(.path))]
    NoBinary {
        /// The function.
        name: String,
        /// Where the binary should be.
        path: PathBuf,
    },
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A function. Clones are the same function.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

struct Inner {
    config: FunctionConfig,
    log: LogSink,
    permits: Arc<Semaphore>,
    environments: Mutex<Vec<Arc<Environment>>>,
    /// Those whose processes outlived a time-out.
    abandoned: Mutex<Vec<Arc<Environment>>>,
    invocations: AtomicU64,
    errors: AtomicU64,
    throttles: AtomicU64,
    cold_starts: AtomicU64,
    metrics: FunctionMetrics,
}

impl Function {
    /// A function that is ready to be invoked, and reports to `metrics`. No process is started yet.
    ///
    /// # Errors
    /// When there is no such binary.
    pub fn new(config: FunctionConfig, log: LogSink, metrics: &MetricStore) -> Result<Self, Error> {
        if !config.binary.is_file() {
            return Err(Error::NoBinary { name: config.name, path: config.binary });
        }
        Ok(Self(Arc::new(Inner {
            permits: Arc::new(Semaphore::new(config.max_concurrency)),
            metrics: FunctionMetrics::new(metrics, &config.name),
            config,
            log,
            environments: Mutex::default(),
            abandoned: Mutex::default(),
            invocations: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            throttles: AtomicU64::new(0),
            cold_starts: AtomicU64::new(0),
        })))
    }

    /// Invokes the function and waits for what becomes of it.
    pub async fn invoke(&self, payload: Bytes) -> Invocation {
        let inner = &self.0;
        if payload.len() > PAYLOAD_MAX {
            let message = format!("{} bytes of payload; Lambda takes {PAYLOAD_MAX}", payload.len());
            return Invocation::failed("RequestEntityTooLargeException", message);
        }
        let Ok(_permit) = inner.permits.try_acquire() else {
            inner.throttles.fetch_add(1, Ordering::Relaxed);
            inner.metrics.throttled();
            return Invocation::Throttled;
        };
        inner.invocations.fetch_add(1, Ordering::Relaxed);
        let invocation = self.run(payload).await;
        let failed = matches!(invocation, Invocation::Failed { .. });
        if failed {
            inner.errors.fetch_add(1, Ordering::Relaxed);
        }
        inner.metrics.ran(failed);
        invocation
    }

    /// Reports that a mapping sends a batch, whose last record is so old.
    pub(crate) fn sends(&self, age: Duration) {
        self.0.metrics.sent(age);
    }

    async fn run(&self, payload: Bytes) -> Invocation {
        let environment = match self.idle() {
            Some(environment) => environment,
            None => match self.start().await {
                Ok(environment) => environment,
                Err(error) => {
                    (self.0.log)(&format!("ERROR {}: {error}", error.error_type()));
                    return Invocation::failed(error.error_type(), error.to_string());
                }
            },
        };
        let config = &self.0.config;
        let began = Instant::now();
        let invocation = environment.invoke(payload, config.timeout, config.on_timeout).await;
        self.0.metrics.took(began.elapsed());
        // a function that hangs or dies cannot say so itself; Lambda writes a line in its place
        if let Invocation::Failed { error_type, message } = &invocation
            && !environment.is_alive()
        {
            (self.0.log)(&format!("ERROR {error_type}: {message}"));
        }
        if config.on_timeout == OnTimeout::Abandon && !environment.is_alive() {
            // those that have ended are forgotten when `abandoned` is asked
            lock(&self.0.abandoned).push(environment);
        }
        self.lock().retain(|other| other.is_alive());
        invocation
    }

    /// Takes the environment that was used last and is idle.
    fn idle(&self) -> Option<Arc<Environment>> {
        let mut environments = self.lock();
        environments.retain(|environment| environment.is_alive());
        let at = environments.iter().rposition(|environment| environment.reserve())?;
        let environment = environments.remove(at);
        environments.push(Arc::clone(&environment));
        Some(environment)
    }

    /// Starts an environment, a second time if the first one dies before it asks for work.
    async fn start(&self) -> Result<Arc<Environment>, InitError> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.0.cold_starts.fetch_add(1, Ordering::Relaxed);
            match self.start_once().await {
                Ok(environment) => return Ok(environment),
                Err(error) if tries >= 2 => return Err(error),
                Err(_) => {}
            }
        }
    }

    async fn start_once(&self) -> Result<Arc<Environment>, InitError> {
        let environment = Arc::new(Environment::start(&self.0.config, Arc::clone(&self.0.log)).await?);
        // seen by `processes` while it initialises
        self.lock().push(Arc::clone(&environment));
        let ready = environment.ready().await;
        if ready.is_err() {
            self.lock().retain(|other| !Arc::ptr_eq(other, &environment));
        }
        ready.map(|()| environment)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Environment>>> {
        lock(&self.0.environments)
    }

    /// The processes that are there now.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        self.lock().iter().filter(|environment| environment.is_alive()).map(|environment| environment.info()).collect()
    }

    /// The processes that outlived their invocation's time-out and have not ended yet.
    pub fn abandoned(&self) -> Vec<ProcessInfo> {
        let mut abandoned = lock(&self.0.abandoned);
        abandoned.retain(|environment| !environment.has_ended());
        abandoned.iter().map(|environment| environment.info()).collect()
    }

    /// What it has been through.
    pub fn counters(&self) -> Counters {
        let inner = &self.0;
        Counters {
            invocations: inner.invocations.load(Ordering::Relaxed),
            errors: inner.errors.load(Ordering::Relaxed),
            throttles: inner.throttles.load(Ordering::Relaxed),
            cold_starts: inner.cold_starts.load(Ordering::Relaxed),
        }
    }

    /// Ends every process and waits until it is gone. No invocation should be under way.
    pub async fn shutdown(&self) {
        let environments = std::mem::take(&mut *self.lock());
        let abandoned = std::mem::take(&mut *lock(&self.0.abandoned));
        for environment in environments.into_iter().chain(abandoned) {
            environment.stop().await;
        }
    }
}

fn lock(environments: &Mutex<Vec<Arc<Environment>>>) -> std::sync::MutexGuard<'_, Vec<Arc<Environment>>> {
    environments.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
