//! A consumer group as a Lambda function: configuration, clients, and the loop.

mod describe;

use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{LambdaEvent, run, service_fn};
use penstock::dead_letter::DeadLetter;
use penstock::fingerprint::Fingerprinter;
use penstock::ports::{
    Clock, DeadLetters, Error, Ledger, Lineage, ListedShard, Page, Records, Recoveries, Shards, Turns,
};
use penstock::progress::Cursor;
use penstock::progress::{Begun, Commit, Committed};
use penstock::settle::{Handling, Projecting, Settings, Settler, Work};
use penstock::time::Timestamp;
use penstock::window::{Redriven, Segment, Wanted};
use penstock::{EventHandler, Position, Projection, SequenceNumber, ShardId};
use serde_json::value::RawValue;

use crate::clock::SystemClock;
use crate::config::{self, Reader};
use crate::dynamodb::{ProgressTable, StateTable, StateWrites, WindowTable};
use crate::kinesis::KinesisShards;
use crate::metrics::{self, Metrics};
use crate::sdk::Sdk;
use crate::sqs::DeadLetterQueue;
use crate::trace::Traces;

pub use describe::{DESCRIBE, Description};

/// What a consumer group's environment says.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// `PENSTOCK_GROUP`: the group's name.
    pub group: String,
    /// `PENSTOCK_STREAM`: the stream's name.
    pub stream: String,
    /// `PENSTOCK_PROGRESS_TABLE`.
    pub progress_table: String,
    /// `PENSTOCK_WINDOW_TABLE`.
    pub window_table: String,
    /// `PENSTOCK_DEAD_LETTER_QUEUE_URL`.
    pub dead_letter_queue_url: String,
    /// `PENSTOCK_FINGERPRINT_KEY`: any text that is unique to the deployment and does not change.
    pub fingerprint_key: String,
    /// `PENSTOCK_WINDOW_HORIZON_SECONDS`: how long duplicates are recognised; 900 unless set.
    pub horizon: Duration,
    /// `PENSTOCK_ATTEMPTS_MAX`: how often an event is handled at least before it is dead-lettered; 3 unless set.
    pub attempts_max: u32,
    /// `PENSTOCK_PATIENCE_SECONDS`: for how long it is handled again before that; 60 unless set.
    pub patience: Duration,
    /// `PENSTOCK_CONCURRENCY`: keys handled side by side; 64 unless set.
    pub concurrency: usize,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, in MB, which Lambda sets: two fifths of it are for windows. A table that grows
    /// stands beside the one it replaces for a moment, and the batch and the handler need the rest.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
    pub memory_mb: usize,
    /// `PENSTOCK_STATE_WRITES`: `single` for an emulator without `BatchExecuteStatement`; many with a call unless set.
    pub state_writes: StateWrites,
    /// `PENSTOCK_LOG_SHARE`: the share of handled events that the log names, from 0 to 1; 0.001 unless set.
    pub log_share: f64,
    /// `PENSTOCK_METRICS_NAMESPACE`; `Penstock` unless set.
    pub metrics_namespace: String,
}

impl GroupConfig {
    /// Reads the variables; what is wrong with them stays in `reader`.
    pub fn read<L: Fn(&str) -> Option<String>>(reader: &mut Reader<L>) -> Self {
        let group = reader.required("PENSTOCK_GROUP", "the consumer group's name");
        let dead_letter_queue_url =
            reader.required("PENSTOCK_DEAD_LETTER_QUEUE_URL", "the URL of the group's dead-letter queue");
        Self {
            attempts_max: reader.number("PENSTOCK_ATTEMPTS_MAX", 3, 1..=1000),
            patience: Duration::from_secs(reader.number("PENSTOCK_PATIENCE_SECONDS", 60, 0..=3600)),
            concurrency: reader.number("PENSTOCK_CONCURRENCY", 64, 1..=1000),
            ..Self::of(group, dead_letter_queue_url, reader)
        }
    }

