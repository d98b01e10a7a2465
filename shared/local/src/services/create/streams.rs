//! Streams: shards are fixed at creation, retention follows the template.

use std::time::Duration;

use crate::template::model::Stream;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{Shard, StreamDescription, StreamStatus};

use super::{CreateError, refused};

/// AWS takes half a minute to make a stream.
const POLL: Duration = Duration::from_millis(50);
const POLLS_MAX: u32 = 1200;

/// Makes the stream if it is not there; says whether it did.
pub(super) async fn ensure(client: &Client, stream: &Stream, remedy: &str) -> Result<bool, CreateError> {
    let name = &stream.name;
    let missing = match client.describe_stream().stream_name(name).send().await {
        Ok(_) => false,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => true,
        Err(error) => return Err(refused("DescribeStream", name)(error)),
    };
    if missing {
        let shards = i32::try_from(stream.shards).unwrap_or(i32::MAX);
        let call = client.create_stream().stream_name(name).shard_count(shards);
        call.send().await.map_err(refused("CreateStream", name))?;
    }
    let description = active(client, name).await?;
    if !missing {
        check_shards(client, stream, remedy).await?;
    }
    set_retention(client, stream, description.retention_period_hours()).await?;
    Ok(missing)
}

async fn active(client: &Client, name: &str) -> Result<StreamDescription, CreateError> {
    let mut status = StreamStatus::Creating;
    for _ in 0..POLLS_MAX {
        let output = client.describe_stream().stream_name(name).send().await;
        let output = output.map_err(refused("DescribeStream", name))?;
        if let Some(description) = output.stream_description {
            if *description.stream_status() == StreamStatus::Active {
                return Ok(description);
            }
            status = description.stream_status().clone();
        }
        tokio::time::sleep(POLL).await;
    }
    Err(CreateError::NotActive { kind: "stream", name: name.to_owned(), status: status.to_string() })
}

/// A stream that was split or merged since is the same stream: it counts by what it was created with, or by what it has
/// open, so that a template which follows a split by hand is right too.
async fn check_shards(client: &Client, stream: &Stream, remedy: &str) -> Result<(), CreateError> {
    let shards = all_shards(client, &stream.name).await?;
    let count = |wanted: fn(&Shard) -> bool| shards.iter().filter(|shard| wanted(shard)).count();
    let created = count(|shard| shard.parent_shard_id().is_none());
    let open = count(|shard| {
        let range = shard.sequence_number_range();
        range.is_some_and(|range| range.ending_sequence_number().is_none())
    });
    let wanted = stream.shards as usize;
    if created == wanted || open == wanted {
        return Ok(());
    }
    Err(CreateError::Shape {
        kind: "stream",
        name: stream.name.clone(),
        found: format!("{open} shards"),
        wanted: format!("{wanted} shards"),
        mend: remedy.to_owned(),
    })
}

async fn all_shards(client: &Client, name: &str) -> Result<Vec<Shard>, CreateError> {
    let mut shards = Vec::new();
    let mut call = client.list_shards().stream_name(name);
    loop {
        let output = call.send().await.map_err(refused("ListShards", name))?;
        shards.extend(output.shards.unwrap_or_default());
        match output.next_token {
            Some(token) => call = client.list_shards().next_token(token),
            None => return Ok(shards),
        }
    }
}

async fn set_retention(client: &Client, stream: &Stream, current_hours: i32) -> Result<(), CreateError> {
    let name = &stream.name;
    let hours = i32::try_from(stream.retention.as_secs() / 3600).unwrap_or(i32::MAX);
    if hours > current_hours {
        let call = client.increase_stream_retention_period().stream_name(name);
        let call = call.retention_period_hours(hours).send().await;
        call.map_err(refused("IncreaseStreamRetentionPeriod", name))?;
    } else if hours < current_hours {
        let call = client.decrease_stream_retention_period().stream_name(name);
        let call = call.retention_period_hours(hours).send().await;
        call.map_err(refused("DecreaseStreamRetentionPeriod", name))?;
    }
    Ok(())
}
