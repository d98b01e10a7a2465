//! The sample events are read as their types, and written again as they were.

use std::path::Path;

use order_events::{
    shop_order_cancelled, shop_order_delivered, shop_order_paid, shop_order_placed, shop_order_shipped,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The samples that the edge accepts.
fn samples() -> Vec<Value> {
    let expected: Value = parsed(&text("orders.expected.json"));
    let refused: Vec<_> = expected["refused_at_the_edge"].as_array().into_iter().flatten().collect();
    let is_refused = |line: usize| refused.iter().any(|refused| refused["line"] == json!(line));
    let orders = text("orders.ndjson");
    let accepted = (1..).zip(orders.lines()).filter(|(line, _)| !is_refused(*line));
    let mut events: Vec<Value> = accepted.map(|(_, text)| parsed(text)).collect();
    assert_eq!(json!(events.len()), expected["accepted"]);
    events.push(parsed(&text("one.json")));
    events.extend(parsed::<Vec<Value>>(&text("batch.json")));
    events
}

fn text(file: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples").join(file);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn parsed<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn read_and_written<T: Serialize + DeserializeOwned>(data: &Value) -> Value {
    let read: T = parsed(&data.to_string());
    serde_json::to_value(read).unwrap_or_else(|error| panic!("{data}: {error}"))
}

#[test]
fn every_sample_is_read_as_its_type_and_written_as_it_was() {
    for event in samples() {
        let data = &event["data"];
        let again = match event["dataschema"].as_str().unwrap_or_default() {
            shop_order_placed::v1::SCHEMA => read_and_written::<shop_order_placed::v1::Data>(data),
            shop_order_paid::v1::SCHEMA => read_and_written::<shop_order_paid::v1::Data>(data),
            shop_order_shipped::v1::SCHEMA => read_and_written::<shop_order_shipped::v1::Data>(data),
            shop_order_delivered::v1::SCHEMA => read_and_written::<shop_order_delivered::v1::Data>(data),
            shop_order_cancelled::v1::SCHEMA => read_and_written::<shop_order_cancelled::v1::Data>(data),
            other => panic!("{other}"),
        };
        assert_eq!(&again, data);
    }
}

#[test]
fn each_version_of_a_placed_order_reads_the_other() {
    for event in samples().iter().filter(|event| event["type"] == shop_order_placed::TYPE) {
        assert_eq!(read_and_written::<shop_order_placed::v2::Data>(&event["data"]), event["data"]);
    }
    let second = json!({ "order_id": "ORDER-1", "total_cents": 900, "voucher": "AUTUMN" });
    let first: shop_order_placed::v1::Data = parsed(&second.to_string());
    assert_eq!((first.order_id.as_str(), first.total_cents), ("ORDER-1", 900));
    let latest: shop_order_placed::latest::Data = parsed(&second.to_string());
    assert_eq!(latest.voucher.as_deref(), Some("AUTUMN"));
}

#[test]
fn a_whole_number_with_a_fraction_of_zero_is_an_integer() {
    let cents = |total: &str| {
        let text = format!(r#"{{"order_id":"ORDER-1","total_cents":{total}}}"#);
        serde_json::from_str::<shop_order_placed::v1::Data>(&text).ok().map(|data| data.total_cents)
    };
    for (text, expected) in [("2", 2), ("2.0", 2), ("-1e3", -1000), ("9223372036854775807", i64::MAX)] {
        assert_eq!(cents(text), Some(expected), "{text}");
    }
    for text in ["2.5", "9223372036854775808", "1e30", "\"2\"", "null"] {
        assert_eq!(cents(text), None, "{text}");
    }
}

#[test]
fn a_value_that_no_version_names_is_refused() {
    let data = json!({ "order_id": "ORDER-1", "reason": "boredom" });
    let read = serde_json::from_value::<shop_order_cancelled::v1::Data>(data);
    assert!(read.is_err(), "{read:?}");
}