    /// What does not depend on the group is read; it handles nothing.
    pub(crate) fn of<L: Fn(&str) -> Option<String>>(
        group: String,
        dead_letter_queue_url: String,
        reader: &mut Reader<L>,
    ) -> Self {
        Self {
            group,
            stream: reader.required("PENSTOCK_STREAM", "the name of the Kinesis stream"),
            progress_table: reader.required("PENSTOCK_PROGRESS_TABLE", "the name of the progress table"),
            window_table: reader.required("PENSTOCK_WINDOW_TABLE", "the name of the window table"),
            dead_letter_queue_url,
            fingerprint_key: reader
                .required("PENSTOCK_FINGERPRINT_KEY", "text unique to the deployment, such as its stack id"),
            horizon: Duration::from_secs(reader.number("PENSTOCK_WINDOW_HORIZON_SECONDS", 900, 60..=86_400)),
            attempts_max: 1,
            patience: Duration::ZERO,
            concurrency: 1,
            log_share: reader.number("PENSTOCK_LOG_SHARE", 0.001, 0.0..=1.0),
            metrics_namespace: metrics::namespace(reader),
            state_writes: match reader.choice("PENSTOCK_STATE_WRITES", ["batches", "single"]) {
                "single" => StateWrites::Single,
                _ => StateWrites::Batches,
            },
            memory_mb: reader.number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 512, 128..=10_240),
        }
    }

    /// Bytes that windows may take.
    pub(crate) fn window_bytes(&self) -> usize {
        self.memory_mb * 1024 * 1024 / 5 * 2
    }

    /// Bytes of states that a projection may remember: a twentieth of the memory.
    fn state_cache_bytes(&self) -> usize {
        self.memory_mb * 1024 * 1024 / 20
    }

    fn settings(&self) -> Settings {
        Settings {
            horizon: self.horizon,
            attempts_max: self.attempts_max,
            patience: self.patience,
            concurrency: self.concurrency,
            log_share: self.log_share,
            window_bytes: self.window_bytes(),
            ..Settings::new(&self.group, &self.stream)
        }
    }
}

/// A consumer group, ready to be given its work.
#[derive(Debug)]
pub struct Group {
    sdk: Sdk,
    config: GroupConfig,
    traces: Option<Arc<Traces>>,
    /// It only says what it is.
    describes: bool,
}

impl Group {
    /// Starts logging, reads the environment and makes the clients. `more` reads the variables that the group's own
    /// work needs; everything that is wrong is reported together.
    ///
    /// # Errors
    /// Every variable that is missing or bad.
    pub async fn from_env<T>(
        more: impl FnOnce(&mut Reader<fn(&str) -> Option<String>>) -> T,
    ) -> Result<(Self, T), config::Error> {
        let mut reader = Reader::new(config::process_environment as fn(&str) -> Option<String>);
        let config = GroupConfig::read(&mut reader);
        let more = more(&mut reader);
        let describes = reader.optional(DESCRIBE).is_some();
        let traces = if describes { None } else { crate::trace::start(&config.group) };
        if !describes {
            reader.finish()?;
        }
        Ok((Self { sdk: Sdk::from_env().await, config, traces, describes }, more))
    }

    /// The SDK, for clients of the group's own.
    pub fn sdk(&self) -> &Sdk {
        &self.sdk
    }

    /// Handles batches with `handler` for as long as Lambda sends any.
    ///
    /// # Errors
    /// When the Runtime API fails.
    pub async fn handle(self, handler: impl EventHandler) -> Result<(), lambda_runtime::Error> {
        if self.describes {
            return Description::of(handler.accepts()).print();
        }
        self.serve(Handling(handler)).await
    }

    /// Keeps `projection` in the DynamoDB table `state_table` for as long as Lambda sends batches.
    ///
    /// # Errors
    /// When the Runtime API fails.
    pub async fn project(self, projection: impl Projection, state_table: String) -> Result<(), lambda_runtime::Error> {
        if self.describes {
            return Description::of(projection.accepts()).print();
        }
        let states = StateTable::new(self.sdk.dynamodb(), state_table, self.config.state_writes);
        let cache_bytes = self.config.state_cache_bytes();
        self.serve(Projecting::new(projection, states, cache_bytes)).await
    }

    async fn serve(self, work: impl Work) -> Result<(), lambda_runtime::Error> {
        let fingerprints = Fingerprinter::new(&self.config.fingerprint_key);
        let ports = Ports::new(&self.sdk, &self.config);
        let settler = &Settler::new(self.config.settings(), fingerprints, work, ports);
        let metrics = &Metrics::new(&self.config.metrics_namespace, Some(("Group", &self.config.group)));
        let traces = self.traces.as_deref();
        let serve = async |event: LambdaEvent<Box<RawValue>>| {
            let deadline = Timestamp(event.context.deadline);
            let answer = crate::lambda::serve(settler, metrics, event).await;
            if let Some(traces) = traces {
                traces.flush(deadline.since(SystemClock.now())).await;
            }
            answer
        };
        run(service_fn(serve)).await
    }
}

