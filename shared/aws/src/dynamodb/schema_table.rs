//! Published schemas in DynamoDB: an item a version, which is never written again, and one that says which there are.
//!
//! | attribute | type | |
//! |---|---|---|
//! | `pk` | S | the type; `#index` |
//! | `sk` | S | the version in ten digits; `#index` |
//! | `text` | S | of a version: the schema, byte for byte |
//! | `revision` | N | of the index: one more with each publication, and what the next one is conditional on |
//! | `types` | M | of the index: for each type its `policy` (S, as JSON) and `readable_from` (L of N, from version 1) |
//! | `v` | N | format, 1 |
//!
//! A publication is one transaction: it adds its versions where there are none, and writes the index over the revision that
//! was read, or it does nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, KeysAndAttributes, Put, TransactWriteItem};
use backon::{BackoffBuilder, ExponentialBuilder};
use penstock::ports::Error;
use penstock_schema::registry::{Index, Kept, Listed, Published, Registry};
use penstock_schema::{Policy, SchemaId, TypeName, Version};

use super::item::{Item, n, s};
use crate::error::classify;

const FORMAT: u32 = 1;

/// The key of the index. No type has such a name.
const INDEX: &str = "#index";

/// Versions of a publication: a transaction takes 100 items, and the index is one of them.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const NEW_MAX: usize = 99;

/// Bytes of a publication's versions: a transaction takes 4 MB, the index included.
const NEW_BYTES_MAX: usize = 3_600_000;

/// Bytes of the index: an item has 400 KB at most.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
const INDEX_BYTES_MAX: usize = 350_000;

/// Keys of a read. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const READS_MAX: usize = 100;

/// How often keys that a read left are asked for again.
const AGAIN_MAX: usize = 4;

/// Before the first time.
const PAUSE: Duration = Duration::from_millis(40);

/// Published schemas in DynamoDB.
#[derive(Debug, Clone)]
pub struct SchemaTable {
    client: Client,
    table: String,
}

impl SchemaTable {
    /// The schemas in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Reads versions, at most as many as a call takes.
    async fn get(&self, ids: &[SchemaId]) -> Result<Vec<Kept>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        let mut open: Vec<_> = ids.iter().map(|id| key(id.kind.as_str(), &sort_key(id.version))).collect();
        let mut pauses =
            ExponentialBuilder::default().with_min_delay(PAUSE).with_jitter().with_max_times(AGAIN_MAX).build();
        loop {
            // whoever read of a version in the index has to find it
            let wanted = KeysAndAttributes::builder().set_keys(Some(open)).consistent_read(true).build();
            let wanted = wanted.map_err(|error| Error::Refused(format!("BatchGetItem: {error}")))?;
            let answer = self.client.batch_get_item().request_items(&self.table, wanted).send().await;
            let answer = answer.map_err(|error| classify("BatchGetItem", error))?;
            for item in answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default() {
                found.push(decode(&item)?);
            }
            let left = answer.unprocessed_keys.unwrap_or_default().remove(&self.table);
            open = left.map(|left| left.keys).unwrap_or_default();
            if open.is_empty() {
                return Ok(found);
            }
            let Some(pause) = pauses.next() else {
                return Err(Error::Throttled("BatchGetItem: not all keys were read".to_owned()));
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One item of a publication.
    fn put(&self, item: HashMap<String, AttributeValue>, over: Option<u64>) -> TransactWriteItem {
        let mut put = Put::builder().table_name(&self.table).set_item(Some(item));
        put = match over {
            Some(revision) => put
                .condition_expression("#revision = :before")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(":before", n(revision)),
            None => put.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", "pk"),
        };
        let put = put.build().unwrap_or_else(|_| unreachable!("it has a table and an item"));
        TransactWriteItem::builder().put(put).build()
    }
}

impl Registry for SchemaTable {
    async fn index(&self, fresh: bool) -> Result<Index, Error> {
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key(INDEX, INDEX)));
        let answer = request.consistent_read(fresh).send().await.map_err(|error| classify("GetItem", error))?;
        answer.item().map_or_else(|| Ok(Index::default()), decode_index)
    }

