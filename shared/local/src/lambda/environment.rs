//! One execution environment: a process, its Runtime API, and the watch over both.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

use super::logs::{self, Tail};
use super::runtime_api::{RuntimeApi, Work};
use super::survivors::{self, Watched};
use super::{FunctionConfig, Invocation, LogSink, OnTimeout};

/// How long a function may take until it asks for its first invocation:
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>.
const INIT_MAX: Duration = Duration::from_secs(10);

/// How often an environment's memory is looked at.
const MEMORY_LOOK: Duration = Duration::from_millis(100);

/// Why an environment never asked for work.
#[derive(Debug, thiserror::Error)]
pub(super) enum InitError {
    #[error("cannot start {path}: {source}")]
    Spawn { path: String, source: std::io::Error },
    #[error("no Runtime API for it: {0}")]
    Listen(#[source] std::io::Error),
    #[error("it ended before it asked for work ({status}){said}")]
    Exited { status: String, said: String },
    #[error("it did not ask for work within {} s", INIT_MAX.as_secs())]
    Slow,
}

impl InitError {
    pub(super) fn error_type(&self) -> &'static str {
        match self {
            Self::Spawn { .. } | Self::Listen(_) => "Runtime.InvalidEntrypoint",
            Self::Exited { .. } => "Runtime.ExitError",
            Self::Slow => "Sandbox.Timedout",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone)]
enum End {
    Exited(ExitStatus),
    OutOfMemory(u64),
}

/// An execution environment.
pub(super) struct Environment {
    pid: u32,
    arn: String,
    api: RuntimeApi,
    busy: AtomicBool,
    dead: Arc<AtomicBool>,
    ended: watch::Receiver<Option<End>>,
    tail: Tail,
    number: AtomicU64,
}

impl Environment {
    /// Starts the process, reserved for whoever starts it.
    pub(super) async fn start(config: &FunctionConfig, log: LogSink) -> Result<Self, InitError> {
        let api = RuntimeApi::start().await.map_err(InitError::Listen)?;
        let mut child = command(config, api.address())
            .spawn()
            .map_err(|source| InitError::Spawn { path: config.binary.display().to_string(), source })?;
        let pid = child.id().unwrap_or_default();
        let watched = survivors::watch(pid);
        let tail = Tail::default();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(logs::follow(out, Arc::clone(&log), tail.clone()));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(logs::follow(err, log, tail.clone()));
        }
        let dead = Arc::new(AtomicBool::new(false));
        let (sender, ended) = watch::channel(None);
        let memory = u64::from(config.memory_mb) * 1024 * 1024;
        tokio::spawn(guard(child, pid, memory, Arc::clone(&dead), sender, watched));
        let arn = config.arn.clone();
        Ok(Self { pid, arn, api, busy: AtomicBool::new(true), dead, ended, tail, number: AtomicU64::new(0) })
    }

    /// Waits until the process asks for work. If this future is dropped before, the process ends.
    pub(super) async fn ready(&self) -> Result<(), InitError> {
        let unfinished = KillOnDrop(self);
        tokio::select! {
            () = self.api.asked() => {
                std::mem::forget(unfinished);
                Ok(())
            }
            end = self.end() => {
                Err(InitError::Exited { status: describe(end.as_ref()), said: self.tail.quote().await })
            }
            () = tokio::time::sleep(INIT_MAX) => {
                self.stop().await;
                Err(InitError::Slow)
            }
        }
    }

