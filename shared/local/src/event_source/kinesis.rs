//! A Kinesis mapping over the real protocol: one owner of the state machine, and a task for each thing under way.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use penstock::ShardId;
use penstock::time::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::checkpoints::CheckpointStore;
use super::clock::now;
use super::stream::{self, Iterators, Page, ReadError};
use super::{Invoke, MappingError, on_failure};
use penstock_event_source::Action;
use penstock_event_source::Checkpoint;
use penstock_event_source::EventSource;
use penstock_event_source::GivenUp;
use penstock_event_source::Invocation;
use penstock_event_source::MappingStatus;
use penstock_event_source::Settings;
use penstock_event_source::{ListedShard, Mapping, Step};
use penstock_event_source::{ReadFrom, Record};

/// How far a saved checkpoint is behind at most. What a crash loses of it is delivered again.
const SAVE_EVERY: Duration = Duration::from_millis(100);

/// Changes with each put.
pub type Puts = watch::Receiver<u64>;

/// One mapping of a stream to a function.
#[derive(Debug, Clone)]
pub struct KinesisMapping {
    /// The stream's name: what the services are asked with.
    pub stream_name: String,
    /// The stream as events name it.
    pub source: EventSource,
    /// The function, as notices name it.
    pub function_arn: String,
    /// How it reads, batches, retries and gives up.
    pub settings: Settings,
    /// `DestinationConfig.OnFailure`: the URL of the queue that is told of what was given up.
    pub on_failure_queue_url: Option<String>,
    /// Changes when something was put on a stream, where somebody tells so. Idle shards are then read at once.
    pub puts: Option<Puts>,
    /// How long an invocation that is under way when the mapping is cancelled may take to end.
    pub grace: Duration,
}

/// Runs a mapping until `cancel`. Then it lets the invocations under way end within the grace, saves the checkpoint and
/// returns. Whatever a service refuses is retried, with one warning for each row of refusals.
pub async fn run_kinesis(
    config: KinesisMapping,
    kinesis: Client,
    sqs: aws_sdk_sqs::Client,
    invoker: impl Invoke,
    checkpoints: impl CheckpointStore,
    status: watch::Sender<MappingStatus>,
    cancel: CancellationToken,
) -> Result<(), MappingError> {
    config.settings.validate().map_err(MappingError::Settings)?;
    let saved = checkpoints.load().await?;
    if let Some(other) = saved.as_ref().filter(|saved| saved.stream_arn != config.source.stream_arn) {
        let expected = config.source.stream_arn.clone();
        return Err(MappingError::OtherStream { found: other.stream_arn.clone(), expected });
    }
    let machine = Mapping::new(config.settings.clone(), config.source.clone(), saved.clone(), now());
    let grace = config.grace;
    let mut run = Run {
        machine,
        puts: config.puts.clone(),
        work: Work { config: Arc::new(config), kinesis, sqs, invoker },
        tasks: JoinSet::new(),
        iterators: Iterators::default(),
        checkpoints: Checkpoints { store: checkpoints, saved, next_save: Instant::now(), failing: false },
        status,
    };
    while !cancel.is_cancelled() {
        let wait = run.start_what_is_due();
        let save = run.checkpoints.save_now_and_then(&run.machine).await;
        run.wait(wait, save, &cancel).await?;
    }
    run.finish(grace).await
}

/// What the tasks of a mapping need.
#[derive(Clone)]
struct Work<I> {
    config: Arc<KinesisMapping>,
    kinesis: Client,
    sqs: aws_sdk_sqs::Client,
    invoker: I,
}

/// What a task ended with.
enum Done {
    Listed(Result<Vec<ListedShard>, ReadError>),
    Read { shard: ShardId, from: ReadFrom, page: Result<Page, ReadError> },
    Invoked { shard: ShardId, invocation: Invocation },
    GivenUp { shard: ShardId },
}

impl<I: Invoke> Work<I> {
    async fn list(self) -> Done {
        Done::Listed(stream::list(&self.kinesis, &self.config.stream_name).await)
    }

    async fn read(self, shard: ShardId, from: ReadFrom, limit: usize, iterator: Option<String>) -> Done {
        let page = stream::read(&self.kinesis, &self.config.stream_name, &shard, &from, limit, iterator).await;
        Done::Read { shard, from, page }
    }

    async fn invoke(self, shard: ShardId, records: Arc<[Record]>) -> Done {
        let payload = self.config.source.payload(&shard, &records);
        if let Some(last) = records.last() {
            self.invoker.sends(now().since(last.arrival));
        }
        let invocation = self.invoker.invoke(payload).await;
        Done::Invoked { shard, invocation }
    }

    async fn give_up(self, shard: ShardId, given_up: GivenUp) -> Done {
        let KinesisMapping { source, function_arn, on_failure_queue_url, .. } = &*self.config;
        let request_id = uuid::Uuid::new_v4().to_string();
        let notice = given_up.notice(source, &shard, function_arn, &request_id, now());
        on_failure::tell(&self.sqs, on_failure_queue_url.as_deref(), &shard, &given_up, &notice).await;
        Done::GivenUp { shard }
    }
}

struct Run<I, C> {
    machine: Mapping,
    puts: Option<Puts>,
    work: Work<I>,
    tasks: JoinSet<Done>,
    iterators: Iterators,
    checkpoints: Checkpoints<C>,
    status: watch::Sender<MappingStatus>,
}

