use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

#[path = "fixtures.rs"]
mod fixtures;

use fixtures::{odd_shapes, plain_1_list, type_self};

/// This project.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn options(folder: &Path, out: &Path, check: bool) -> Options {
    Options { folder: At { folder: Some(folder.to_owned()) }, out: out.to_owned(), check }
}

/// The types of a schema as text, and the places that have none.
fn typed(schema: &Value) -> (String, Vec<(String, String)>) {
    let made = types::of(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    (prettyplease::unparse(&syn::File { shebang: None, attrs: Vec::new(), items: made.items }), made.untyped)
}

/// Reads a document as a type, and checks what it becomes when it is written again.
fn reads<T: Serialize + DeserializeOwned>(document: &str, written: &Value) {
    let read: T = serde_json::from_str(document).unwrap_or_else(|error| panic!("{document}: {error}"));
    assert_eq!(&serde_json::to_value(read).unwrap(), written, "{document}");
}

#[test]
fn the_types_of_the_samples_and_of_the_fixtures_are_current() {
    let files = [
        (crate::schema::FOLDER, "events/types/src/lib.rs"),
        ("infra/cli/src/schema/codegen/fixtures", "infra/cli/src/schema/codegen/fixtures.rs"),
    ];
    for (folder, file) in files {
        let written = Written::of(&Folder::read(&root().join(folder)).unwrap()).unwrap();
        let there = std::fs::read_to_string(root().join(file)).unwrap().replace("\r\n", "\n");
        // not assert_eq: it would print both files
        assert!(there == written.text, "out of date: `cargo penstock schema codegen {folder} --out {file}`");
    }
}

#[test]
fn what_typify_fails_on_or_reads_wrongly_has_no_type_and_the_reason_is_told() {
    let x = |schema: Value| json!({ "type": "object", "properties": { "x": schema } });
    let alike =
        json!([{ "type": "object", "properties": { "a": true } }, { "type": "object", "properties": { "b": true } }]);
    // the member `x`, its type, and why it has no better one
    let cases = [
        (json!({ "enum": ["a-b", "a_b"] }), "Option<String>", "unique variant names for [a-b,a_b]"),
        (json!({ "enum": ["", 1] }), "Option<serde_json::Value>", "values of several JSON types"),
        (json!({ "enum": [[1], [2]] }), "Option<serde_json::Value>", "lists objects or arrays"),
        (json!({ "const": { "a": 1 } }), "Option<serde_json::Value>", "lists objects or arrays"),
        (
            json!({ "allOf": [{ "type": "string" }, { "type": "integer" }] }),
            "Option<serde_json::Value>",
            "nothing can be of all the types",
        ),
        (
            json!({ "type": "array", "prefixItems": [{ "type": "string" }] }),
            "Option<serde_json::Value>",
            "`prefixItems`",
        ),
        (json!({ "oneOf": alike }), "Option<serde_json::Value>", "alternatives (`oneOf`) differ neither"),
        (
            json!({ "anyOf": [{ "type": "integer" }, { "type": "number" }] }),
            "Option<serde_json::Value>",
            "alternatives (`anyOf`) differ neither",
        ),
        (
            json!({ "type": "object", "properties": { "a-b": true, "a_b": true } }),
            "Option<serde_json::Value>",
            "two members would be called `a_b`",
        ),
        (json!({ "$ref": "#/$defs/a%20b" }), "Option<serde_json::Value>", "could not be followed"),
        (
            json!({ "allOf": [{ "items": { "type": "string" } }, { "items": { "type": "integer" } }] }),
            "Option<serde_json::Value>",
            "several schemas say what its items are",
        ),
    ];
    for (schema, kind, why) in cases {
        let (text, untyped) = typed(&x(schema.clone()));
        assert!(text.contains(&format!("pub x: {kind},")), "{schema}: {text}");
        let [(pointer, told)] = untyped.as_slice() else { panic!("{schema}: {untyped:?}") };
        assert!(pointer.starts_with("/properties/x") && told.contains(why), "{schema}: {untyped:?}");
        assert!(text.contains("/// Not typed: "), "{schema}: {text}");
    }
}

#[test]
fn what_only_narrows_a_document_changes_no_type() {
    let plain = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" }, "b": { "type": "integer" } } });
    let expected = typed(&plain);
    assert_eq!(expected.1, []);
    let narrowing = [
        json!({ "additionalProperties": false }),
        json!({ "unevaluatedProperties": false }),
        json!({ "if": { "required": ["b"] }, "then": { "properties": { "a": { "const": "x" } } }, "else": false }),
        json!({ "not": { "required": ["c"] } }),
        json!({ "propertyNames": { "pattern": "^[a-z]$" } }),
        json!({ "minProperties": 1, "maxProperties": 2, "dependentRequired": { "b": ["a"] } }),
        json!({ "allOf": [{ "if": { "required": ["b"] }, "then": { "required": ["a"] } }] }),
        json!({ "oneOf": [{ "required": ["b"] }, { "properties": { "b": false } }] }),
        json!({ "properties": { "a": { "type": "string", "format": "uuid", "pattern": "^a", "minLength": 3 }, "b": { "type": "integer", "minimum": 1 } } }),
        json!({ "default": { "a": "" }, "examples": [1] }),
    ];
    for keywords in narrowing {
        let mut schema = plain.clone();
        schema.as_object_mut().unwrap().extend(keywords.as_object().unwrap().clone());
        assert_eq!(typed(&schema), expected, "{keywords}");
    }
}

#[test]
fn members_that_only_some_documents_have_are_not_in_the_type_and_it_says_so() {
    let schema = json!({
        "type": "object",
        "properties": { "a": { "type": "string" } },
        "patternProperties": { "^x-": true },
        "if": { "required": ["a"] },
        "then": { "properties": { "b": { "type": "integer" } } },
    });
    let (text, untyped) = typed(&schema);
    assert!(
        text.contains("/// Not in this type: `b`, what `patternProperties` names, which only some documents have."),
        "{text}"
    );
    assert_eq!(untyped.len(), 1);
}

#[test]
fn each_shape_is_read_and_written_again() {
    type Odd = odd_shapes::v1::Data;
    let card = json!({ "id": "a", "payment": { "kind": "card", "cents": 2 }, "parent": null });
    reads::<Odd>(r#"{"id":"a","payment":{"kind":"card","cents":2.0},"parent":null,"unknown":1}"#, &card);
    let cash = json!({
        "id": "a", "type": "odd", "payment": { "kind": "cash", "currency": "EUR" },
        "parent": { "name": "b", "next": { "name": "c", "leaves": [{ "name": "d" }] } },
        "either": 3, "counts": { "x": 4 }, "grid": [[5], [], [6, 7]], "state": "closed", "ratio": 8.0, "at": "now",
        "vector": [1.0, "x"], "colliding": "a-b", "both": { "name": "e", "size": 9 }, "anything": { "z": [] },
        "perhaps": { "again": {} },
    });
    let text = cash
        .to_string()
        .replace("\"either\":3", "\"either\":3e0")
        .replace("[6,7]", "[6.0,7]")
        .replace("\"ratio\":8.0", "\"ratio\":8");
    reads::<Odd>(&text.replace("\"x\":4", "\"x\":4.0"), &cash);
    // only in the first document may a parent be null; in none may it be missing
    for (bad, why) in [
        (r#"{"id":"a","payment":{"kind":"cash"}}"#, "missing field `parent`"),
        (r#"{"id":"a","payment":{"kind":"coin"},"parent":null}"#, "unknown variant `coin`"),
        (
            r#"{"id":"a","payment":{"kind":"card","cents":2.5},"parent":null}"#,
            "floating point `2.5`, expected an integer",
        ),
        (r#"{"id":"a","payment":{"kind":"cash"},"parent":null,"state":"ajar"}"#, "unknown variant `ajar`"),
        (
            r#"{"id":"a","payment":{"kind":"cash"},"parent":null,"counts":{"x":9223372036854775808}}"#,
            "expected an integer from -2^63",
        ),
        (
            r#"{"id":"a","payment":{"kind":"cash"},"parent":null,"counts":{"x":9223372036854775808.0}}"#,
            "expected an integer from -2^63",
        ),
    ] {
        let error = serde_json::from_str::<Odd>(bad).unwrap_err().to_string();
        assert!(error.contains(why), "{bad}: {error}");
    }

    reads::<plain_1_list::v1::Data>("null", &Value::Null);
    reads::<plain_1_list::v1::Data>(r#"[{"data":1.0,"more":2.0},{}]"#, &json!([{ "data": 1, "more": 2 }, {}]));
    reads::<type_self::latest::Data>(r#"{"children":[{"children":[]},{}]}"#, &json!({ "children": [{}, {}] }));
    assert_eq!((type_self::TYPE, type_self::v1::SCHEMA), ("self", "urn:penstock:schema:self:1"));
}

#[test]
fn the_file_is_written_once_and_checked() {
    let place = tempfile::tempdir().unwrap();
    let (folder, out) = (place.path().join("schemas"), place.path().join("types.rs"));
    let version = |number: u32, text: &str| {
        std::fs::create_dir_all(folder.join("shop.order")).unwrap();
        std::fs::write(folder.join(format!("shop.order/{number}.json")), text).unwrap();
    };
    version(1, r#"{"type":"object","properties":{"total":{"type":"integer"}}}"#);
    let (check, write) = (options(&folder, &out, true), options(&folder, &out, false));
    assert_eq!(run(&check).unwrap(), REFUSED);
    assert!(!out.exists());
    assert_eq!(run(&write).unwrap(), FINE);
    assert_eq!(run(&check).unwrap(), FINE);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("// Written by `penstock schema codegen`."), "{text}");
    std::fs::write(&out, text.replace('\n', "\r\n")).unwrap();
    assert_eq!(run(&check).unwrap(), FINE);
    version(2, r#"{"type":"object","properties":{"total":{"type":"integer"},"note":{"type":"string"}}}"#);
    assert_eq!(run(&check).unwrap(), REFUSED);
    assert_eq!(run(&write).unwrap(), FINE);
    assert!(std::fs::read_to_string(&out).unwrap().contains("pub use v2 as latest;"));
    version(3, "{");
    let error = run(&write).unwrap_err().to_string();
    assert!(error.contains("shop.order/3.json: not JSON") && error.contains("`penstock schema lint`"), "{error}");
}

#[test]
fn names_of_types_become_names_of_modules() {
    let name = |kind: &str| module_name(&kind.parse().unwrap());
    let names = ["shop.order.placed", "a-b", "1.x", "self", "type", "_", "whole_numbers"].map(name);
    assert_eq!(
        names,
        ["shop_order_placed", "a_b", "type_1_x", "type_self", "type_type", "type__", "type_whole_numbers"]
    );

    let place = tempfile::tempdir().unwrap();
    for kind in ["a.b", "a_b"] {
        std::fs::create_dir_all(place.path().join(kind)).unwrap();
        std::fs::write(place.path().join(kind).join("1.json"), r#"{"type":"object"}"#).unwrap();
    }
    let error = Written::of(&Folder::read(place.path()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`a.b` and `a_b` would both be the module `a_b`"), "{error}");
}
