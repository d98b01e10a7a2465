//! What the keywords of a schema say of the shape of a document.

use std::collections::BTreeSet;

use heck::ToUpperCamelCase;
use serde_json::{Map, Value};

/// A schema at some place that has to hold there: the schema itself, or one that it refers to or combines with `allOf`.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    pub(super) pointer: String,
    pub(super) keywords: &'a Map<String, Value>,
}

/// A schema that says nothing of the shape but where to look.
pub(super) fn reference(schema: &Value) -> Option<&Map<String, Value>> {
    let keywords = schema.as_object()?;
    let mut shaping = keywords.iter().filter(|(word, value)| shapes(word, value));
    match (shaping.next()?, shaping.next()) {
        ((word, _), None) if word == "$ref" => Some(keywords),
        ((word, _), None) if word == "allOf" => {
            let mut branches = branches(keywords, "allOf").into_iter().filter(|(_, branch)| is_shaping(branch));
            let (first, next) = (branches.next()?, branches.next());
            // what is required beside it makes it another type
            let required = branches_require(keywords);
            reference(first.1).filter(|_| next.is_none() && !required)
        }
        _ => None,
    }
}

fn branches_require(keywords: &Map<String, Value>) -> bool {
    keywords.contains_key("required")
        || branches(keywords, "allOf").iter().any(|(_, branch)| branch.get("required").is_some())
}

pub(super) fn branches<'a>(keywords: &'a Map<String, Value>, word: &str) -> Vec<(usize, &'a Value)> {
    keywords.get(word).and_then(Value::as_array).into_iter().flatten().enumerate().collect()
}

/// Whether a schema says of what shape a document is.
pub(super) fn is_shaping(schema: &Value) -> bool {
    schema.as_object().is_some_and(|keywords| keywords.iter().any(|(word, value)| shapes(word, value)))
}

fn shapes(word: &str, value: &Value) -> bool {
    match word {
        "type" | "properties" | "items" | "prefixItems" | "patternProperties" | "enum" | "const" | "$ref" => true,
        "additionalProperties" => is_shaping(value),
        "allOf" | "anyOf" | "oneOf" => value.as_array().is_some_and(|branches| branches.iter().any(is_shaping)),
        _ => false,
    }
}

/// Whether a combination says of what shape a document is, and not only which members it must have.
pub(super) fn is_choice(keywords: &Map<String, Value>, word: &str) -> bool {
    keywords.get(word).is_some_and(|value| shapes(word, value))
}

/// The values that a schema lists.
pub(super) fn values(keywords: &Map<String, Value>) -> Option<Vec<Value>> {
    let one = keywords.get("const").map(|value| vec![value.clone()]);
    one.or_else(|| keywords.get("enum")?.as_array().cloned())
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The JSON types that may be at a place, if its schemas say. Without a `type`, members make an object and items a list.
pub(super) fn kinds<'a>(parts: &[Part<'a>]) -> Option<BTreeSet<&'a str>> {
    let mut kinds: Option<BTreeSet<&str>> = None;
    for part in parts {
        let mut own: BTreeSet<&str> = match part.keywords.get("type") {
            Some(Value::String(kind)) => [kind.as_str()].into(),
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => match values(part.keywords) {
                Some(values) => values.iter().map(kind_of).collect(),
                None => continue,
            },
        };
        // an integer is a number
        if own.contains("number") {
            own.insert("integer");
        }
        kinds = Some(kinds.map_or_else(|| own.clone(), |kinds| kinds.intersection(&own).copied().collect()));
    }
    let has = |words: &[&str]| parts.iter().any(|part| words.iter().any(|word| part.keywords.contains_key(*word)));
    let inferred = || match (has(&["properties", "patternProperties"]), has(&["items", "prefixItems"])) {
        (true, _) => Some(BTreeSet::from(["object"])),
        (false, true) => Some(BTreeSet::from(["array"])),
        (false, false) => None,
    };
    let mut kinds = kinds.or_else(inferred)?;
    if kinds.contains("number") {
        kinds.remove("integer");
    }
    Some(kinds)
}

/// The member that every one of several objects must have, each with another text.
pub(super) fn tag<'a>(objects: impl Iterator<Item = &'a [Part<'a>]> + Clone) -> Option<String> {
    let first = objects.clone().next()?;
    let members = first.iter().filter_map(|part| part.keywords.get("properties")?.as_object()).flatten();
    let mut names = members.map(|(member, _)| member);
    names
        .find(|member| {
            let mut seen = BTreeSet::new();
            objects.clone().all(|parts| {
                let required = parts.iter().filter_map(|part| part.keywords.get("required")?.as_array()).flatten();
                let is_required = required.into_iter().any(|required| required.as_str() == Some(member));
                is_required && tag_value(parts, member).is_some_and(|value| seen.insert(value.to_owned()))
            })
        })
        .cloned()
}

/// The only text that a member may have.
pub(super) fn tag_value<'a>(parts: &[Part<'a>], member: &str) -> Option<&'a str> {
    let mut schemas = parts.iter().filter_map(|part| part.keywords.get("properties")?.get(member));
    schemas.find_map(|schema| {
        let one = schema.get("enum").and_then(Value::as_array).filter(|values| values.len() == 1);
        schema.get("const").or_else(|| one?.first())?.as_str()
    })
}

/// Members that are named below a condition only.
pub(super) fn elsewhere<'a>(parts: &[Part<'a>]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for part in parts {
        let several =
            ["oneOf", "anyOf"].into_iter().flat_map(|word| branches(part.keywords, word)).map(|(_, branch)| branch);
        let one = ["then", "else"].into_iter().filter_map(|word| part.keywords.get(word));
        let dependent = part.keywords.get("dependentSchemas").and_then(Value::as_object);
        for schema in several.chain(one).chain(dependent.into_iter().flat_map(Map::values)) {
            found.extend(
                schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str),
            );
        }
    }
    found
}

/// A title that is the name of a type already.
pub(super) fn title(schema: &Value) -> Option<&str> {
    schema.get("title").and_then(Value::as_str).filter(|title| is_type_name(title))
}

pub(super) fn is_type_name(title: &str) -> bool {
    title.starts_with(|first: char| first.is_ascii_uppercase()) && pascal(title) == title
}

/// A text as the name of a type.
pub(super) fn pascal(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = plain.to_upper_camel_case();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("Type{name}") }
}
