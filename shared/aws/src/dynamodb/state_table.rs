//! A projection's states in DynamoDB: many are read and written by one call, and each has its own result.
//!
//! Reads are `BatchGetItem`, 100 keys a call. Writes are PartiQL statements in `BatchExecuteStatement`, 25 a call: each is
//! conditional, is judged alone, and costs the write units of an ordinary write.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html>
//!
//! What a call leaves because of throttling is asked for again, with pauses that double; only what is still left then
//! fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementError, BatchStatementErrorCodeEnum as Refused, BatchStatementRequest,
    BatchStatementResponse, KeysAndAttributes,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::join_all;
use penstock::PartitionKey;
use penstock::ports::{Error, StateWrite, States};
use penstock::projection::{Stored, StoredState};

use super::item::{Item, n, s};
use super::state::{NAMES, decode, encode, values};
use crate::error::classify;

/// Keys of a read. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const READS_MAX: usize = 100;

/// Statements of a call. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html>
const WRITES_MAX: usize = 25;

/// Bytes of states in a call: no source says how many it takes, and an answer has to be there in time.
const WRITE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often what was throttled is asked for again.
const AGAIN_MAX: usize = 4;

/// Before the first time.
const PAUSE: Duration = Duration::from_millis(40);

/// How states are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateWrites {
    /// Many with a call.
    Batches,
    /// One with a call: some emulators have no `BatchExecuteStatement`.
    Single,
}

/// A projection's states in DynamoDB.
#[derive(Debug, Clone)]
pub struct StateTable {
    client: Client,
    table: String,
    writes: StateWrites,
    statements: Statements,
}

/// The texts of statements. The parameters of each are the values of [`NAMES`], the state if there is one, the key, and the
/// revision if one is written over.
#[derive(Debug, Clone)]
struct Statements {
    /// Without a state, and with one.
    insert: [Arc<str>; 2],
    update: [Arc<str>; 2],
}

impl Statements {
    fn new(table: &str) -> Self {
        let table = table.replace('"', "");
        let insert = |state: Option<&str>| {
            let names = NAMES.into_iter().chain(state).chain(["pk"]);
            let fields: Vec<_> = names.map(|name| format!("'{name}': ?")).collect();
            format!("INSERT INTO \"{table}\" VALUE {{{}}}", fields.join(", ")).into()
        };
        let update = |state: Option<&str>, forget: &str| {
            let sets: Vec<_> = NAMES.into_iter().chain(state).map(|name| format!("SET \"{name}\" = ?")).collect();
            let sets = sets.join(" ");
            format!("UPDATE \"{table}\" {sets}{forget} WHERE \"pk\" = ? AND \"revision\" = ?").into()
        };
        Self {
            insert: [insert(None), insert(Some("state"))],
            update: [update(None, " REMOVE \"state\""), update(Some("state"), "")],
        }
    }

    fn of(&self, over: bool, state: bool) -> &str {
        let texts = if over { &self.update } else { &self.insert };
        &texts[usize::from(state)]
    }
}

impl StateTable {
    /// The states in `table`.
    pub fn new(client: Client, table: impl Into<String>, writes: StateWrites) -> Self {
        let table = table.into();
        Self { client, statements: Statements::new(&table), table, writes }
    }

    /// A key and its state from an item of such a table.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is no such item, or one of a later version.
    pub fn read(attributes: &HashMap<String, AttributeValue>) -> Result<(String, StoredState), Error> {
        let item = Item { attributes, what: "state" };
        Ok((item.text("pk")?.to_owned(), decode(attributes)?))
    }

    /// One key's state, as it was written last.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item cannot be read.
    pub async fn load_one(&self, key: &PartitionKey) -> Result<Option<StoredState>, Error> {
        let loaded = self.load(std::slice::from_ref(key)).await.pop();
        loaded.unwrap_or_else(|| unreachable!("there is a result for each key"))
    }

