//! The consumer groups of a stack, and what they have done.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use penstock::window::Counts;

use super::Stack;
use crate::StreamReader;
use crate::ledger::group_counts;
use crate::template::Pipeline;

/// A consumer group of the template: a function with `PENSTOCK_GROUP` in its environment.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The logical id of its function.
    pub function: String,
    /// The environment of its function.
    pub environment: BTreeMap<String, String>,
    stream: String,
    window_table: String,
    /// The URL of its dead-letter queue.
    pub dead_letter_queue: String,
}

impl Stack {
    /// The consumer groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group called `name`.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// What a group has settled.
    ///
    /// # Errors
    /// When its window table cannot be read.
    pub async fn settled(&self, group: &Group) -> anyhow::Result<Counts> {
        group_counts(&self.clients, &group.stream, &group.name, &group.window_table).await
    }

    /// A reader of the stream that a group reads, independent of it.
    pub fn reader(&self, group: &Group) -> StreamReader {
        StreamReader::new(self.clients.kinesis.clone(), group.stream.clone())
    }

    /// How far a group is behind: the largest age over its shards.
    pub fn iterator_age(&self, group: &Group) -> Duration {
        let shards = self.statuses.iter().filter(|(function, _)| *function == group.function);
        let ages = shards.flat_map(|(_, status)| {
            status.borrow().shards.values().map(|shard| shard.iterator_age).collect::<Vec<_>>()
        });
        ages.max().unwrap_or_default()
    }
}

/// The groups of a template.
pub(super) fn of(pipeline: &Pipeline) -> anyhow::Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for function in &pipeline.functions {
        let Some(name) = function.environment.get("PENSTOCK_GROUP") else {
            continue;
        };
        let get = |variable: &str| {
            let value = function.environment.get(variable).cloned();
            value.with_context(|| {
                format!("{}, of group {name}, has no {variable} in its environment", function.logical_id)
            })
        };
        if groups.iter().any(|group| group.name == *name) {
            bail!("two functions say that they are the consumer group `{name}`; a group is one function");
        }
        groups.push(Group {
            name: name.clone(),
            function: function.logical_id.clone(),
            stream: get("PENSTOCK_STREAM")?,
            window_table: get("PENSTOCK_WINDOW_TABLE")?,
            dead_letter_queue: get("PENSTOCK_DEAD_LETTER_QUEUE_URL")?,
            environment: function.environment.clone(),
        });
    }
    Ok(groups)
}
