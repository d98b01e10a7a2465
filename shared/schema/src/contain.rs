//! Whether every document that one schema allows is allowed by another.
//!
//! It has to be proved, and a document is looked for that breaks it, and judged by the validators: one that is found is shown, and
//! decides, whatever was proved. What can be neither refuted nor proved counts as breaking, and is told as such.

mod recursion;
mod said;
mod samples;
mod search;
mod shrink;

use std::panic::{AssertUnwindSafe, catch_unwind};

use jsonschema::canonical::{self, CanonicalSchema, Containment as Covers};
use serde_json::Value;

use crate::validate::{compile, patterns};
use crate::walk;
use search::Effort;

/// Whether one schema is contained in another.
#[derive(Debug, Clone, PartialEq)]
pub enum Containment {
    /// Every document that is valid under the one is valid under the other.
    Contained,
    /// This one is not.
    Breaks(Value),
    /// Neither a proof nor a document that breaks it was found.
    CannotTell,
}

/// A schema to compare.
pub(crate) struct Side {
    pub(crate) schema: Value,
    pub(crate) validator: jsonschema::Validator,
    canonical: Option<CanonicalSchema>,
}

impl Side {
    /// `None` if it is no schema.
    pub(crate) fn new(schema: Value) -> Option<Self> {
        let validator = compile(&schema).ok()?;
        // the engine is young: whatever it does, a comparison ends with an answer
        let canonical = catch_unwind(AssertUnwindSafe(|| {
            let options = canonical::options().offline().with_draft(jsonschema::Draft::Draft202012);
            options.should_validate_formats(true).with_pattern_options(patterns()).canonicalize(&schema).ok()
        }));
        Some(Self { schema, validator, canonical: canonical.ok().flatten() })
    }
}

/// Whether every document that is valid under `sub` is valid under `sup`.
pub(crate) fn contained(sub: &Side, sup: &Side) -> Containment {
    if sub.schema == sup.schema {
        return Containment::Contained;
    }
    let proved = covers(sub, sup) || recursion::proves(&sub.schema, &sup.schema);
    let difference = if proved { None } else { difference(sub, sup) };
    // what is proved is tried too, a little: a document that breaks it would show that the proof is wrong
    let effort = if proved { Effort::LITTLE } else { Effort::MUCH };
    match search::breaking(sub, sup, difference.as_ref(), effort) {
        Some(document) => Containment::Breaks(document),
        None if proved => Containment::Contained,
        None => Containment::CannotTell,
    }
}

fn covers(sub: &Side, sup: &Side) -> bool {
    let (Some(small), Some(large)) = (&sub.canonical, &sup.canonical) else { return false };
    catch_unwind(AssertUnwindSafe(|| matches!(large.covers(small), Ok(Covers::Yes)))).unwrap_or(false)
}

/// Whether what stands at these places of two documents is contained, as far as the engine can prove it.
fn covers_at(sub: (&Value, &Value), sup: (&Value, &Value)) -> bool {
    let alone = |(root, schema): (&Value, &Value)| {
        let mut alone = schema.as_object()?.clone();
        // a reference to elsewhere would mean another place of what is cut out
        let refers_elsewhere = |schema: &Value| {
            let target = schema.get("$ref").and_then(Value::as_str).and_then(walk::target);
            target.is_some_and(|target| !target.starts_with("/$defs/"))
        };
        if walk::all(root).iter().any(|(_, schema)| refers_elsewhere(schema)) {
            return None;
        }
        if let Some(definitions) = root.get("$defs") {
            alone.insert("$defs".to_owned(), definitions.clone());
        }
        Side::new(Value::Object(alone))
    };
    match (alone(sub), alone(sup)) {
        (Some(sub), Some(sup)) => covers(&sub, &sup),
        _ => false,
    }
}

/// The documents that break it, as a schema.
fn difference(sub: &Side, sup: &Side) -> Option<Value> {
    let (sub, sup) = (sub.canonical.as_ref()?, sup.canonical.as_ref()?);
    catch_unwind(AssertUnwindSafe(|| Some(sub.subtract(sup).ok()?.to_json_schema()))).ok().flatten()
}