/// The core's ports for one group.
#[derive(Debug, Clone)]
pub struct Ports {
    progress: ProgressTable,
    windows: WindowTable,
    dead_letters: DeadLetterQueue,
    shards: KinesisShards,
    clock: SystemClock,
}

impl Ports {
    /// The ports that `config` describes.
    pub fn new(sdk: &Sdk, config: &GroupConfig) -> Self {
        Self::of_clients(sdk.kinesis(), sdk.dynamodb(), sdk.sqs(), config)
    }

    /// As above, with clients that somebody else has made.
    pub fn of_clients(
        kinesis: aws_sdk_kinesis::Client,
        dynamodb: aws_sdk_dynamodb::Client,
        sqs: aws_sdk_sqs::Client,
        config: &GroupConfig,
    ) -> Self {
        let group = &config.group;
        Self {
            progress: ProgressTable::new(dynamodb.clone(), &config.progress_table, group, &config.stream),
            windows: WindowTable::new(dynamodb, &config.window_table, group, &config.stream, config.horizon),
            dead_letters: DeadLetterQueue::new(sqs, &config.dead_letter_queue_url),
            shards: KinesisShards::new(kinesis, &config.stream),
            clock: SystemClock,
        }
    }
}

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

impl Ledger for Ports {
    async fn begin(&self, shard: &ShardId) -> Result<Begun, Error> {
        self.progress.begin(shard).await
    }
    async fn look(&self, shard: &ShardId) -> Result<Begun, Error> {
        self.progress.look(shard).await
    }
    async fn load(&self, shard: &ShardId, wanted: &Wanted) -> Result<Vec<Segment>, Error> {
        self.windows.load(shard, wanted).await
    }
    async fn load_redriven(&self, shard: &ShardId, since: Timestamp) -> Result<Vec<Redriven>, Error> {
        self.windows.load_redriven(shard, since).await
    }
    async fn record(&self, shard: &ShardId, segment: &Segment) -> Result<(), Error> {
        self.windows.record(shard, segment).await
    }
    async fn record_redriven(&self, shard: &ShardId, redriven: &Redriven) -> Result<(), Error> {
        self.windows.record_redriven(shard, redriven).await?;
        self.progress.count_redriven(shard).await
    }
    async fn commit(&self, shard: &ShardId, epoch: u64, commit: &Commit) -> Result<Committed, Error> {
        self.progress.commit(shard, epoch, commit).await
    }
}

impl Turns for Ports {
    async fn take_turn(&self, id: &str, now: Timestamp, until: Timestamp) -> Result<bool, Error> {
        self.windows.take_turn(id, now, until).await
    }
    async fn end_turn(&self, id: &str) -> Result<(), Error> {
        self.windows.end_turn(id).await
    }
}

impl Recoveries for Ports {
    async fn recovered(
        &self,
        shard: &ShardId,
        first: &SequenceNumber,
        last: &SequenceNumber,
    ) -> Result<Option<Position>, Error> {
        self.windows.recovered(shard, first, last).await
    }
    async fn record_recovered(&self, shard: &ShardId, cursor: &Cursor) -> Result<(), Error> {
        self.windows.record_recovered(shard, cursor).await
    }
    async fn expire(&self, shard: &ShardId, last: &Position) -> Result<(), Error> {
        self.progress.expire(shard, last).await
    }
}

impl Records for Ports {
    async fn read_back(&self, shard: &ShardId, from: &SequenceNumber, after: bool) -> Result<Option<Page>, Error> {
        self.shards.read_back(shard, from, after).await
    }
}

impl DeadLetters for Ports {
    async fn send(&self, letters: &[DeadLetter]) -> Vec<Result<(), Error>> {
        self.dead_letters.send(letters).await
    }
}

impl Shards for Ports {
    async fn lineage(&self, shard: &ShardId) -> Result<Option<Lineage>, Error> {
        self.shards.lineage(shard).await
    }
    async fn list(&self) -> Result<Vec<ListedShard>, Error> {
        self.shards.list().await
    }
}
