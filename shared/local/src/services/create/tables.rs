//! Tables: keys are fixed at creation, the time-to-live attribute follows the template.

use std::time::Duration;

use crate::template::model::{KeyAttribute, Table};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};

use super::{CreateError, refused};

const POLL: Duration = Duration::from_millis(50);
const POLLS_MAX: u32 = 1200;

/// Makes the table if it is not there; says whether it did.
pub(crate) async fn ensure(client: &Client, table: &Table, remedy: &str) -> Result<bool, CreateError> {
    let name = &table.name;
    let made = match client.describe_table().table_name(name).send().await {
        Ok(output) => {
            check_keys(table, &output.table.unwrap_or_else(empty), remedy)?;
            false
        }
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
            make(client, table).await?;
            true
        }
        Err(error) => return Err(refused("DescribeTable", name)(error)),
    };
    set_ttl(client, table).await?;
    Ok(made)
}

fn empty() -> TableDescription {
    TableDescription::builder().build()
}

fn keys(table: &Table) -> impl Iterator<Item = (KeyType, &KeyAttribute)> {
    std::iter::once((KeyType::Hash, &table.hash_key)).chain(table.range_key.as_ref().map(|key| (KeyType::Range, key)))
}

async fn make(client: &Client, table: &Table) -> Result<(), CreateError> {
    let mut call = client.create_table().table_name(&table.name).billing_mode(BillingMode::PayPerRequest);
    for (role, key) in keys(table) {
        let element = KeySchemaElement::builder().attribute_name(&key.name).key_type(role);
        let kind = ScalarAttributeType::from(key.kind.as_str());
        let definition = AttributeDefinition::builder().attribute_name(&key.name).attribute_type(kind);
        call = call
            .key_schema(element.build().expect("name and type are set"))
            .attribute_definitions(definition.build().expect("name and type are set"));
    }
    call.send().await.map_err(refused("CreateTable", &table.name))?;
    active(client, &table.name).await
}

/// Until the table can be used.
async fn active(client: &Client, name: &str) -> Result<(), CreateError> {
    let mut status = TableStatus::Creating;
    for _ in 0..POLLS_MAX {
        let output = client.describe_table().table_name(name).send().await.map_err(refused("DescribeTable", name))?;
        match output.table.and_then(|table| table.table_status) {
            Some(TableStatus::Active) | None => return Ok(()),
            Some(other) => status = other,
        }
        tokio::time::sleep(POLL).await;
    }
    Err(CreateError::NotActive { kind: "table", name: name.to_owned(), status: status.to_string() })
}

fn check_keys(table: &Table, found: &TableDescription, remedy: &str) -> Result<(), CreateError> {
    let describe = |role: &KeyType, name: &str, kind: &str| format!("{name} {kind} ({role})");
    let wanted: Vec<String> = keys(table).map(|(role, key)| describe(&role, &key.name, &key.kind)).collect();
    let kind_of = |name: &str| {
        let mut definitions = found.attribute_definitions().iter();
        let definition = definitions.find(|definition| definition.attribute_name() == name);
        definition.map_or("?", |definition| definition.attribute_type().as_str())
    };
    let schema = found.key_schema().iter();
    let found: Vec<String> =
        schema.map(|key| describe(key.key_type(), key.attribute_name(), kind_of(key.attribute_name()))).collect();
    if found == wanted {
        return Ok(());
    }
    Err(CreateError::Shape {
        kind: "table",
        name: table.name.clone(),
        found: format!("the key {}", found.join(" + ")),
        wanted: wanted.join(" + "),
        mend: remedy.to_owned(),
    })
}

async fn set_ttl(client: &Client, table: &Table) -> Result<(), CreateError> {
    let name = &table.name;
    let output = client.describe_time_to_live().table_name(name).send().await;
    let current = output
        .map_err(refused("DescribeTimeToLive", name))?
        .time_to_live_description
        .filter(|ttl| matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)))
        .and_then(|ttl| ttl.attribute_name);
    if current == table.ttl_attribute {
        return Ok(());
    }
    if let Some(attribute) = current {
        update_ttl(client, name, &attribute, false).await?;
    }
    if let Some(attribute) = &table.ttl_attribute {
        update_ttl(client, name, attribute, true).await?;
    }
    Ok(())
}

async fn update_ttl(client: &Client, name: &str, attribute: &str, enabled: bool) -> Result<(), CreateError> {
    let specification = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(enabled);
    let specification = specification.build().expect("name and switch are set");
    let call = client.update_time_to_live().table_name(name);
    let call = call.time_to_live_specification(specification).send().await;
    call.map_err(refused("UpdateTimeToLive", name))?;
    Ok(())
}
