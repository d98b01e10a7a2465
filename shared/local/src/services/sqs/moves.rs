//! Message move tasks: from a dead-letter queue back to where its messages came from, or to a queue that is named.
//!
//! A task moves what is visible when it starts, at once and whatever rate was asked for, so it is over when the call
//! returns. As on AWS a moved message is a new one, with its own id and age, and a message that was sent straight to the
//! dead-letter queue has no source: a task that names no destination fails on it with `CouldNotDetermineMessageSource`.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/troubleshooting-dlq-redrive.html>

use serde_json::{Value, json};
use winterbaume_sqs::state::SqsError;
use winterbaume_sqs::types::Message;

use super::queues::{Inner, Queues};
use super::refusals::Refusal;
use crate::services::clock::now_ms;

/// Tasks that are listed, as on AWS.
const LISTED_MAX: usize = 10;
/// Tasks that are remembered, over all queues.
const REMEMBERED_MAX: usize = 100;

/// A task that is over.
pub(super) struct MoveTask {
    source: String,
    destination: Option<String>,
    started: i64,
    moved: usize,
    found: usize,
    /// Why it ended before its end.
    failure: Option<&'static str>,
}

/// `StartMessageMoveTask`.
pub(super) fn start(queues: &Queues, input: &Value) -> Result<Value, Refusal> {
    let source = input["SourceArn"].as_str().ok_or_else(|| Refusal::missing("SourceArn"))?;
    let destination = input["DestinationArn"].as_str();
    let mut inner = queues.lock();
    let source_name = existing(&inner, source)?;
    let is_target = |arn: Option<&str>| arn == Some(source);
    let mut all = inner.state.queues.values();
    if !all.any(|queue| is_target(queue.dead_letter_target_arn.as_deref())) {
        return Err(Refusal::invalid_value("Source queue must be configured as a Dead Letter Queue.".to_owned()));
    }
    if let Some(destination) = destination {
        existing(&inner, destination)?;
    }
    let task = run(&mut inner, &source_name, source, destination).map_err(|error| Refusal {
        shape: "InternalFailure",
        code: "InternalError",
        message: error.to_string(),
    })?;
    let handle = format!("{source}#{}", task.started);
    inner.tasks.push_front(task);
    inner.tasks.truncate(REMEMBERED_MAX);
    Ok(json!({ "TaskHandle": handle }))
}

/// `ListMessageMoveTasks`, the newest first; one if not asked for more.
pub(super) fn list(queues: &Queues, input: &Value) -> Result<Value, Refusal> {
    let source = input["SourceArn"].as_str().ok_or_else(|| Refusal::missing("SourceArn"))?;
    let max = input["MaxResults"].as_u64().map_or(1, |max| max as usize).min(LISTED_MAX);
    let inner = queues.lock();
    existing(&inner, source)?;
    let tasks = inner.tasks.iter().filter(|task| task.source == source).take(max);
    Ok(json!({ "Results": tasks.map(MoveTask::describe).collect::<Vec<_>>() }))
}

fn existing(inner: &Inner, arn: &str) -> Result<String, Refusal> {
    inner
        .queue_name(arn)
        .ok_or_else(|| Refusal::not_found(format!("The resource that you specified for the ARN {arn} doesn't exist.")))
}

fn run(inner: &mut Inner, name: &str, source: &str, destination: Option<&str>) -> Result<MoveTask, SqsError> {
    let now = now_ms();
    let visible = |message: &&Message| message.visible_at <= now;
    let messages: Vec<Message> = inner.queue(name)?.messages.iter().filter(visible).cloned().collect();
    let mut task = MoveTask {
        source: source.to_owned(),
        destination: destination.map(str::to_owned),
        started: now,
        moved: 0,
        found: messages.len(),
        failure: None,
    };
    for message in messages {
        let origin = inner.origins.get(&message.message_id).map(String::as_str);
        let Some(target) = destination.or(origin) else {
            task.failure = Some("CouldNotDetermineMessageSource");
            break;
        };
        let Some(target) = inner.queue_name(target) else {
            task.failure = Some("AWS.SimpleQueueService.NonExistentQueue");
            break;
        };
        // sent before it is deleted: a crash between the two leaves it twice and not nowhere
        inner.send(&target, |state| {
            let attributes = message.message_attributes.clone();
            state.send_message(&target, &message.body, Some(0), attributes, None, None)
        })?;
        inner.delete(name, &format!("{}:0", message.message_id))?;
        task.moved += 1;
    }
    Ok(task)
}

impl MoveTask {
    fn describe(&self) -> Value {
        let mut task = json!({
            "SourceArn": self.source,
            "StartedTimestamp": self.started,
            "Status": if self.failure.is_some() { "FAILED" } else { "COMPLETED" },
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.found,
        });
        if let Some(destination) = &self.destination {
            task["DestinationArn"] = json!(destination);
        }
        if let Some(failure) = self.failure {
            task["FailureReason"] = json!(failure);
        }
        task
    }
}
