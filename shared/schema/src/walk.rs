//! Where schemas stand in a schema.

use serde_json::{Map, Value};

/// How a subschema meets the document: at the same place, or at a member or item of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step<'a> {
    /// At the same place.
    InPlace,
    /// At the member of this name.
    Member(&'a str),
    /// At any member.
    Members,
    /// At items.
    Items,
    /// At the names of members.
    Names,
    /// Nowhere: it is there to be referred to.
    Definition,
}

/// A subschema directly below a schema.
#[derive(Debug, Clone)]
pub(crate) struct Below<'a> {
    /// Where it stands, as a JSON pointer from its parent.
    pub(crate) pointer: String,
    pub(crate) step: Step<'a>,
    pub(crate) schema: &'a Value,
}

/// The keywords of 2020-12 that are understood and say something about documents.
pub(crate) const KEYWORDS: &[&str] = &[
    "$ref",
    "$defs",
    "type",
    "enum",
    "const",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "minItems",
    "maxItems",
    "unevaluatedItems",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "required",
    "dependentRequired",
    "dependentSchemas",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
];

/// Keywords that say nothing about which documents are valid.
pub(crate) const ANNOTATIONS: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];

/// The subschemas directly below `schema`. Of `contentSchema`, which is not applied, none.
pub(crate) fn below(schema: &Map<String, Value>) -> Vec<Below<'_>> {
    let mut found = Vec::new();
    for (keyword, value) in schema {
        let one = |step| Below { pointer: format!("/{keyword}"), step, schema: value };
        match keyword.as_str() {
            "not" | "if" | "then" | "else" => found.push(one(Step::InPlace)),
            "items" | "contains" | "unevaluatedItems" => found.push(one(Step::Items)),
            "additionalProperties" | "unevaluatedProperties" => found.push(one(Step::Members)),
            "propertyNames" => found.push(one(Step::Names)),
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                let step = if keyword == "prefixItems" { Step::Items } else { Step::InPlace };
                for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
                    found.push(Below { pointer: format!("/{keyword}/{index}"), step, schema });
                }
            }
            "properties" | "patternProperties" | "dependentSchemas" | "$defs" => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    let step = match keyword.as_str() {
                        "properties" => Step::Member(name),
                        "patternProperties" => Step::Members,
                        "$defs" => Step::Definition,
                        _ => Step::InPlace,
                    };
                    found.push(Below { pointer: format!("/{keyword}/{}", escape(name)), step, schema });
                }
            }
            _ => {}
        }
    }
    found
}

/// Every schema of a document with its pointer, the root first.
pub(crate) fn all(root: &Value) -> Vec<(String, &Value)> {
    let mut found = vec![(String::new(), root)];
    let mut next = 0;
    while let Some((pointer, schema)) = found.get(next).cloned() {
        for below in schema.as_object().map(below).unwrap_or_default() {
            found.push((format!("{pointer}{}", below.pointer), below.schema));
        }
        next += 1;
    }
    found
}

/// A name as a part of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pointer that a local reference means, if it is one: `#` or `#/...`.
pub(crate) fn target(reference: &str) -> Option<String> {
    let pointer = reference.strip_prefix('#')?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    // a fragment is percent-encoded: https://www.rfc-editor.org/rfc/rfc6901#section-6
    let mut bytes = Vec::new();
    let mut rest = pointer.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