    /// Reads keys, at most as many as a call takes, until each has a result.
    async fn get(&self, keys: &[PartitionKey]) -> Vec<Result<Option<StoredState>, Error>> {
        let mut found: HashMap<String, Result<StoredState, Error>> = HashMap::new();
        let mut open: Vec<HashMap<String, AttributeValue>> = keys.iter().map(key_of).collect();
        let mut pauses = pauses();
        let failed = loop {
            let wanted = KeysAndAttributes::builder().set_keys(Some(open)).consistent_read(true).build();
            let wanted = match wanted {
                Ok(wanted) => wanted,
                Err(error) => break Some(Error::Refused(format!("BatchGetItem: {error}"))),
            };
            let answer = match self.client.batch_get_item().request_items(&self.table, wanted).send().await {
                Ok(answer) => answer,
                Err(error) => break Some(classify("BatchGetItem", error)),
            };
            let items = answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
            for item in items {
                let Some(Ok(key)) = item.get("pk").map(AttributeValue::as_s) else { continue };
                found.insert(key.clone(), decode(&item));
            }
            let left = answer.unprocessed_keys.unwrap_or_default().remove(&self.table);
            open = left.map(|left| left.keys).unwrap_or_default();
            if open.is_empty() {
                break None;
            }
            let Some(pause) = pauses.next() else {
                break Some(Error::Throttled("BatchGetItem: not all keys were read".to_owned()));
            };
            tokio::time::sleep(pause).await;
        };
        let result = |key: &PartitionKey| match (found.get(key.as_str()), &failed) {
            (Some(found), _) => found.clone().map(Some),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        };
        keys.iter().map(result).collect()
    }

    /// Writes states, at most as many as a call takes, until each has a result.
    async fn put(&self, writes: &[StateWrite]) -> Vec<Result<Stored, Error>> {
        if self.writes == StateWrites::Single {
            return join_all(writes.iter().map(|write| self.put_one(write))).await;
        }
        let mut results: Vec<Result<Stored, Error>> = Vec::new();
        results.resize_with(writes.len(), || Err(Error::Unavailable("BatchExecuteStatement: no answer".to_owned())));
        let mut open: Vec<usize> = (0..writes.len()).collect();
        let mut pauses = pauses();
        loop {
            let statements = open.iter().map(|index| self.statement(&writes[*index])).collect();
            match self.client.batch_execute_statement().set_statements(Some(statements)).send().await {
                Ok(answer) => {
                    for (index, response) in open.iter().zip(answer.responses.unwrap_or_default()) {
                        results[*index] = judged(&response);
                    }
                }
                Err(error) => {
                    let error = classify("BatchExecuteStatement", error);
                    for index in open {
                        results[index] = Err(error.clone());
                    }
                    return results;
                }
            }
            open.retain(|index| matches!(results[*index], Err(Error::Throttled(_))));
            match pauses.next() {
                Some(pause) if !open.is_empty() => tokio::time::sleep(pause).await,
                _ => return results,
            }
        }
    }

    /// The statement that writes a state over the one that was read.
    fn statement(&self, StateWrite { key, state, over }: &StateWrite) -> BatchStatementRequest {
        let text = self.statements.of(over.is_some(), state.state.is_some());
        let mut parameters = Vec::with_capacity(NAMES.len() + 3);
        parameters.extend(values(state));
        parameters.extend(state.state.as_deref().map(s));
        parameters.push(s(key.as_str()));
        parameters.extend(over.map(n));
        let request = BatchStatementRequest::builder().statement(text).set_parameters(Some(parameters)).build();
        request.unwrap_or_else(|_| unreachable!("it has a statement"))
    }

    async fn put_one(&self, StateWrite { key, state, over }: &StateWrite) -> Result<Stored, Error> {
        let mut request = self.client.put_item().table_name(&self.table).set_item(Some(encode(key, state)));
        request = match over {
            Some(revision) => request
                .condition_expression("#revision = :over")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(":over", n(revision)),
            None => request.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", "pk"),
        };
        match request.send().await {
            Ok(_) => Ok(Stored::Yes),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(Stored::Superseded)
            }
            Err(error) => Err(classify("PutItem", error)),
        }
    }
}