    async fn versions(&self, ids: &[SchemaId]) -> Result<Vec<Kept>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(READS_MAX) {
            found.extend(self.get(ids).await?);
        }
        Ok(found)
    }

    async fn publish(&self, index: &Index, new: &[Kept]) -> Result<Published, Error> {
        check(index, new)?;
        let before = index.revision.checked_sub(1).filter(|before| *before > 0);
        let versions = new.iter().map(|kept| self.put(encode(kept), None));
        let items = versions.chain([self.put(encode_index(index)?, before)]).collect();
        match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => Ok(Published::Yes),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    judged(cancelled.cancellation_reasons())
                }
                _ => Err(classify("TransactWriteItems", error)),
            },
        }
    }
}

/// What a transaction does not take.
fn check(index: &Index, new: &[Kept]) -> Result<(), Error> {
    let bytes: usize = new.iter().map(|kept| kept.text.len()).sum();
    let refused = if index.revision == 0 {
        "a publication has a revision from 1".to_owned()
    } else if new.len() > NEW_MAX {
        format!("{} versions in a publication; it takes {NEW_MAX}", new.len())
    } else if bytes > NEW_BYTES_MAX {
        format!("{bytes} bytes of schemas in a publication; it takes {NEW_BYTES_MAX}")
    } else {
        return Ok(());
    };
    Err(Error::Refused(refused))
}

/// Why a transaction was cancelled. Nothing of it was written.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html>
fn judged(reasons: &[CancellationReason]) -> Result<Published, Error> {
    let codes = || reasons.iter().filter_map(CancellationReason::code).filter(|code| *code != "None");
    if codes().any(|code| code == "ConditionalCheckFailed") {
        return Ok(Published::Superseded);
    }
    let said: Vec<_> = reasons.iter().filter(|reason| reason.code().is_some_and(|code| code != "None")).collect();
    let said = said.first().map_or("no reason was given".to_owned(), |reason| {
        format!("{}: {}", reason.code().unwrap_or_default(), reason.message().unwrap_or("no message"))
    });
    let said = format!("TransactWriteItems: cancelled: {said}");
    // another publication was under way; it may have failed as well, so that nothing is known to be superseded
    let waits = |code: &str| {
        matches!(
            code,
            "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded"
        )
    };
    if codes().all(waits) && codes().next().is_some() { Err(Error::Throttled(said)) } else { Err(Error::Refused(said)) }
}

fn sort_key(version: Version) -> String {
    format!("{version:010}")
}

fn key(pk: &str, sk: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))])
}

fn encode(kept: &Kept) -> HashMap<String, AttributeValue> {
    let mut item = key(kept.id.kind.as_str(), &sort_key(kept.id.version));
    item.extend([("text".to_owned(), s(&kept.text)), ("v".to_owned(), n(FORMAT))]);
    item
}

fn decode(attributes: &HashMap<String, AttributeValue>) -> Result<Kept, Error> {
    let item = Item { attributes, what: "schema" };
    item.version(FORMAT)?;
    let kind = item.text("pk")?.parse().map_err(|_| item.damaged("pk"))?;
    let version = item.text("sk")?.parse().map_err(|_| item.damaged("sk"))?;
    Ok(Kept { id: SchemaId { kind, version }, text: item.text("text")?.to_owned() })
}