impl<I: Invoke, C: CheckpointStore> Run<I, C> {
    /// Starts a task for everything that is due, and gives how long nothing else is.
    fn start_what_is_due(&mut self) -> Duration {
        loop {
            let now = now();
            match self.machine.next(now) {
                Step::List => {
                    self.tasks.spawn(self.work.clone().list());
                }
                Step::Shard(shard, Action::Fetch { from, limit }) => {
                    let iterator = self.iterators.take(&shard, &from);
                    self.tasks.spawn(self.work.clone().read(shard, from, limit, iterator));
                }
                Step::Shard(shard, Action::Invoke(records)) => {
                    self.tasks.spawn(self.work.clone().invoke(shard, records));
                }
                Step::Shard(shard, Action::GiveUp(given_up)) => {
                    self.tasks.spawn(self.work.clone().give_up(shard, given_up));
                }
                Step::WaitUntil(until) => {
                    self.publish(now);
                    return until.since(now);
                }
            }
        }
    }
    fn publish(&self, now: Timestamp) {
        let status = self.machine.status(now);
        self.status.send_if_modified(|last| {
            let modified = *last != status;
            *last = status;
            modified
        });
    }

    /// Waits for a task to end, for a put, for `longest`, until a checkpoint is to be saved, or for the mapping to be
    /// cancelled.
    async fn wait(
        &mut self,
        longest: Duration,
        save: Option<Instant>,
        cancel: &CancellationToken,
    ) -> Result<(), MappingError> {
        let until = Instant::now() + longest.max(Duration::from_millis(1));
        let until = save.map_or(until, |save| save.min(until));
        tokio::select! {
            () = cancel.cancelled() => Ok(()),
            Some(done) = self.tasks.join_next() => self.take(done),
            true = put(&mut self.puts) => {
                self.machine.wake();
                Ok(())
            }
            () = tokio::time::sleep_until(until) => Ok(()),
        }
    }

    fn take(&mut self, done: Result<Done, JoinError>) -> Result<(), MappingError> {
        let now = now();
        match done.map_err(MappingError::Panicked)? {
            Done::Listed(Ok(listed)) => self.machine.on_listing(&listed),
            Done::Listed(Err(error)) => {
                let failures = self.machine.on_listing_failed(now, fastrand::u64(..));
                let stream = &self.work.config.stream_name;
                complain(failures, || warn!(stream, %error, "the shards cannot be listed; trying on"));
            }
            Done::Read { shard, from, page: Ok(page) } => {
                self.iterators.keep(&shard, from, &page);
                self.machine.on_records(&shard, page.records, page.next.is_none(), now);
            }
            Done::Read { shard, page: Err(error), .. } => {
                let failures = self.machine.on_read_failed(&shard, now, fastrand::u64(..));
                let stream = &self.work.config.stream_name;
                complain(failures, || warn!(stream, %shard, %error, "the shard cannot be read; trying on"));
            }
            Done::Invoked { shard, invocation } => {
                self.machine.on_invocation(&shard, &invocation, now, fastrand::u64(..));
            }
            Done::GivenUp { shard } => self.machine.on_given_up(&shard),
        }
        Ok(())
    }

    /// Lets what is being delivered end, and saves how far that went. Reads under way are dropped: they change nothing.
    async fn finish(mut self, grace: Duration) -> Result<(), MappingError> {
        let deadline = Instant::now() + grace;
        while self.machine.delivers() {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(done)) => self.take(done)?,
                Ok(None) | Err(_) => break,
            }
        }
        self.tasks.shutdown().await;
        self.publish(now());
        self.checkpoints.store.save(&self.machine.checkpoint()).await?;
        Ok(())
    }
}

/// Waits for a put; false if nobody tells of any.
async fn put(puts: &mut Option<Puts>) -> bool {
    match puts {
        Some(puts) => puts.changed().await.is_ok(),
        None => false,
    }
}

/// Warns at the first of a row of failures.
fn complain(failures: u32, warning: impl FnOnce()) {
    if failures == 1 {
        warning();
    }
}

/// The store of the checkpoint, and what it was given last.
struct Checkpoints<C> {
    store: C,
    saved: Option<Checkpoint>,
    next_save: Instant,
    failing: bool,
}

impl<C: CheckpointStore> Checkpoints<C> {
    /// Saves progress that was made, if the last save is long enough ago. A refusal is tried again: until then a restart
    /// delivers more than it would have to. Gives when it wants to be called again even if nothing happens.
    async fn save_now_and_then(&mut self, machine: &Mapping) -> Option<Instant> {
        if Instant::now() < self.next_save {
            return Some(self.next_save);
        }
        let checkpoint = machine.checkpoint();
        if self.saved.as_ref() == Some(&checkpoint) {
            return None;
        }
        self.next_save = Instant::now() + SAVE_EVERY;
        match self.store.save(&checkpoint).await {
            Ok(()) => {
                self.saved = Some(checkpoint);
                self.failing = false;
                None
            }
            Err(error) => {
                if !self.failing {
                    warn!(%error, "the checkpoint cannot be saved; trying on");
                }
                self.failing = true;
                Some(self.next_save)
            }
        }
    }
}
