//! What the engine says of pairs of schemas, against documents.
//!
//! Schemas are made and changed at random; a change that is said to break nobody must have no counterexample among all the
//! documents that are tried, and the document that is shown for one that breaks must break it.

use fastrand::Rng;
use jsonschema::Validator;
use penstock_schema::policy::Readers;
use penstock_schema::{Effect, Effects, Schema, SchemaId};
use serde_json::{Value, json};

/// Pairs of schemas. `PENSTOCK_SCHEMA_PAIRS` asks for more.
const PAIRS: u64 = 80;
/// Documents that each is tried with.
const DOCUMENTS: usize = 2000;

const NAMES: [&str; 4] = ["a", "b", "x_1", "zz"];

fn pairs() -> u64 {
    std::option_env!("PENSTOCK_SCHEMA_PAIRS").and_then(|text| text.parse().ok()).unwrap_or(PAIRS)
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

/// A schema of a few keywords.
fn make(rng: &mut Rng, depth: u32) -> Value {
    let deep = if depth == 0 { 8 } else { 15 };
    let n = |rng: &mut Rng| rng.i64(-2..5);
    match rng.u32(..deep) {
        0 => json!(true),
        1 => json!({"type": pick(rng, &["string", "integer", "number", "boolean", "null", "object", "array"])}),
        2 => json!({"type": ["string", pick(rng, &["null", "integer", "array"])]}),
        3 => {
            json!({"enum": [pick(rng, &[json!(1), json!(1.0), json!("a")]), pick(rng, &[json!(null), json!("bb"), json!([])])]})
        }
        4 => json!({"type": "string", "minLength": rng.u32(..3), "maxLength": rng.u32(1..4)}),
        5 => json!({"type": pick(rng, &["integer", "number"]), "minimum": n(rng), "exclusiveMaximum": n(rng)}),
        6 => json!({"type": "number", "multipleOf": pick(rng, &[json!(0.5), json!(1), json!(2), json!(3)])}),
        7 => json!({"type": "string", "pattern": pick(rng, &["^a", "^[ab]*$", "b"])}),
        8 | 9 => object(rng, depth),
        10 => {
            json!({"type": "array", "items": make(rng, depth - 1), "minItems": rng.u32(..3), "maxItems": rng.u32(1..4)})
        }
        11 => json!({"anyOf": [make(rng, depth - 1), make(rng, depth - 1)]}),
        12 => json!({"oneOf": [make(rng, depth - 1), make(rng, depth - 1)]}),
        13 => json!({"allOf": [make(rng, depth - 1), make(rng, depth - 1)]}),
        _ => match rng.u32(..4) {
            0 => json!({"not": make(rng, depth - 1)}),
            1 => json!({"if": make(rng, depth - 1), "then": make(rng, depth - 1)}),
            2 => json!({"type": "array", "prefixItems": [make(rng, depth - 1)], "items": make(rng, 0)}),
            _ => json!({"contains": make(rng, depth - 1), "minContains": rng.u32(..2), "uniqueItems": rng.bool()}),
        },
    }
}

fn object(rng: &mut Rng, depth: u32) -> Value {
    let mut object = json!({"type": "object", "properties": {}});
    for name in NAMES.iter().take(rng.usize(..4)) {
        object["properties"][*name] = make(rng, depth - 1);
    }
    if rng.bool() {
        object["required"] = json!([pick(rng, &NAMES)]);
    }
    match rng.u32(..6) {
        0 | 1 => object["additionalProperties"] = json!(false),
        2 => object["additionalProperties"] = make(rng, depth - 1),
        3 => object["patternProperties"] = json!({"^x_": make(rng, depth - 1)}),
        4 => object["maxProperties"] = json!(rng.u32(..3)),
        _ => {}
    }
    object
}

/// The schema with one thing changed.
fn change(rng: &mut Rng, schema: &Value, depth: u32) -> Value {
    let Some(keywords) = schema.as_object().filter(|keywords| !keywords.is_empty() && rng.u32(..4) > 0) else {
        return make(rng, depth);
    };
    let mut changed = keywords.clone();
    let names: Vec<&String> = keywords.keys().collect();
    let name = (*pick(rng, &names)).clone();
    let value = match (&keywords[&name], name.as_str()) {
        (_, "required" | "additionalProperties" | "maxItems" | "pattern" | "minimum") if rng.bool() => None,
        (Value::Number(number), _) => Some(json!((number.as_f64().unwrap_or(0.0) + 1.0).floor().max(1.0))),
        (Value::Array(parts), "anyOf" | "oneOf" | "allOf" | "prefixItems") => {
            let mut parts = parts.clone();
            let at = rng.usize(..parts.len());
            parts[at] = change(rng, &parts[at], depth.saturating_sub(1));
            Some(Value::Array(parts))
        }
        (Value::Object(members), "properties" | "patternProperties") => {
            let mut members = members.clone();
            let key = pick(rng, &NAMES).to_string();
            let key = if name == "patternProperties" { "^x_".to_owned() } else { key };
            let before = members.get(&key).cloned().unwrap_or(json!(true));
            members.insert(key, change(rng, &before, depth.saturating_sub(1)));
            Some(Value::Object(members))
        }
        (below @ (Value::Object(_) | Value::Bool(_)), "items" | "not" | "if" | "then" | "contains") => {
            Some(change(rng, below, depth.saturating_sub(1)))
        }
        _ => None,
    };
    match value {
        Some(value) => _ = changed.insert(name, value),
        None => _ = changed.remove(&name),
    }
    Value::Object(changed)
}

fn document(rng: &mut Rng, depth: u32) -> Value {
    match rng.u32(..if depth == 0 { 6 } else { 9 }) {
        0 => json!(rng.i64(-3..7)),
        1 => json!(rng.i64(-6..12) as f64 / 2.0),
        2 => json!(*pick(rng, &["", "a", "ab", "bb", "abc", "b1"])),
        3 => json!(rng.bool()),
        4 => json!(null),
        5 => json!(1.0),
        6 => Value::Array((0..rng.usize(..4)).map(|_| document(rng, depth - 1)).collect()),
        _ => {
            let names = NAMES.iter().filter(|_| rng.bool()).collect::<Vec<_>>();
            Value::Object(names.into_iter().map(|name| ((*name).to_owned(), document(rng, depth - 1))).collect())
        }
    }
}

fn schema(version: u32, value: &Value) -> Option<Schema> {
    let id = SchemaId { kind: "a.b".parse().ok()?, version };
    Schema::parse(id, &json!({"allOf": [value]}).to_string()).ok()
}

fn validator(schema: &Schema) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema.value()).expect("it was linted")
}

