//! Whether every document that one schema allows is allowed by another.
//!
//! First a document is looked for that breaks it, and judged by the validators: one that is found is shown, and decides. If none
//! is, it has to be proved. What can be neither refuted nor proved counts as breaking, and is told as such.

mod recursion;
mod samples;
mod search;

use std::panic::{AssertUnwindSafe, catch_unwind};

use jsonschema::canonical::{self, CanonicalSchema, Containment as Covers};
use serde_json::Value;

use crate::validate::{compile, patterns};

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
    let difference = difference(sub, sup);
    if let Some(document) = search::breaking(sub, sup, difference.as_ref()) {
        return Containment::Breaks(document);
    }
    if covers(sub, sup) || recursion::proves(&sub.schema, &sup.schema) {
        return Containment::Contained;
    }
    Containment::CannotTell
}

fn covers(sub: &Side, sup: &Side) -> bool {
    let (Some(small), Some(large)) = (&sub.canonical, &sup.canonical) else { return false };
    catch_unwind(AssertUnwindSafe(|| matches!(large.covers(small), Ok(Covers::Yes)))).unwrap_or(false)
}

/// Whether what stands at these places of two documents is contained, as far as the engine can prove it.
fn covers_at(sub: (&Value, &Value), sup: (&Value, &Value)) -> bool {
    let alone = |(root, schema): (&Value, &Value)| {
        let mut alone = schema.as_object()?.clone();
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