fn encode_index(index: &Index) -> Result<HashMap<String, AttributeValue>, Error> {
    let mut types = HashMap::new();
    let mut bytes = 0;
    for (name, Listed { policy, readable_from }) in &index.types {
        let policy = serde_json::to_string(policy);
        let policy = policy.map_err(|error| Error::Refused(format!("the policy of {name}: {error}")))?;
        // at least what DynamoDB counts: names, 1 byte for each value, 3 for each list and map, a number's digits halved
        bytes += name.as_str().len() + policy.len() + 40 + 8 * readable_from.len();
        let readable_from = AttributeValue::L(readable_from.iter().map(n).collect());
        let listed = [("policy".to_owned(), s(policy)), ("readable_from".to_owned(), readable_from)];
        types.insert(name.as_str().to_owned(), AttributeValue::M(HashMap::from(listed)));
    }
    if bytes > INDEX_BYTES_MAX {
        let told = format!("the index of all types and versions would have {bytes} bytes; it takes {INDEX_BYTES_MAX}");
        return Err(Error::Refused(told));
    }
    let mut item = key(INDEX, INDEX);
    item.extend([
        ("revision".to_owned(), n(index.revision)),
        ("types".to_owned(), AttributeValue::M(types)),
        ("v".to_owned(), n(FORMAT)),
    ]);
    Ok(item)
}

fn decode_index(attributes: &HashMap<String, AttributeValue>) -> Result<Index, Error> {
    let item = Item { attributes, what: "schema index" };
    item.version(FORMAT)?;
    let mut types = BTreeMap::new();
    for (name, listed) in item.map("types")? {
        let kind: TypeName = name.parse().map_err(|_| item.damaged("types"))?;
        let listed = listed.as_m().map_err(|_| item.damaged("types"))?;
        let listed = Item { attributes: listed, what: "schema index" };
        let policy = Policy::parse(listed.text("policy")?).map_err(|_| listed.damaged("policy"))?;
        let readable_from = listed.numbers("readable_from")?;
        types.insert(kind, Listed { policy, readable_from });
    }
    Ok(Index { revision: item.number("revision")?, types })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::golden;

    #[test]
    fn version_1_is_read_and_written() {
        let item = golden::read("schema-1.json");
        assert_eq!(golden::show(&encode(&decode(&item).unwrap())), golden::show(&item));
        let index = golden::read("schema-index-1.json");
        assert_eq!(golden::show(&encode_index(&decode_index(&index).unwrap()).unwrap()), golden::show(&index));
    }

    #[test]
    fn what_a_transaction_does_not_take_is_refused_before() {
        let kept = |version| Kept {
            id: SchemaId { kind: "a".parse().unwrap(), version },
            text: "x".repeat(NEW_BYTES_MAX / 90),
        };
        let index = Index { revision: 1, ..Index::default() };
        let new: Vec<_> = (1..=100).map(kept).collect();
        assert!(check(&index, &new).unwrap_err().to_string().contains("100 versions"));
        assert!(check(&index, &new[..99]).unwrap_err().to_string().contains("bytes of schemas"));
        assert_eq!(check(&index, &new[..90]), Ok(()));
        assert!(check(&Index::default(), &[]).is_err());
        let listed = Listed { policy: Policy::default(), readable_from: vec![1; 50_000] };
        let large = Index { revision: 1, types: BTreeMap::from([("a".parse().unwrap(), listed)]) };
        assert!(encode_index(&large).unwrap_err().to_string().contains("the index of all types"));
    }

    #[test]
    fn the_reasons_of_a_cancelled_transaction_say_whether_to_look_again_or_to_wait() {
        let reason = |code: &str| CancellationReason::builder().code(code).message("m").build();
        let said = |codes: &[&str]| judged(&codes.iter().map(|code| reason(code)).collect::<Vec<_>>());
        assert_eq!(said(&["None", "ConditionalCheckFailed"]), Ok(Published::Superseded));
        assert_eq!(said(&["TransactionConflict", "ConditionalCheckFailed"]), Ok(Published::Superseded));
        for waits in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
            assert!(matches!(said(&["None", waits]), Err(Error::Throttled(_))), "{waits}");
        }
        assert!(matches!(said(&["ValidationError", "None"]), Err(Error::Refused(_))));
        assert!(matches!(said(&[]), Err(Error::Refused(_))));
    }
}