/// A tree whose leaves are of a schema, closed.
fn tree(value: &Value) -> Value {
    let node = json!({"type": "object", "additionalProperties": false, "required": ["v"], "properties": {
        "v": value, "left": {"$ref": "#/$defs/node"}, "more": {"type": "array", "items": {"$ref": "#/$defs/node"}}}});
    json!({"$ref": "#/$defs/node", "$defs": {"node": node}})
}

fn planted(rng: &mut Rng, depth: u32) -> Value {
    let mut node = json!({"v": document(rng, 2)});
    if depth > 0 && rng.bool() {
        node["left"] = planted(rng, depth - 1);
    }
    if depth > 0 && rng.bool() {
        node["more"] = (0..rng.usize(..3)).map(|_| planted(rng, depth - 1)).collect();
    }
    node
}

fn parse(version: u32, value: &Value) -> Option<Schema> {
    Schema::parse(SchemaId { kind: "a.b".parse().ok()?, version }, &value.to_string()).ok()
}

#[test]
fn what_is_said_of_schemas_that_refer_to_themselves_is_true_of_random_trees() {
    let (mut keeps, mut breaks, mut unknown) = (0, 0, 0);
    for seed in 0..pairs() / 2 {
        let mut rng = Rng::with_seed(seed);
        let before = make(&mut rng, 1);
        let after = if seed % 5 == 0 { before.clone() } else { change(&mut rng, &before, 1) };
        if format!("{before}{after}").contains("\"additionalProperties\":false") {
            // only the node is opened for readers below
            continue;
        }
        let mut newer = tree(&after);
        if rng.bool() {
            // an optional member, which readers who do not know it pass over
            newer["$defs"]["node"]["properties"]["extra"] = make(&mut rng, 0);
        }
        let (Some(old), Some(new)) = (parse(1, &tree(&before)), parse(2, &newer)) else { continue };
        let whole = Effects::between(&old, &new, Readers::Tolerant);
        let open = |mut schema: Value| {
            schema["$defs"]["node"].as_object_mut().expect("it is one").remove("additionalProperties");
            jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("it was linted")
        };
        let (written, read) = ((validator(&old), validator(&new)), (open(tree(&before)), open(newer.clone())));
        let documents: Vec<Value> = (0..DOCUMENTS / 2).map(|_| planted(&mut rng, 2)).collect();
        for (written, read, effect) in [(&written.0, &read.1, &whole.backward), (&written.1, &read.0, &whole.forward)] {
            match effect {
                Effect::Keeps => {
                    keeps += 1;
                    let found =
                        documents.iter().find(|document| written.is_valid(document) && !read.is_valid(document));
                    assert_eq!(found, None, "seed {seed}: {before} and {newer}");
                }
                Effect::Breaks(_) => breaks += 1,
                Effect::CannotTell => unknown += 1,
            }
        }
    }
    assert!(keeps > 10 && breaks > 10 && unknown * 4 < keeps + breaks, "{keeps} {breaks} {unknown}");
}

/// With strict readers both sides are the schemas as they stand, so that the truth needs no view of ours.
#[test]
fn what_is_said_of_random_pairs_is_true_of_random_documents() {
    let (mut keeps, mut breaks, mut unknown) = (0, 0, 0);
    for seed in 0..pairs() {
        let mut rng = Rng::with_seed(seed);
        let before = make(&mut rng, 3);
        let after = change(&mut rng, &before, 2);
        let (Some(old), Some(new)) = (schema(1, &before), schema(2, &after)) else { continue };
        let whole = Effects::between(&old, &new, Readers::Strict);
        let (old, new) = (validator(&old), validator(&new));
        let documents: Vec<Value> = (0..DOCUMENTS).map(|_| document(&mut rng, 3)).collect();
        for (written, read, effect) in [(&old, &new, &whole.backward), (&new, &old, &whole.forward)] {
            match effect {
                Effect::Keeps => {
                    keeps += 1;
                    let found =
                        documents.iter().find(|document| written.is_valid(document) && !read.is_valid(document));
                    assert_eq!(found, None, "seed {seed}: {before} and {after}");
                }
                Effect::Breaks(shown) => {
                    breaks += 1;
                    assert!(written.is_valid(shown) && !read.is_valid(shown), "seed {seed}: {shown}");
                }
                Effect::CannotTell => unknown += 1,
            }
        }
    }
    assert!(keeps > 30 && breaks > 50 && unknown * 5 < keeps + breaks, "{keeps} {breaks} {unknown}");
}
