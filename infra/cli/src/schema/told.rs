//! Comparisons in words, and as JSON.

use penstock_schema::compare::{Change, Comparison, Effect, Effects};
use penstock_schema::history::{Breach, Refused};
use penstock_schema::{Direction, SchemaId};
use serde_json::{Value, json};

/// Characters of a value that are shown in a line.
const SHOWN: usize = 400;

/// Two schemas, as a reader would call them.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The earlier one.
    pub(super) old: String,
    /// The later one.
    pub(super) new: String,
}

/// A version, as it is called on the command line.
pub(super) fn name(id: &SchemaId) -> String {
    format!("{}:{}", id.kind, id.version)
}

/// All that differs: each change, what it does alone, and what all of them do together.
pub(super) fn comparison(found: &Comparison, names: &Names) -> Vec<String> {
    let mut lines = changes(found);
    if lines.is_empty() {
        return vec!["they say the same of documents".to_owned()];
    }
    lines.push("all of it together".to_owned());
    lines.extend(in_full(&found.whole.backward, Direction::Backward, names));
    lines.extend(in_full(&found.whole.forward, Direction::Forward, names));
    lines
}

/// Each change, and what it does alone.
fn changes(found: &Comparison) -> Vec<String> {
    // it differs between any two versions
    let told = found.changes.iter().filter(|change| change.pointer != "/$id");
    told.flat_map(one).collect()
}

fn one(Change { pointer, before, after, alone }: &Change) -> Vec<String> {
    let place = if pointer.is_empty() { "the whole schema" } else { pointer };
    let what = match (before, after) {
        (None, Some(after)) => format!("{place}  added: {}", shown(after)),
        (Some(before), None) => format!("{place}  removed: {}", shown(before)),
        (before, after) => {
            let side = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), shown);
            format!("{place}  {} -> {}", side(before), side(after))
        }
    };
    let Some(Effects { backward, forward }) = alone else {
        return vec![what, "  says nothing about documents, or makes no schema without the other changes".to_owned()];
    };
    vec![what, format!("  backward  {}", in_short(backward)), format!("  forward   {}", in_short(forward))]
}

/// What one change does to readers: backward to those with it, of what is valid without it; forward the other way round.
fn in_short(effect: &Effect) -> String {
    match effect {
        Effect::Keeps => "fine".to_owned(),
        Effect::Breaks(document) => format!("BREAKS on {}", shown(document)),
        Effect::CannotTell => {
            "UNCERTAIN: no document was found that breaks it, and no proof that there is none".to_owned()
        }
    }
}

/// What becomes of readers of one schema, of what is valid under the other.
fn in_full(effect: &Effect, direction: Direction, Names { old, new }: &Names) -> Vec<String> {
    let (readers, written) = match direction {
        Direction::Backward => (new, old),
        Direction::Forward => (old, new),
    };
    let word = direction.as_str();
    match effect {
        Effect::Keeps => vec![format!("  {word}: readers of {readers} can read all that is valid under {written}")],
        Effect::Breaks(document) => vec![
            format!("  {word}: readers of {readers} CANNOT read this, which is valid under {written}:"),
            format!("    {}", shown(document)),
        ],
        Effect::CannotTell => vec![format!(
            "  {word}: UNCERTAIN whether readers of {readers} can read all that is valid under {written}; it counts as breaking"
        )],
    }
}

/// Why a version was refused, for whoever does not know the words.
pub(super) fn refused(why: &Refused, id: &SchemaId) -> Vec<String> {
    let Refused::Breaks(breaches) = why else { return vec![why.to_string()] };
    let mut lines = Vec::new();
    for Breach { with, direction, effect, .. } in breaches {
        let names = Names { old: name(&SchemaId { version: *with, ..id.clone() }), new: name(id) };
        lines.push(format!("not {} compatible with version {with}", direction.as_str()));
        lines.extend(in_full(effect, *direction, &names));
    }
    // the others are in `--json`
    if let Some(Breach { with, comparison, .. }) = breaches.iter().max_by_key(|breach| breach.with) {
        lines.push(format!("what has changed since version {with}, and what each change does alone"));
        lines.extend(changes(comparison).into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// A comparison as JSON.
pub(super) fn comparison_json(found: &Comparison) -> Value {
    let changes: Vec<_> = found.changes.iter().map(change_json).collect();
    json!({ "changes": changes, "whole": effects_json(&found.whole) })
}

fn change_json(Change { pointer, before, after, alone }: &Change) -> Value {
    let mut told = json!({ "pointer": pointer, "alone": alone.as_ref().map(effects_json) });
    for (name, value) in [("before", before), ("after", after)] {
        // `null` is a value too
        if let Some(value) = value {
            told[name] = value.clone();
        }
    }
    told
}

fn effects_json(Effects { backward, forward }: &Effects) -> Value {
    json!({ "backward": effect_json(backward), "forward": effect_json(forward) })
}

fn effect_json(effect: &Effect) -> Value {
    match effect {
        Effect::Keeps => json!({ "effect": "keeps" }),
        Effect::Breaks(document) => json!({ "effect": "breaks", "document": document }),
        Effect::CannotTell => json!({ "effect": "uncertain" }),
    }
}

/// Why a version was refused, as JSON.
pub(super) fn refused_json(why: &Refused) -> Value {
    let Refused::Breaks(breaches) = why else { return json!({ "why": why.to_string() }) };
    let breach = |breach: &Breach| {
        json!({
            "with": breach.with,
            "direction": breach.direction.as_str(),
            "effect": effect_json(&breach.effect),
            "comparison": comparison_json(&breach.comparison),
        })
    };
    json!({ "why": why.to_string(), "breaches": breaches.iter().map(breach).collect::<Vec<_>>() })
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... (--json shows all of it)", &text[..end]),
        None => text,
    }
}