    /// Takes the environment for an invocation, if it is idle and alive.
    pub(super) fn reserve(&self) -> bool {
        self.is_alive() && !self.busy.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Acquire)
    }

    /// Whether its process is gone. An environment can be given up before that.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(super) fn info(&self) -> super::ProcessInfo {
        super::ProcessInfo { pid: self.pid, busy: self.busy.load(Ordering::Acquire) }
    }

    /// Runs one invocation in an environment that was reserved. If this future is dropped, the process ends.
    pub(super) async fn invoke(&self, payload: Bytes, timeout: Duration, on_timeout: OnTimeout) -> Invocation {
        let request_id = uuid::Uuid::new_v4().to_string();
        let deadline = SystemTime::now() + timeout;
        let deadline_ms = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let (answer, answered) = oneshot::channel();
        let unfinished = KillOnDrop(self);
        let work = Work {
            request_id: request_id.clone(),
            deadline_ms: u64::try_from(deadline_ms).unwrap_or(u64::MAX),
            arn: self.arn.clone(),
            trace_id: trace_id(self.number.fetch_add(1, Ordering::Relaxed)),
            payload,
            answer,
        };
        self.api.give(work);
        let invocation = tokio::select! {
            // an answer that arrived counts, even if the process ended or the time ran out right after it
            biased;
            answer = answered => match answer {
                Ok(invocation) => {
                    std::mem::forget(unfinished);
                    self.busy.store(false, Ordering::Release);
                    return invocation;
                }
                Err(_) => Invocation::failed("Runtime.Unknown", "the Runtime API stopped"),
            },
            end = self.end() => match end {
                Some(End::OutOfMemory(bytes)) => Invocation::failed(
                    "Runtime.OutOfMemory",
                    format!("RequestId: {request_id} Error: the process used {} MB", bytes / (1024 * 1024)),
                ),
                end => Invocation::failed(
                    "Runtime.ExitError",
                    format!("RequestId: {request_id} Error: Runtime exited with error: {}", describe(end.as_ref())),
                ),
            },
            () = tokio::time::sleep(timeout) => {
                let message =
                    format!("RequestId: {request_id} Error: Task timed out after {:.2} seconds", timeout.as_secs_f64());
                let timed_out = Invocation::failed("Sandbox.Timedout", message);
                if on_timeout == OnTimeout::Abandon {
                    std::mem::forget(unfinished);
                    self.dead.store(true, Ordering::Release);
                    return timed_out;
                }
                timed_out
            }
        };
        drop(unfinished);
        // only when it is gone for certain may another invocation touch what it was working on
        self.end().await;
        invocation
    }

    /// Ends the process and waits until it is gone.
    pub(super) async fn stop(&self) {
        self.kill();
        self.end().await;
    }

    /// Waits until the process has ended; how, unless whoever watched it is gone too.
    async fn end(&self) -> Option<End> {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|end| end.clone())
    }

    fn kill(&self) {
        self.dead.store(true, Ordering::Release);
        if self.ended.borrow().is_none() {
            kill_group(self.pid);
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.kill();
    }
}

struct KillOnDrop<'a>(&'a Environment);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.0.kill();
    }
}

fn command(config: &FunctionConfig, api: &str) -> Command {
    let log_stream = format!("$LATEST/{}", uuid::Uuid::new_v4().simple());
    let mut command = Command::new(&config.binary);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "en_US.UTF-8")
        .env("TZ", ":UTC")
        .env("LAMBDA_TASK_ROOT", config.binary.parent().unwrap_or(&config.binary))
        .env("_HANDLER", "bootstrap")
        .env("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023")
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_FUNCTION_NAME", &config.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", config.memory_mb.to_string())
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", config.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", log_stream)
        .envs(&config.environment)
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // its own group: Ctrl-C is for the stack to act on, and a kill takes its children too
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Waits for a process to end, and ends it when it uses too much memory.
async fn guard(
    mut child: Child,
    pid: u32,
    memory: u64,
    dead: Arc<AtomicBool>,
    ended: watch::Sender<Option<End>>,
    watched: Watched,
) {
    let mut look = tokio::time::interval(MEMORY_LOOK);
    let mut too_much = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = look.tick() => {
                if let Some(used) = resident(pid).filter(|used| *used > memory && too_much.is_none()) {
                    too_much = Some(used);
                    kill_group(pid);
                }
            }
        }
    };
    // whatever it started goes with it
    kill_group(pid);
    drop(watched);
    dead.store(true, Ordering::Release);
    let end = match too_much {
        Some(used) => End::OutOfMemory(used),
        None => End::Exited(status.unwrap_or_else(|_| ExitStatus::from_raw(9))),
    };
    ended.send_replace(Some(end));
}

/// Bytes of memory that a process holds, where the system tells (Linux).
fn resident(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // it may be gone already
        _ = kill_process_group(pid, Signal::KILL);
    }
}

fn describe(end: Option<&End>) -> String {
    match end {
        Some(End::Exited(status)) => status.to_string(),
        Some(End::OutOfMemory(_)) => "out of memory".to_owned(),
        None => "unknown".to_owned(),
    }
}

/// A trace id in X-Ray's form; nothing is sampled here.
fn trace_id(number: u64) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut id = format!("Root=1-{seconds:08x}-{}", &random[..24]);
    _ = write!(id, ";Parent={number:016x};Sampled=0");
    id
}
