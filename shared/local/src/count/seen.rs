//! One call, read from its request and its answer.

use serde_json::{Map, Value, json};

use super::{Call, Count};

/// Kinesis bills a put by 25 KB of each record, rounded up: <https://aws.amazon.com/kinesis/data-streams/pricing/>
const PUT_UNIT: u64 = 25 * 1024;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) call: Call,
    /// What the request alone tells.
    count: Count,
    reads: bool,
}

impl Seen {
    /// Reads a request of `function`. One to DynamoDB is made to ask for the units that it takes.
    pub(super) fn read(function: &str, target: &str, body: &mut Value) -> Option<Self> {
        let (service, operation) = target.split_once('.')?;
        let service = ["Kinesis", "DynamoDB", "SQS"].into_iter().find(|name| service.contains(name))?;
        let mut count = Count { calls: 1, ..Count::default() };
        let mut reads = false;
        match service {
            "DynamoDB" => {
                reads = ["Get", "BatchGet", "Query", "Scan"].iter().any(|verb| operation.starts_with(verb))
                    || statement(body).starts_with("SELECT");
                body["ReturnConsumedCapacity"] = json!("TOTAL");
                count.bytes = body["Item"].as_object().map_or(0, item_bytes);
            }
            "Kinesis" => {
                let many = body["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
                for record in many.iter().chain(Some(&*body).filter(|body| body["Data"].is_string())) {
                    let bytes = base64_bytes(text(&record["Data"])) + text(&record["PartitionKey"]).len() as u64;
                    count.records += 1;
                    count.bytes += bytes;
                    count.put_units += bytes.div_ceil(PUT_UNIT);
                }
            }
            _ => count.records = body["Entries"].as_array().map_or(1, |entries| entries.len() as u64),
        }
        let names = ["TableName", "StreamName", "StreamARN", "QueueUrl"];
        let name = names.iter().find_map(|name| body[*name].as_str());
        let name = name.or_else(|| table(body)).unwrap_or_default();
        let call = Call {
            function: function.to_owned(),
            service: service.to_owned(),
            operation: operation.to_owned(),
            resource: name.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        Some(Self { call, count, reads })
    }

    /// What it came to.
    pub(super) fn answered(&self, success: bool, body: &[u8]) -> Count {
        if !success {
            return Count { calls: 1, refused: 1, ..Count::default() };
        }
        let mut count = self.count;
        if self.call.service == "DynamoDB" {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            let units = match &answer["ConsumedCapacity"] {
                Value::Array(several) => several.iter().map(units).sum(),
                one => units(one),
            };
            if self.reads { count.read_units = units } else { count.write_units = units }
        }
        count
    }
}

/// The first statement of a call that has any. Statements of one call all read or all write.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html>
fn statement(body: &Value) -> &str {
    let one = body["Statement"].as_str().or_else(|| body["Statements"][0]["Statement"].as_str());
    one.unwrap_or_default()
}

/// The table of a call on many items: the one that is asked for keys, or the one in a statement's quotes.
fn table(body: &Value) -> Option<&str> {
    let asked = body["RequestItems"].as_object().and_then(|tables| tables.keys().next());
    asked.map(String::as_str).or_else(|| statement(body).split('"').nth(1))
}

fn units(capacity: &Value) -> f64 {
    capacity["CapacityUnits"].as_f64().unwrap_or(0.0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The bytes that base64 stands for.
fn base64_bytes(base64: &str) -> u64 {
    (base64.trim_end_matches('=').len() * 3 / 4) as u64
}

/// An item's size: names and values. <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
fn item_bytes(item: &Map<String, Value>) -> u64 {
    item.iter().map(|(name, value)| name.len() as u64 + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> u64 {
    let Some((kind, value)) = value.as_object().and_then(|one| one.iter().next()) else { return 0 };
    match (kind.as_str(), value) {
        ("B", Value::String(base64)) => base64_bytes(base64),
        ("N", Value::String(digits)) => digits.len() as u64 / 2 + 1,
        ("M", Value::Object(map)) => 3 + item_bytes(map),
        ("L", Value::Array(list)) => 3 + list.iter().map(value_bytes).sum::<u64>(),
        (_, Value::String(text)) => text.len() as u64,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_to_kinesis_counts_records_bytes_and_units_of_25_kb() {
        let small = "A".repeat(400); // 300 bytes
        let large = "A".repeat(40_000); // 30,000 bytes
        let records = [json!({"Data": small, "PartitionKey": "k1"}), json!({"Data": large, "PartitionKey": "k2"})];
        let mut body = json!({"StreamName": "penstock-Events", "Records": records});
        let seen = Seen::read("ingest", "Kinesis_20131202.PutRecords", &mut body).unwrap();
        assert_eq!((seen.call.service.as_str(), seen.call.resource.as_str()), ("Kinesis", "penstock-Events"));
        let count = seen.answered(true, b"{}");
        assert_eq!((count.calls, count.records, count.bytes, count.put_units), (1, 2, 30_304, 3));
    }

    #[test]
    fn dynamodb_is_asked_for_its_units_and_a_refused_call_takes_none() {
        let mut body = json!({"TableName": "t", "Item": {"pk": {"S": "abc"}, "n": {"N": "12"}, "b": {"B": "AAAA"}}});
        let seen = Seen::read("g", "DynamoDB_20120810.PutItem", &mut body).unwrap();
        assert_eq!(body["ReturnConsumedCapacity"], "TOTAL");
        let count = seen.answered(true, br#"{"ConsumedCapacity":{"TableName":"t","CapacityUnits":2.0}}"#);
        assert_eq!((count.write_units, count.read_units, count.bytes), (2.0, 0.0, 5 + 3 + 4));
        let refused = seen.answered(false, b"{}");
        assert_eq!((refused.calls, refused.refused, refused.write_units), (1, 1, 0.0));
    }

    #[test]
    fn a_call_on_many_items_has_the_units_of_all_of_them_and_a_table() {
        let mut body = json!({"RequestItems": {"t": {"Keys": [{"pk": {"S": "a"}}, {"pk": {"S": "b"}}]}}});
        let seen = Seen::read("g", "DynamoDB_20120810.BatchGetItem", &mut body).unwrap();
        let count = seen.answered(true, br#"{"ConsumedCapacity":[{"TableName":"t","CapacityUnits":2.0}]}"#);
        assert_eq!((seen.call.resource.as_str(), count.read_units, count.write_units), ("t", 2.0, 0.0));

        let update = r#"UPDATE "t" SET "n" = ? WHERE "pk" = ?"#;
        let mut body = json!({"Statements": [{"Statement": update}, {"Statement": update}]});
        let seen = Seen::read("g", "DynamoDB_20120810.BatchExecuteStatement", &mut body).unwrap();
        let each = r#"{"TableName":"t","CapacityUnits":1.0}"#;
        let count = seen.answered(true, format!(r#"{{"ConsumedCapacity":[{each},{each}]}}"#).as_bytes());
        assert_eq!((seen.call.resource.as_str(), count.calls, count.write_units), ("t", 1, 2.0));

        let mut body = json!({"Statements": [{"Statement": r#"SELECT * FROM "t" WHERE "pk" = ?"#}]});
        let seen = Seen::read("g", "DynamoDB_20120810.BatchExecuteStatement", &mut body).unwrap();
        let count = seen.answered(true, format!(r#"{{"ConsumedCapacity":[{each}]}}"#).as_bytes());
        assert_eq!((count.read_units, count.write_units), (1.0, 0.0));
    }

    #[test]
    fn reads_are_told_from_writes() {
        let mut body = json!({"TableName": "t"});
        let seen = Seen::read("g", "DynamoDB_20120810.Query", &mut body).unwrap();
        let count = seen.answered(true, br#"{"ConsumedCapacity":{"CapacityUnits":1.5}}"#);
        assert_eq!((count.read_units, count.write_units), (1.5, 0.0));
    }
}
