use super::*;
use crate::schema::Schema;

fn parse(text: &str) -> Result<Schema, Vec<Problem>> {
    Schema::parse("urn:penstock:schema:a.b:1".parse().unwrap(), text)
}

/// What is told of a schema: pointers and texts.
fn told(text: &str) -> String {
    match parse(text) {
        Ok(schema) => format!("taken; {:?}", schema.warnings()),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    let deep = format!("{}true{}", r#"{"not":"#.repeat(40), "}".repeat(40));
    let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(2 << 20));
    let many = format!(r#"{{"anyOf":[{}]}}"#, vec!["true"; NODES_MAX].join(","));
    let cases = [
        ("not json", "not JSON"),
        ("[1]", "is a JSON object"),
        (r#"{"type":"object","type":"string"}"#, "the member `type` is there twice"),
        ("\u{feff}{}", "byte order mark"),
        ("true", "is a JSON object"),
        (&large, "65536 at most"),
        (&deep, "nested deeper"),
        (&many, "schemas in one"),
        (r#"{"properties":{"a":{"type":"strin"}}}"#, "/properties/a/type: \"strin\" is no type; there are null,"),
        (r#"{"type":["string","string"]}"#, "/type: [\"string\",\"string\"] is no type"),
        (r#"{"properties":{"a":{"typ":"string"}}}"#, "/properties/a/typ: `typ` is no keyword"),
        (r#"{"properties":{"a":5}}"#, "/properties/a: a schema is"),
        (r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#, "/$schema: only"),
        (r#"{"$id":"urn:penstock:schema:a.b:2"}"#, "write `urn:penstock:schema:a.b:1`"),
        (r#"{"$ref":"https://example.com/a.json"}"#, "nothing is fetched"),
        (r#"{"$ref":"file:///etc/passwd"}"#, "nothing is fetched"),
        (r##"{"$ref":"#/$defs/a"}"##, "there is no schema at"),
        (r##"{"$ref":"#anchor"}"##, "is not in this schema"),
        (r##"{"$dynamicRef":"#a"}"##, "is not taken"),
        (r##"{"$ref":"#"}"##, "never ends"),
        (r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#"}}}}"##, "never ends"),
        (r#"{"pattern":"(?=a)"}"#, "/pattern: a group that looks around"),
        (r#"{"pattern":"("}"#, "/pattern"),
        (r#"{"pattern":"^(\\p{L}{1,100}){1,100}$"}"#, "/pattern"),
        (r#"{"format":"date_time"}"#, "`date_time` is no format; there are date-time,"),
        (r#"{"minLength":-1}"#, "/minLength"),
    ];
    for (text, part) in cases {
        let told = told(text);
        assert!(told.contains(part) && !told.starts_with("taken"), "{part} in {told}");
    }
}

#[test]
fn what_doubles_with_each_step_is_refused() {
    let levels: Vec<String> = (0..20)
        .map(|n| format!(r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{m}"}},{{"$ref":"#/$defs/d{m}"}}]}}"##, m = n + 1))
        .collect();
    let text = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d20":{{"type":"string"}}}}}}"##, levels.join(","));
    assert!(told(&text).contains("combines more than 1000 schemas"), "{}", told(&text));
}

#[test]
fn every_format_that_is_named_is_taken() {
    for format in FORMATS {
        assert_eq!(told(&format!(r#"{{"format":"{format}"}}"#)), "taken; []");
    }
}

#[test]
fn what_may_be_meant_otherwise_is_a_warning() {
    assert!(told(r#"{"pattern":"a"}"#).contains("matches anywhere"));
    assert_eq!(told(r#"{"pattern":"^a$","x-owner":"shop"}"#), "taken; []");
}

#[test]
fn a_recursion_that_forks_is_told_from_one_that_does_not() {
    let forks = |text: &str| {
        let schema = parse(text).unwrap();
        is_forking(&walk::all(schema.value()))
    };
    let linear = [
        r##"{"properties":{"next":{"$ref":"#"}}}"##,
        r##"{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}"##,
        r##"{"anyOf":[{"type":"string"},{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}]}"##,
        r##"{"allOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"a":{"minLength":1}}}]}"##,
    ];
    for text in linear {
        assert!(!forks(text), "{text}");
    }
    let forking = [
        r##"{"anyOf":[{"properties":{"args":{"items":{"$ref":"#"}}}},{"properties":{"args":{"items":{"$ref":"#"}}}}]}"##,
        r##"{"properties":{"a":{"$ref":"#"}},"additionalProperties":{"$ref":"#"}}"##,
        r##"{"allOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}]}"##,
    ];
    for text in forking {
        assert!(forks(text), "{text}");
    }
}
