//! Queues: every attribute follows the template.

use std::collections::HashMap;

use crate::template::model::Queue;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use super::{CreateError, refused};

/// Makes the queue if it is not there; says whether it did.
pub(crate) async fn ensure(client: &Client, queue: &Queue) -> Result<bool, CreateError> {
    let name = &queue.name;
    if let Some((target, _)) = &queue.redrive {
        let target_name = target.rsplit(':').next().unwrap_or(target);
        if url(client, target_name).await?.is_none() {
            return Err(CreateError::NoDeadLetterQueue { name: name.clone(), target: target.clone() });
        }
    }
    let mut attributes = attributes(queue);
    if let Some(url) = url(client, name).await? {
        if !has_redrive(client, name, &url).await? {
            // not every service takes an empty policy where there is none to take away
            attributes.retain(|_, value| !value.is_empty());
        }
        let call = client.set_queue_attributes().queue_url(url);
        let call = call.set_attributes(Some(attributes)).send().await;
        call.map_err(refused("SetQueueAttributes", name))?;
        return Ok(false);
    }
    attributes.retain(|_, value| !value.is_empty());
    let call = client.create_queue().queue_name(name).set_attributes(Some(attributes));
    call.send().await.map_err(refused("CreateQueue", name))?;
    Ok(true)
}

async fn url(client: &Client, name: &str) -> Result<Option<String>, CreateError> {
    match client.get_queue_url().queue_name(name).send().await {
        Ok(output) => Ok(output.queue_url),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist()) => Ok(None),
        Err(error) => Err(refused("GetQueueUrl", name)(error)),
    }
}

async fn has_redrive(client: &Client, name: &str, url: &str) -> Result<bool, CreateError> {
    let policy = QueueAttributeName::RedrivePolicy;
    let asked = client.get_queue_attributes().queue_url(url).attribute_names(policy.clone()).send().await;
    let found = asked.map_err(refused("GetQueueAttributes", name))?.attributes.unwrap_or_default();
    Ok(found.get(&policy).is_some_and(|policy| !policy.is_empty()))
}

fn attributes(queue: &Queue) -> HashMap<QueueAttributeName, String> {
    let redrive = queue
        .redrive
        .as_ref()
        .map(|(target, count)| json!({ "deadLetterTargetArn": target, "maxReceiveCount": count }).to_string());
    HashMap::from([
        (QueueAttributeName::VisibilityTimeout, queue.visibility_timeout.to_string()),
        (QueueAttributeName::MessageRetentionPeriod, queue.retention.to_string()),
        // not every service starts with the largest
        (QueueAttributeName::MaximumMessageSize, queue.message_max.to_string()),
        // an empty policy takes an earlier one away
        (QueueAttributeName::RedrivePolicy, redrive.unwrap_or_default()),
    ])
}
