//! What both schemas say of one place of a document.

use serde_json::{Map, Value};

use crate::walk::{self, target};

/// Ways through `anyOf` and `oneOf` at one place.
const BRANCHES_MAX: usize = 24;

/// A schema that has something to say at a place.
#[derive(Clone)]
pub(super) struct Said<'a> {
    pub(super) root: &'a Value,
    pub(super) pointer: String,
    pub(super) schema: &'a Value,
    /// Whether a document is valid only if it is valid here.
    pub(super) binds: bool,
    /// Whether it is the one that documents have to be valid under.
    pub(super) is_sub: bool,
}

impl Said<'_> {
    /// What stands below it, and binds as it does.
    pub(super) fn at(&self, step: &str) -> Option<Self> {
        let schema = self.schema.pointer(step)?;
        Some(Self { pointer: format!("{}{step}", self.pointer), schema, ..self.clone() })
    }

    pub(super) fn below(&self, keywords: &[&str]) -> Vec<Self> {
        let binds = |keyword: &str| self.binds && keyword == "items";
        let below = keywords
            .iter()
            .filter_map(|keyword| Some(Self { binds: binds(keyword), ..self.at(&format!("/{keyword}"))? }));
        below.collect()
    }
}

/// What speaks of a member.
pub(super) fn members<'a>(said: &[Said<'a>], name: &str) -> Vec<Said<'a>> {
    let mut members = Vec::new();
    for said in said {
        let declared = said.at(&format!("/properties/{}", walk::escape(name)));
        let is_declared = declared.is_some();
        members.extend(declared);
        for pattern in said.schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            let at = said.at(&format!("/patternProperties/{}", walk::escape(pattern)));
            members.extend(at.map(|at| Said { binds: false, ..at }));
        }
        if !is_declared {
            for keyword in ["additionalProperties", "unevaluatedProperties"] {
                members.extend(said.at(&format!("/{keyword}")).map(|at| Said { binds: false, ..at }));
            }
        }
    }
    members
}

/// With what is said in other places of the same one: a set of schemas for each way through the branches.
pub(super) fn branches(said: Vec<Said<'_>>) -> Vec<Vec<Said<'_>>> {
    let mut ways: Vec<(Vec<Said<'_>>, Vec<Said<'_>>)> = vec![(Vec::new(), said)];
    let mut done = Vec::new();
    while let Some((mut taken, mut open)) = ways.pop() {
        let Some(next) = open.pop() else {
            done.push(taken);
            continue;
        };
        if taken.iter().any(|other: &Said<'_>| other.pointer == next.pointer && std::ptr::eq(other.root, next.root)) {
            ways.push((taken, open));
            continue;
        }
        taken.push(next.clone());
        let Some(keywords) = next.schema.as_object() else {
            ways.push((taken, open));
            continue;
        };
        if let Some(to) = keywords.get("$ref").and_then(Value::as_str).and_then(target)
            && let Some(schema) = next.root.pointer(&to)
        {
            open.push(Said { pointer: to, schema, ..next.clone() });
        }
        for (index, _) in keywords.get("allOf").and_then(Value::as_array).into_iter().flatten().enumerate() {
            open.extend(next.at(&format!("/allOf/{index}")));
        }
        for keyword in ["if", "then", "else", "not"] {
            open.extend(next.at(&format!("/{keyword}")).map(|at| Said { binds: false, ..at }));
        }
        for name in keywords.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            let at = next.at(&format!("/dependentSchemas/{}", walk::escape(name)));
            open.extend(at.map(|at| Said { binds: false, ..at }));
        }
        let of = |keyword: &str| {
            let count = keywords.get(keyword).and_then(Value::as_array).map_or(0, Vec::len);
            (0..count).filter_map(|index| next.at(&format!("/{keyword}/{index}"))).collect::<Vec<_>>()
        };
        let choices: Vec<_> = of("anyOf").into_iter().chain(of("oneOf")).collect();
        if choices.is_empty() {
            ways.push((taken, open));
        } else if done.len() + ways.len() + choices.len() > BRANCHES_MAX {
            open.extend(choices.into_iter().map(|choice| Said { binds: false, ..choice }));
            ways.push((taken, open));
        } else {
            // the first branch last: it is tried first
            for choice in choices.into_iter().rev() {
                let mut open = open.clone();
                open.push(choice);
                ways.push((taken.clone(), open));
            }
        }
    }
    done
}
