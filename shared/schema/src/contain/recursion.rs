//! A proof by walking both schemas side by side. It is for schemas that refer to themselves, which the engine leaves open:
//! a pair that is met again on the way down is taken for proved, because documents end.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::covers_at;
use crate::walk::{self, ANNOTATIONS, target};

/// Keywords that the walk judges itself.
const WALKED: &[&str] = &[
    "$ref",
    "$defs",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "anyOf",
];

const TRUE: Value = Value::Bool(true);

/// Pairs that are being proved, by the places of their schemas.
type Assumed = BTreeSet<(String, String)>;

#[derive(Clone, Copy)]
struct Walk<'a> {
    sub: &'a Value,
    sup: &'a Value,
}

/// A schema and where it stands.
#[derive(Clone)]
struct At<'a> {
    schema: &'a Value,
    pointer: String,
}

/// Whether every document of `sub` is one of `sup`, as far as this can prove it.
pub(super) fn proves(sub: &Value, sup: &Value) -> bool {
    if !is_recursive(sub) && !is_recursive(sup) {
        // the engine has said all that there is to say
        return false;
    }
    let root = |schema| At { schema, pointer: String::new() };
    Walk { sub, sup }.proves(root(sub), root(sup), &mut Assumed::new())
}

fn is_recursive(root: &Value) -> bool {
    walk::all(root).iter().any(|(pointer, schema)| refers_to_itself(root, pointer, schema))
}

/// Whether what stands here can meet itself again.
fn refers_to_itself(root: &Value, pointer: &str, schema: &Value) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![(pointer.to_owned(), schema)];
    while let Some((at, schema)) = open.pop() {
        let Some(keywords) = schema.as_object() else { continue };
        let below = walk::below(keywords).into_iter().filter(|below| below.step != walk::Step::Definition);
        let mut next: Vec<(String, &Value)> =
            below.map(|below| (format!("{at}{}", below.pointer), below.schema)).collect();
        let reference = keywords.get("$ref").and_then(Value::as_str).and_then(target);
        next.extend(reference.and_then(|target| root.pointer(&target).map(|schema| (target, schema))));
        for (at, schema) in next {
            if at == pointer {
                return true;
            }
            if seen.insert(at.clone()) {
                open.push((at, schema));
            }
        }
    }
    false
}

/// Whether a recursion can be met from here.
fn meets_recursion(root: &Value, at: &At<'_>) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![(at.pointer.clone(), at.schema)];
    while let Some((pointer, schema)) = open.pop() {
        if !seen.insert(pointer.clone()) {
            continue;
        }
        if refers_to_itself(root, &pointer, schema) {
            return true;
        }
        let Some(keywords) = schema.as_object() else { continue };
        let below = walk::below(keywords).into_iter().filter(|below| below.step != walk::Step::Definition);
        open.extend(below.map(|below| (format!("{pointer}{}", below.pointer), below.schema)));
        let reference = keywords.get("$ref").and_then(Value::as_str).and_then(target);
        open.extend(reference.and_then(|target| root.pointer(&target).map(|schema| (target, schema))));
    }
    false
}

impl<'a> Walk<'a> {
    fn proves(self, sub: At<'a>, sup: At<'a>, assumed: &mut Assumed) -> bool {
        let (Some(sub), Some(sup)) = (resolve(self.sub, sub), resolve(self.sup, sup)) else { return false };
        if *sup.schema == TRUE || *sub.schema == Value::Bool(false) {
            return true;
        }
        if !assumed.insert((sub.pointer.clone(), sup.pointer.clone())) {
            return true;
        }
        if !meets_recursion(self.sub, &sub) && !meets_recursion(self.sup, &sup) {
            return covers_at((self.sub, sub.schema), (self.sup, sup.schema));
        }
        let (Some(small), Some(large)) = (keywords(&sub), keywords(&sup)) else { return false };
        // every branch of the one, in some branch of the other
        if let Some(branches) = small.get("anyOf").and_then(Value::as_array) {
            return branches.iter().enumerate().all(|(index, schema)| {
                let pointer = format!("{}/anyOf/{index}", sub.pointer);
                self.proves(At { schema, pointer }, sup.clone(), assumed)
            });
        }
        if let Some(branches) = large.get("anyOf").and_then(Value::as_array) {
            let proved = branches.iter().enumerate().any(|(index, schema)| {
                let mut tried = assumed.clone();
                let pointer = format!("{}/anyOf/{index}", sup.pointer);
                let proved = self.proves(sub.clone(), At { schema, pointer }, &mut tried);
                if proved {
                    *assumed = tried;
                }
                proved
            });
            if !proved {
                return false;
            }
        }
        self.keeps_keywords(small, large) && self.keeps_types(small, large) && self.proves_below(&sub, &sup, assumed)
    }

