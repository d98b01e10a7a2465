//! Making a document small that breaks something.

use serde_json::Value;

/// The smallest document found that still breaks, by leaving out one thing after another.
pub(super) fn smaller(mut document: Value, breaks: &impl Fn(&Value) -> bool) -> Value {
    while let Some(next) = shrinks(&document).into_iter().find(|next| breaks(next)) {
        document = next;
    }
    document
}

/// The document with one thing less.
fn shrinks(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => {
            let without = (0..items.len()).rev().map(|index| {
                let mut items = items.clone();
                items.remove(index);
                Value::Array(items)
            });
            let within = items.iter().enumerate().flat_map(|(index, item)| {
                shrinks(item).into_iter().map(move |smaller| {
                    let mut items = items.clone();
                    items[index] = smaller;
                    Value::Array(items)
                })
            });
            without.chain(within).collect()
        }
        Value::Object(members) => {
            let without = members.keys().map(|name| {
                let mut members = members.clone();
                members.remove(name);
                Value::Object(members)
            });
            let within = members.iter().flat_map(|(name, member)| {
                shrinks(member).into_iter().map(move |smaller| {
                    let mut members = members.clone();
                    members.insert(name.clone(), smaller);
                    Value::Object(members)
                })
            });
            without.chain(within).collect()
        }
        _ => Vec::new(),
    }
}
