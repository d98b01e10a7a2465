//! How a schema is read by those who write events, and by those who read them.
//!
//! Who writes is held to the schema as it stands: the edge refuses what it does not allow. Who reads passes over members that
//! it does not know, as serde does. Without that difference no member could ever be added both ways: an open object may have
//! held it with another type, a closed one refuses it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::policy::Readers;
use crate::walk::{self, Step, below, target};

/// What readers of `schema` take.
pub(crate) fn of_readers(schema: &Value, readers: Readers) -> Value {
    match readers {
        Readers::Strict => schema.clone(),
        Readers::Tolerant => {
            let kept = kept(schema);
            let mut relaxed = schema.clone();
            relax(&mut relaxed, "", &kept);
            relaxed
        }
    }
}

/// The schemas that stay as they are, because what they allow decides what others refuse.
fn kept(root: &Value) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    for (pointer, schema) in walk::all(root) {
        let Some(keywords) = schema.as_object() else { continue };
        for keyword in ["not", "if", "dependentSchemas", "propertyNames", "contains"] {
            if keywords.contains_key(keyword) {
                open.push(format!("{pointer}/{keyword}"));
            }
        }
        if keywords.get("oneOf").and_then(Value::as_array).is_some_and(|branches| !are_disjoint(root, branches)) {
            open.push(format!("{pointer}/oneOf"));
        }
    }
    // with all that they contain and refer to
    while let Some(pointer) = open.pop() {
        if !kept.insert(pointer.clone()) {
            continue;
        }
        let Some(value) = root.pointer(&pointer) else { continue };
        match value {
            Value::Object(members) => {
                open.extend(members.keys().map(|name| format!("{pointer}/{}", walk::escape(name))));
                open.extend(members.get("$ref").and_then(Value::as_str).and_then(target));
            }
            Value::Array(items) => open.extend((0..items.len()).map(|index| format!("{pointer}/{index}"))),
            _ => {}
        }
    }
    kept
}

/// Whether a member with a value of its own tells the branches apart.
fn are_disjoint(root: &Value, branches: &[Value]) -> bool {
    let Some(branches) =
        branches.iter().map(|branch| resolve(root, branch)).collect::<Option<Vec<&Map<String, Value>>>>()
    else {
        return false;
    };
    let values = |branch: &Map<String, Value>, name: &str| -> Option<Vec<Value>> {
        let required = branch.get("required")?.as_array()?.iter().any(|other| other == name);
        let member = branch.get("properties")?.get(name)?;
        let values = member.get("const").map(|value| vec![value.clone()]);
        values.or_else(|| member.get("enum")?.as_array().cloned()).filter(|_| required)
    };
    let Some(first) = branches.first().and_then(|branch| branch.get("properties")).and_then(Value::as_object) else {
        return false;
    };
    first.keys().any(|name| {
        let mut seen: Vec<Value> = Vec::new();
        branches.iter().all(|branch| {
            values(branch, name).is_some_and(|values| {
                // 1 is 1.0
                let plain = |value: &Value| value.as_f64().map_or_else(|| value.clone(), Value::from);
                let values: Vec<Value> = values.iter().map(plain).collect();
                let is_new =
                    values.iter().all(|value| !seen.contains(value) && !value.is_array() && !value.is_object());
                seen.extend(values);
                is_new
            })
        })
    })
}

/// The schema that a reference means.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> Option<&'a Map<String, Value>> {
    // no reference leads back to itself without a step into the data
    while let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        schema = root.pointer(&target(reference)?)?;
    }
    schema.as_object()
}

fn relax(schema: &mut Value, pointer: &str, kept: &BTreeSet<String>) {
    let Some(keywords) = schema.as_object_mut().filter(|_| !kept.contains(pointer)) else { return };
    for keyword in ["additionalProperties", "unevaluatedProperties"] {
        if keywords.get(keyword) == Some(&Value::Bool(false)) {
            keywords.remove(keyword);
        }
    }
    let below: Vec<String> =
        below(keywords).into_iter().filter(|below| below.step != Step::Names).map(|below| below.pointer).collect();
    for step in below {
        if let Some(schema) = schema.pointer_mut(&step) {
            relax(schema, &format!("{pointer}{step}"), kept);
        }
    }
}
