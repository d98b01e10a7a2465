use serde_json::json;

use super::*;
use crate::name::SchemaId;

fn schema(version: u32, value: &Value) -> Schema {
    let id = SchemaId { kind: "a.b".parse().unwrap(), version };
    Schema::parse(id, &value.to_string()).unwrap_or_else(|problems| panic!("{problems:?} in {value}"))
}

fn compare(old: &Value, new: &Value, readers: Readers) -> Comparison {
    Comparison::of(&schema(1, old), &schema(2, new), readers)
}

#[test]
fn an_optional_member_can_be_added_both_ways_and_one_of_another_type_cannot() {
    let old =
        json!({"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false});
    let mut new = old.clone();
    new["properties"]["b"] = json!({"type":"integer"});
    let comparison = compare(&old, &new, Readers::Tolerant);
    assert!(comparison.whole.backward.keeps() && comparison.whole.forward.keeps(), "{comparison:?}");
    assert_eq!(comparison.changes.len(), 1);
    assert_eq!(comparison.changes[0].pointer, "/properties/b");
    assert!(matches!(compare(&old, &new, Readers::Strict).whole.forward, Effect::Breaks(_)));
    new["properties"]["a"] = json!({"type":"integer"});
    let comparison = compare(&old, &new, Readers::Tolerant);
    assert_eq!(comparison.whole.backward, Effect::Breaks(json!({"a":"a"})));
    assert!(matches!(&comparison.whole.forward, Effect::Breaks(document) if document["a"].is_i64()));
    let places: Vec<_> = comparison.changes.iter().map(|change| change.pointer.as_str()).collect();
    assert_eq!(places, ["/properties/a/type", "/properties/b"]);
    assert!(comparison.changes[1].alone.as_ref().unwrap().forward.keeps());
}

#[test]
fn a_recursive_schema_can_grow() {
    let tree = |node: Value| json!({"$ref":"#/$defs/node","$defs":{"node":node}});
    let of = |more: Value| {
        let mut node = json!({"type":"object","required":["name"],"properties":{
            "name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"additionalProperties":false});
        for (name, member) in more.as_object().unwrap() {
            node["properties"][name] = member.clone();
        }
        tree(node)
    };
    let (old, new) = (of(json!({})), of(json!({"size":{"type":"integer"}})));
    let comparison = compare(&old, &new, Readers::Tolerant);
    assert!(comparison.whole.backward.keeps() && comparison.whole.forward.keeps(), "{comparison:?}");
    let narrow = of(json!({"name":{"type":"string","maxLength":3}}));
    assert!(matches!(compare(&old, &narrow, Readers::Tolerant).whole.backward, Effect::Breaks(_)));
    assert!(compare(&old, &narrow, Readers::Tolerant).whole.forward.keeps());
}
