//! A projection's state as an item: one a key.
//!
//! | attribute | type | |
//! |---|---|---|
//! | `pk` | S | the partition key |
//! | `applied` | S | sortable position of the last event that went in or was refused |
//! | `state` | S | the state as JSON; missing while every event was refused |
//! | `revision` | N | one more with each write: what a write is conditional on |
//! | `settled` | S | sortable position; what was refused up to it is forgotten |
//! | `refused` | B | fingerprints of the positions above it that were refused, about 7 bytes each |
//! | `refused_to` | S | the highest of those positions, sortable |
//! | `redriven` | B | fingerprints of events that were applied out of their order, in that order, 8 bytes each |
//! | `v` | N | format, 1 |

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock::PartitionKey;
use penstock::fingerprint::Fingerprint;
use penstock::ports::Error;
use penstock::projection::StoredState;

use super::item::{Item, n, pack, s};

const FORMAT: u32 = 1;

pub(super) fn encode(key: &PartitionKey, state: &StoredState) -> HashMap<String, AttributeValue> {
    let fields = NAMES.into_iter().zip(values(state)).map(|(name, value)| (name.to_owned(), value));
    let mut item: HashMap<_, _> = fields.chain([("pk".to_owned(), s(key.as_str()))]).collect();
    if let Some(json) = &state.state {
        item.insert("state".to_owned(), s(json));
    }
    item
}

/// What every state has beside its key.
pub(super) const NAMES: [&str; 7] = ["applied", "redriven", "refused", "refused_to", "revision", "settled", "v"];

/// The values of [`NAMES`].
pub(super) fn values(state: &StoredState) -> [AttributeValue; 7] {
    [
        s(state.applied.sortable()),
        in_order(&state.redriven),
        pack(&state.refused),
        s(state.refused_to.sortable()),
        n(state.revision),
        s(state.settled.sortable()),
        n(FORMAT),
    ]
}

pub(super) fn decode(attributes: &HashMap<String, AttributeValue>) -> Result<StoredState, Error> {
    let item = Item { attributes, what: "state" };
    item.version(FORMAT)?;
    Ok(StoredState {
        revision: item.number("revision")?,
        applied: item.position("applied")?,
        settled: item.position("settled")?,
        redriven: from_order(item.bytes("redriven")?),
        state: if item.has("state") { Some(item.text("state")?.to_owned()) } else { None },
        refused: item.fingerprints("refused")?,
        refused_to: item.position("refused_to")?,
    })
}

/// The order matters: the oldest is forgotten first.
fn in_order(fingerprints: &[Fingerprint]) -> AttributeValue {
    AttributeValue::B(Blob::new(fingerprints.iter().flat_map(|f| f.0.to_be_bytes()).collect::<Vec<u8>>()))
}

fn from_order(bytes: &[u8]) -> Vec<Fingerprint> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| Fingerprint(u64::from_be_bytes(*chunk))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::golden;

    #[test]
    fn version_1_is_read_and_written() {
        let item = golden::read("state-1.json");
        let again = encode(&PartitionKey::new("ORDER-1").unwrap(), &decode(&item).unwrap());
        assert_eq!(golden::show(&again), golden::show(&item));
    }

    #[test]
    fn a_state_reads_back_as_itself() {
        let key = PartitionKey::new("ORDER-1").unwrap();
        for state in [None, Some("{\"a\":1}".to_owned())] {
            let stored = StoredState {
                revision: 3,
                applied: "495.2".parse().unwrap(),
                settled: "494.0".parse().unwrap(),
                redriven: vec![Fingerprint(7), Fingerprint(u64::MAX)],
                state,
                refused: vec![Fingerprint(1), Fingerprint(u64::MAX - 1)],
                refused_to: "495.1".parse().unwrap(),
            };
            assert_eq!(decode(&encode(&key, &stored)).unwrap(), stored);
        }
    }
}
