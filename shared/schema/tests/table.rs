//! The table of changes in docs/schemas.md is what the engine says.

use penstock_schema::policy::Readers;
use penstock_schema::{Effect, Effects, Schema, SchemaId};

const PAGE: &str = include_str!("../../../docs/schemas.md");

#[track_caller]
fn schema(version: u32, text: &str) -> Schema {
    let id = SchemaId { kind: "a.b".parse().expect("a name"), version };
    Schema::parse(id, text).unwrap_or_else(|problems| panic!("{problems:?} in {text}"))
}

fn said(effect: &Effect) -> &'static str {
    match effect {
        Effect::Keeps => "yes",
        Effect::Breaks(_) => "no",
        Effect::CannotTell => "cannot tell",
    }
}

#[test]
fn every_row_is_as_the_engine_has_it() {
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .skip_while(|line| !line.starts_with("| change | before |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 60, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let [what, before, after, backward, forward] = row[..] else { panic!("{row:?}") };
        let (old, new) = (schema(1, before.trim_matches('`')), schema(2, after.trim_matches('`')));
        let effects = Effects::between(&old, &new, Readers::Tolerant);
        let engine = (said(&effects.backward), said(&effects.forward));
        if engine != (backward, forward) {
            wrong.push(format!("{what}: {engine:?}, and the page says {:?}: {effects:?}", (backward, forward)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
