//! Removing what a template has made on somebody else's services. Nothing but what the template names.

use std::time::Duration;

use anyhow::Context;
use penstock_aws::Clients;

use super::Elsewhere;
use crate::template::Pipeline;

const POLL: Duration = Duration::from_millis(100);
/// A stream of an account takes half a minute.
const POLLS_MAX: u32 = 900;

impl Elsewhere {
    /// Deletes the streams, tables and queues of `pipeline` that are there, and waits until they are gone.
    pub(crate) async fn clean(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let clients = self.clients();
        for stream in &pipeline.streams {
            delete_stream(clients, &stream.name).await.with_context(|| format!("cannot delete {}", stream.name))?;
        }
        for table in &pipeline.tables {
            delete_table(clients, &table.name).await.with_context(|| format!("cannot delete {}", table.name))?;
        }
        for queue in &pipeline.queues {
            delete_queue(clients, &queue.name).await.with_context(|| format!("cannot delete {}", queue.name))?;
        }
        Ok(())
    }
}

/// Deletes a stream, if it is there.
pub(super) async fn delete_stream(clients: &Clients, name: &str) -> anyhow::Result<()> {
    let client = &clients.kinesis;
    // asked first: kinesis-mock, which LocalStack runs, deletes what gets this name half a second after it has said that
    // there is none
    match client.describe_stream_summary().stream_name(name).send().await {
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
            return Ok(());
        }
        _ => {}
    }
    let deleted = client.delete_stream().stream_name(name).enforce_consumer_deletion(true).send().await;
    match deleted {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    for _ in 0..POLLS_MAX {
        match client.describe_stream_summary().stream_name(name).send().await {
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                return Ok(());
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
    anyhow::bail!("the stream {name} is still there")
}

/// Deletes a table, if it is there.
pub(super) async fn delete_table(clients: &Clients, name: &str) -> anyhow::Result<()> {
    let client = &clients.dynamodb;
    match client.delete_table().table_name(name).send().await {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    for _ in 0..POLLS_MAX {
        match client.describe_table().table_name(name).send().await {
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                return Ok(());
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
    anyhow::bail!("the table {name} is still there")
}

/// Deletes a queue, if it is there.
pub(super) async fn delete_queue(clients: &Clients, name: &str) -> anyhow::Result<()> {
    let url = match clients.sqs.get_queue_url().queue_name(name).send().await {
        Ok(found) => found.queue_url.unwrap_or_default(),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist()) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    clients.sqs.delete_queue().queue_url(url).send().await?;
    Ok(())
}
