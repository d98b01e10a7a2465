//! The schemas in `events/schemas` may be published, and the sample events keep them.
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use penstock_schema::{Policy, Schema, SchemaId, Validator};
use serde_json::Value;

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events")
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn validators() -> BTreeMap<SchemaId, Validator> {
    let mut found = BTreeMap::new();
    let folders = std::fs::read_dir(events().join("schemas")).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|folder| folder.is_dir()) {
        let kind = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let policy = Policy::parse(&text(&folder.join("policy.json"))).unwrap();
        assert_eq!(policy.partition_key.as_deref(), Some("/order_id"));
        let id = SchemaId { kind, version: 1 };
        let schema = Schema::parse(id.clone(), &text(&folder.join("1.json"))).unwrap();
        assert_eq!(schema.warnings(), []);
        found.insert(id, Validator::new(&schema));
    }
    found
}

#[test]
fn every_sample_that_the_edge_takes_keeps_its_schema() {
    let samples = events().join("samples");
    let expected: Value = serde_json::from_str(&text(&samples.join("orders.expected.json"))).unwrap();
    let refused = expected["refused_at_the_edge"].as_array().unwrap();
    let refused: BTreeSet<u64> = refused.iter().map(|entry| entry["line"].as_u64().unwrap()).collect();
    let orders = text(&samples.join("orders.ndjson"));
    let lines = (1..).zip(orders.lines()).filter(|(number, _)| !refused.contains(number));
    let mut all: Vec<Value> = lines.map(|(_, line)| serde_json::from_str(line).unwrap()).collect();
    all.push(serde_json::from_str(&text(&samples.join("one.json"))).unwrap());
    all.extend(serde_json::from_str::<Vec<Value>>(&text(&samples.join("batch.json"))).unwrap());
    let validators = validators();
    assert_eq!((all.len(), validators.len()), (996, 5));
    for event in &all {
        let id = event["dataschema"].as_str().unwrap().parse().unwrap();
        assert_eq!(validators[&id].violations(&event["data"]), [], "{event}");
        let key = event["data"].pointer("/order_id");
        assert_eq!(key, Some(&event["partitionkey"]), "{event}");
    }
}
