//! The ledger: what the consumer groups say they have settled.
//!
//! Each run's window segment carries its counts, so the sums are exact as long as the segments live (the window's
//! horizon and an hour). They are read from the tables, not from the functions.

use std::collections::HashMap;

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock::window::Counts;

use penstock_aws::Clients;

/// What `group` has settled on `stream`, by its segments in `window_table`.
///
/// # Errors
/// When the stream's shards or the table cannot be read.
pub(crate) async fn group_counts(
    clients: &Clients,
    stream: &str,
    group: &str,
    window_table: &str,
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for shard in crate::audit::list(&clients.kinesis, stream).await? {
        let mut pages = clients
            .dynamodb
            .query()
            .table_name(window_table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(format!("{group}/{stream}/{}", shard.shard_id())))
            .projection_expression("handled_count, duplicate_count, dead_letter_count, foreign_count")
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item.with_context(|| format!("cannot read the window table {window_table}"))?;
            counts.handled += number(&item, "handled_count");
            counts.duplicates += number(&item, "duplicate_count");
            counts.dead_letters += number(&item, "dead_letter_count");
            counts.foreign += number(&item, "foreign_count");
        }
    }
    Ok(counts)
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> u64 {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
