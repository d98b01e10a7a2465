//! The pollers of a stack's event source mappings.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use penstock_event_source::{Backoff, EventSource, MappingStatus, Pacing, Settings, StartingPosition};
use tokio::sync::watch;

use super::{STOP_WITHIN, Stack};
use crate::event_source::{self, FileCheckpoints, Invoke, MemoryCheckpoints};
use crate::lambda::{Function, Invocation};
use crate::template;

/// The wait that idle reads grow to where puts are told of.
const IDLE_POLL_MAX: Duration = Duration::from_secs(1);

/// How often shards are listed there: new ones come with the end of an old one, which lists them at once.
const LIST_EVERY: Duration = Duration::from_secs(5);

impl Stack {
    pub(super) fn poll_streams(&mut self, state: Option<&Path>) -> anyhow::Result<()> {
        let puts = self.platform.puts();
        let eager = Pacing::default();
        let pacing = if puts.is_some() {
            Pacing { idle_poll_max: IDLE_POLL_MAX, list_every: LIST_EVERY, ..eager }
        } else {
            eager
        };
        for mapping in &self.pipeline.kinesis_mappings {
            let function = self.pipeline.functions.iter().find(|function| function.logical_id == mapping.function);
            let function = function.with_context(|| format!("{} names no function", mapping.logical_id))?;
            let stream = self.pipeline.streams.iter().find(|stream| stream.logical_id == mapping.stream);
            let stream = stream.with_context(|| format!("{} names no stream", mapping.logical_id))?;
            let on_failure = mapping.on_failure.as_ref().and_then(|arn| {
                let queue = self.pipeline.queues.iter().find(|queue| queue.arn == *arn)?;
                Some(queue.url.clone())
            });
            let config = event_source::KinesisMapping {
                stream_name: stream.name.clone(),
                source: EventSource {
                    stream_arn: stream.arn.clone(),
                    region: self.place.region.clone(),
                    role_arn: format!("arn:aws:iam::{}:role/{}", self.place.account_id, function.name),
                },
                function_arn: function.arn.clone(),
                settings: Settings {
                    starting_position: match mapping.start {
                        template::model::Start::TrimHorizon => StartingPosition::TrimHorizon,
                        template::model::Start::Latest => StartingPosition::Latest,
                    },
                    batch_size: mapping.batch_size as usize,
                    batching_window: mapping.batching_window,
                    report_batch_item_failures: mapping.report_batch_item_failures,
                    bisect_batch_on_function_error: mapping.bisect_on_error,
                    maximum_retry_attempts: mapping.max_retries,
                    maximum_record_age: mapping.max_record_age,
                    pacing,
                },
                puts: puts.clone(),
                on_failure_queue_url: on_failure,
                grace: STOP_WITHIN,
            };
            let (sender, status) = watch::channel(MappingStatus::default());
            self.statuses.push((mapping.function.clone(), status));
            let (kinesis, sqs) = (self.clients.kinesis.clone(), self.clients.sqs.clone());
            let invoker = self.function(&mapping.function)?.clone();
            let cancel = self.cancel.clone();
            let name = format!("the mapping {}", mapping.logical_id);
            let task = match state {
                Some(folder) => {
                    let file = crate::services::mappings(folder).join(format!("{}.json", mapping.logical_id));
                    let checkpoints = FileCheckpoints::new(file);
                    tokio::spawn(async move {
                        Ok(event_source::run_kinesis(config, kinesis, sqs, invoker, checkpoints, sender, cancel)
                            .await?)
                    })
                }
                None => tokio::spawn(async move {
                    let checkpoints = MemoryCheckpoints::default();
                    Ok(event_source::run_kinesis(config, kinesis, sqs, invoker, checkpoints, sender, cancel).await?)
                }),
            };
            self.tasks.push((name, task));
        }
        Ok(())
    }

    pub(super) fn poll_queues(&mut self) -> anyhow::Result<()> {
        for mapping in &self.pipeline.sqs_mappings {
            let queue = self.pipeline.queues.iter().find(|queue| queue.logical_id == mapping.queue);
            let queue = queue.with_context(|| format!("{} names no queue", mapping.logical_id))?;
            let config = event_source::SqsMapping {
                queue_url: queue.url.clone(),
                queue_arn: queue.arn.clone(),
                region: self.place.region.clone(),
                batch_size: mapping.batch_size as usize,
                report_batch_item_failures: mapping.report_batch_item_failures,
                concurrency: 1,
                long_poll: Duration::from_secs(1),
                backoff: Backoff::default(),
                grace: STOP_WITHIN,
            };
            let invoker = self.function(&mapping.function)?.clone();
            let (sqs, cancel) = (self.clients.sqs.clone(), self.cancel.clone());
            self.tasks.push((
                format!("the mapping {}", mapping.logical_id),
                tokio::spawn(async move { Ok(event_source::run_sqs(config, sqs, invoker, cancel).await?) }),
            ));
        }
        Ok(())
    }
}

impl Invoke for Function {
    async fn invoke(&self, payload: bytes::Bytes) -> Invocation {
        Self::invoke(self, payload).await
    }

    fn sends(&self, age: Duration) {
        Self::sends(self, age);
    }
}