    /// What the walk does not judge has to stand in both, word for word, and to refer to nothing.
    fn keeps_keywords(self, sub: &Map<String, Value>, sup: &Map<String, Value>) -> bool {
        let judged = |keyword: &str| WALKED.contains(&keyword) || ANNOTATIONS.contains(&keyword);
        sup.iter().filter(|(keyword, _)| !judged(keyword) && !keyword.starts_with("x-")).all(|(keyword, value)| {
            let simple = !value.is_object() && !value.is_array() || keyword == "enum";
            simple
                && sub.get(keyword) == Some(value)
                && keyword != "unevaluatedProperties"
                && keyword != "unevaluatedItems"
        }) && !sub.contains_key("patternProperties")
            && !sub.contains_key("prefixItems")
    }

    fn keeps_types(self, sub: &Map<String, Value>, sup: &Map<String, Value>) -> bool {
        let types = |schema: &Map<String, Value>| -> Option<Vec<String>> {
            match schema.get("type")? {
                Value::String(one) => Some(vec![one.clone()]),
                Value::Array(all) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
                _ => None,
            }
        };
        let Some(large) = types(sup) else { return !sup.contains_key("type") };
        types(sub).is_some_and(|small| {
            small
                .iter()
                .all(|one| large.contains(one) || one == "integer" && large.iter().any(|other| other == "number"))
        })
    }

    fn proves_below(self, sub: &At<'a>, sup: &At<'a>, assumed: &mut Assumed) -> bool {
        let (Some(small), Some(large)) = (keywords(sub), keywords(sup)) else { return false };
        let names = |schema: &'a Map<String, Value>, keyword: &str| -> Vec<&'a str> {
            schema.get(keyword).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let required = names(small, "required");
        let number = |schema: &Map<String, Value>, keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        let within =
            |keyword: &str, is_within: fn(f64, f64) -> bool| match (number(small, keyword), number(large, keyword)) {
                (_, None) => true,
                (Some(small), Some(large)) => is_within(small, large),
                (None, Some(_)) => false,
            };
        if !names(large, "required").iter().all(|name| required.contains(name))
            || !within("minItems", |small, large| small >= large)
            || !within("maxItems", |small, large| small <= large)
        {
            return false;
        }
        let declared: BTreeSet<&String> = [small, large]
            .into_iter()
            .filter_map(|schema| schema.get("properties")?.as_object())
            .flat_map(Map::keys)
            .collect();
        declared.into_iter().all(|name| self.proves(member(sub, name), member(sup, name), assumed))
            && self.proves(part(sub, "additionalProperties"), part(sup, "additionalProperties"), assumed)
            && self.proves(part(sub, "items"), part(sup, "items"), assumed)
    }
}

fn keywords<'a>(at: &At<'a>) -> Option<&'a Map<String, Value>> {
    at.schema.as_object()
}

/// The schema that is meant; `None` if a reference has keywords beside it that say something.
fn resolve<'a>(root: &'a Value, mut at: At<'a>) -> Option<At<'a>> {
    while let Some(reference) = at.schema.get("$ref").and_then(Value::as_str) {
        let others = at.schema.as_object()?.keys().filter(|keyword| *keyword != "$ref" && *keyword != "$defs");
        if others.into_iter().any(|keyword| !ANNOTATIONS.contains(&keyword.as_str())) {
            return None;
        }
        let pointer = target(reference)?;
        at = At { schema: root.pointer(&pointer)?, pointer };
    }
    Some(at)
}

fn member<'a>(at: &At<'a>, name: &str) -> At<'a> {
    match at.schema.get("properties").and_then(|members| members.get(name)) {
        Some(schema) => At { schema, pointer: format!("{}/properties/{}", at.pointer, walk::escape(name)) },
        None => part(at, "additionalProperties"),
    }
}

fn part<'a>(at: &At<'a>, keyword: &str) -> At<'a> {
    At { schema: at.schema.get(keyword).unwrap_or(&TRUE), pointer: format!("{}/{keyword}", at.pointer) }
}
