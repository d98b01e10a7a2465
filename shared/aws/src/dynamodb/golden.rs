//! The stored formats against `events/golden`: a file for each version that was ever released has to stay readable.

use std::collections::HashMap;
use std::path::Path;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

/// An item of `events/golden`, which is in DynamoDB's own JSON.
pub(super) fn read(name: &str) -> HashMap<String, AttributeValue> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/golden").join(name);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    attributes(&serde_json::from_str(&text).unwrap())
}

fn attributes(map: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    map.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().and_then(|typed| typed.iter().next()).unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(BASE64_STANDARD.decode(text()).unwrap())),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(attributes(value.as_object().unwrap())),
        other => panic!("no format of ours has {other}"),
    }
}

/// An item in DynamoDB's own JSON.
pub(super) fn show(item: &HashMap<String, AttributeValue>) -> Value {
    item.iter().map(|(name, value)| (name.clone(), show_one(value))).collect::<Map<_, _>>().into()
}

fn show_one(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(digits) => json!({ "N": digits }),
        AttributeValue::B(bytes) => json!({ "B": BASE64_STANDARD.encode(bytes) }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(show_one).collect::<Vec<_>>() }),
        AttributeValue::M(members) => json!({ "M": show(members) }),
        other => panic!("no format of ours has {other:?}"),
    }
}
