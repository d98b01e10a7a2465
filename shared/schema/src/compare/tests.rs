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

/// Found by somebody who looked with fresh eyes: a part that was cut out of its schema took a reference for its own.
#[test]
fn a_reference_to_a_place_of_the_whole_is_not_read_in_a_part_of_it() {
    let deep = |z: Value| {
        let mut inner =
            json!({"type":"object","additionalProperties":false,"properties":{"x":{"type":"integer"},"z":z}});
        for _ in 0..3 {
            inner = json!({"type":"object","additionalProperties":false,"properties":{"r":{"$ref":"#"},"w":inner}});
        }
        json!({"type":"object","additionalProperties":false,"properties":{"x":{"type":"number"},"w":inner}})
    };
    let (old, new) = (deep(json!({"$ref":"#/properties/x"})), deep(json!({"type":"integer"})));
    for readers in [Readers::Strict, Readers::Tolerant] {
        assert!(!compare(&old, &new, readers).whole.backward.keeps());
    }
}

#[test]
fn branches_are_told_apart_only_by_values_that_differ() {
    for branches in [
        json!([{"properties":{"k":{"const":1}},"required":["k"],"additionalProperties":false},
                            {"properties":{"k":{"const":1.0}},"required":["k"]}]),
        json!([{"properties":{"k":{"const":"a"}},"required":["k"],"additionalProperties":false}, true]),
    ] {
        let old = json!({"oneOf": branches});
        let mut new = old.clone();
        new["title"] = "t".into();
        let whole = compare(&old, &new, Readers::Tolerant).whole;
        assert!(whole.backward.keeps() && whole.forward.keeps(), "{whole:?}");
    }
}
