//! Views of what may be null.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// What a view is that may be null besides.
pub(super) fn content_or_null(view: &mut Value) -> Option<Value> {
    match view.get_mut("oneOf")?.as_array_mut()?.as_mut_slice() {
        [content, null] if *null == json!({ "type": "null" }) => Some(content.take()),
        _ => None,
    }
}

/// Lets each reference to one of these be null. typify would call what is in a definition as it calls the definition.
pub(super) fn may_be_null(view: &mut Value, nullable: &BTreeSet<String>) {
    match view {
        Value::Object(keywords) => {
            keywords.values_mut().for_each(|below| may_be_null(below, nullable));
            let is_one = keywords.get("$ref").and_then(Value::as_str).is_some_and(|target| nullable.contains(target));
            if is_one {
                let description = keywords.remove("description");
                *view = or_null(view.take(), true);
                if let Some(description) = description {
                    view["description"] = description;
                }
            }
        }
        Value::Array(below) => below.iter_mut().for_each(|below| may_be_null(below, nullable)),
        _ => {}
    }
}

pub(super) fn or_null(view: Value, nullable: bool) -> Value {
    if nullable { json!({ "oneOf": [view, { "type": "null" }] }) } else { view }
}