impl States for StateTable {
    async fn load(&self, keys: &[PartitionKey]) -> Vec<Result<Option<StoredState>, Error>> {
        let mut calls = Vec::new();
        for keys in keys.chunks(READS_MAX) {
            calls.push(self.get(keys));
        }
        join_all(calls).await.concat()
    }

    async fn store(&self, writes: &[StateWrite]) -> Vec<Result<Stored, Error>> {
        let mut calls = Vec::new();
        let mut rest = writes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest));
            calls.push(self.put(now));
            rest = later;
        }
        join_all(calls).await.concat()
    }
}

/// How many of the first writes go into one call.
fn fitting(writes: &[StateWrite]) -> usize {
    let mut bytes = 0;
    let fits = writes.iter().take(WRITES_MAX).take_while(|write| {
        bytes += write.state.state.as_ref().map_or(0, String::len);
        bytes <= WRITE_BYTES_MAX
    });
    fits.count().max(1)
}

fn key_of(key: &PartitionKey) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), s(key.as_str()))])
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default().with_min_delay(PAUSE).with_jitter().with_max_times(AGAIN_MAX).build()
}

/// What one statement's answer says. The codes are about its own item.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html>
fn judged(response: &BatchStatementResponse) -> Result<Stored, Error> {
    let Some(BatchStatementError { code, message, .. }) = &response.error else { return Ok(Stored::Yes) };
    let said = |code: &Refused| {
        format!("BatchExecuteStatement: {}: {}", code.as_str(), message.as_deref().unwrap_or("no message"))
    };
    match code {
        Some(Refused::ConditionalCheckFailed | Refused::DuplicateItem) => Ok(Stored::Superseded),
        Some(
            code @ (Refused::ProvisionedThroughputExceeded | Refused::RequestLimitExceeded | Refused::ThrottlingError),
        ) => Err(Error::Throttled(said(code))),
        Some(code @ (Refused::InternalServerError | Refused::TransactionConflict)) => {
            Err(Error::Unavailable(said(code)))
        }
        Some(code) => Err(Error::Refused(said(code))),
        None => Err(Error::Unavailable("BatchExecuteStatement: an error without a code".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: Refused) -> Result<Stored, Error> {
        let error = BatchStatementError::builder().code(code).message("m").build();
        judged(&BatchStatementResponse::builder().error(error).build())
    }

    #[test]
    fn each_code_says_what_became_of_its_own_write() {
        assert_eq!(judged(&BatchStatementResponse::builder().build()), Ok(Stored::Yes));
        assert_eq!(said(Refused::ConditionalCheckFailed), Ok(Stored::Superseded));
        assert_eq!(said(Refused::DuplicateItem), Ok(Stored::Superseded));
        assert!(matches!(said(Refused::ThrottlingError), Err(Error::Throttled(_))));
        assert!(matches!(said(Refused::ProvisionedThroughputExceeded), Err(Error::Throttled(_))));
        assert!(matches!(said(Refused::InternalServerError), Err(Error::Unavailable(_))));
        assert!(matches!(said(Refused::AccessDenied), Err(Error::Refused(_))));
        assert!(matches!(said(Refused::from("SomethingNew")), Err(Error::Refused(_))));
        let nameless = BatchStatementResponse::builder().error(BatchStatementError::builder().build()).build();
        assert!(matches!(judged(&nameless), Err(Error::Unavailable(_))));
    }

    #[test]
    fn a_call_holds_as_many_writes_as_fit() {
        let write = |bytes: usize| StateWrite {
            key: PartitionKey::new("k").unwrap(),
            state: StoredState {
                state: Some("x".repeat(bytes)),
                ..decode(&crate::dynamodb::golden::read("state-1.json")).unwrap()
            },
            over: None,
        };
        assert_eq!(fitting(&vec![write(10); 60]), 25);
        assert_eq!(fitting(&vec![write(350_000); 25]), 11);
        assert_eq!(fitting(&[write(WRITE_BYTES_MAX + 1), write(1)]), 1);
    }
}
