//! What changes from one version to another, and whom it breaks.
//!
//! Each change is judged by making it alone, and asking whether the one schema is contained in the other: there is no table
//! of keywords that could be wrong. The two versions as a whole are asked too, because changes can make up for each other, or
//! break only together.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Map, Value};

use crate::contain::{Containment, Side, contained};
use crate::policy::{Policy, Readers};
use crate::schema::Schema;
use crate::views::of_readers;
use crate::walk::{self, ANNOTATIONS};

/// Changes that are judged one by one; beyond them only the whole is.
const JUDGED_MAX: usize = 64;

/// What becomes of those who read.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// They read it as before.
    Keeps,
    /// They cannot read this, for one.
    Breaks(Value),
    /// Neither could be shown. It counts as breaking.
    CannotTell,
}

impl From<Containment> for Effect {
    fn from(containment: Containment) -> Self {
        match containment {
            Containment::Contained => Self::Keeps,
            Containment::Breaks(document) => Self::Breaks(document),
            Containment::CannotTell => Self::CannotTell,
        }
    }
}

impl Effect {
    /// Whether nobody is broken.
    pub fn keeps(&self) -> bool {
        *self == Self::Keeps
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where, as a JSON pointer into the schema.
    pub pointer: String,
    /// What stood there.
    pub before: Option<Value>,
    /// What stands there now.
    pub after: Option<Value>,
    /// What it does alone; `None` if it makes no schema alone, or says nothing about documents.
    pub alone: Option<Effects>,
}

/// What a change does to readers of either version.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// Readers of the new version, of what was valid under the old one.
    pub backward: Effect,
    /// Readers of the old version, of what is valid under the new one.
    pub forward: Effect,
}

/// Two versions, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What changes, by place.
    pub changes: Vec<Change>,
    /// What all of it does together.
    pub whole: Effects,
}

impl Effects {
    /// What a later version does to readers, all of it together.
    pub fn between(old: &Schema, new: &Schema, readers: Readers) -> Self {
        let unknown = Self { backward: Effect::CannotTell, forward: Effect::CannotTell };
        effects(old.value(), new.value(), readers).unwrap_or(unknown)
    }
}

impl Effects {
    /// What breaks a policy: for each direction that it asks for and that does not hold, which one.
    pub fn breaches(&self, policy: &Policy) -> Vec<(Direction, &Effect)> {
        let wanted = [
            (policy.compatibility.is_backward(), Direction::Backward, &self.backward),
            (policy.compatibility.is_forward(), Direction::Forward, &self.forward),
        ];
        let broken = wanted.into_iter().filter(|(asked, _, effect)| *asked && !effect.keeps());
        broken.map(|(_, direction, effect)| (direction, effect)).collect()
    }
}

impl Comparison {
    /// Compares an earlier version with a later one.
    pub fn of(old: &Schema, new: &Schema, readers: Readers) -> Self {
        let changes = changes(old.value(), new.value());
        let alone = |change: &Change| {
            let mut changed = old.value().clone();
            apply(&mut changed, change)?;
            effects(old.value(), &changed, readers)
        };
        let judged: Vec<Change> = changes
            .into_iter()
            .enumerate()
            .map(|(number, change)| {
                let says = number < JUDGED_MAX && !is_annotation(&change.pointer);
                let alone = says.then(|| alone(&change)).flatten();
                Change { alone, ..change }
            })
            .collect();
        Self { changes: judged, whole: Effects::between(old, new, readers) }
    }
}

/// Who reads what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Readers of the new version read what was valid before.
    Backward,
    /// Readers of an old version read what is valid now.
    Forward,
}

impl Direction {
    /// As policies call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
        }
    }
}

/// Whether readers of `old` can read all that is valid under `new`.
pub fn is_readable(new: &Schema, old: &Schema, readers: Readers) -> bool {
    one(new.value(), old.value(), readers).is_some_and(|effect| effect.keeps())
}

fn effects(old: &Value, new: &Value, readers: Readers) -> Option<Effects> {
    Some(Effects { backward: one(old, new, readers)?, forward: one(new, old, readers)? })
}

/// What is written under one schema and read under another.
fn one(written: &Value, read: &Value, readers: Readers) -> Option<Effect> {
    let (sub, sup) = (Side::new(written.clone())?, Side::new(of_readers(read, readers))?);
    // whatever the engine does, it ends with an answer
    let judged = catch_unwind(AssertUnwindSafe(|| contained(&sub, &sup)));
    Some(judged.unwrap_or(Containment::CannotTell).into())
}

fn is_annotation(pointer: &str) -> bool {
    let mut parts = pointer.rsplit('/');
    let (last, above) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // `title` is a fine name for a member
    let is_name = matches!(above, "properties" | "patternProperties" | "dependentSchemas" | "$defs");
    !is_name && (ANNOTATIONS.contains(&last) || last.starts_with("x-"))
}

/// The keywords that differ, by place.
fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    differ("", old, new, &mut found);
    found
}

fn differ(pointer: &str, old: &Value, new: &Value, found: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let (Some(before), Some(after)) = (old.as_object(), new.as_object()) else {
        return found.push(Change {
            pointer: pointer.to_owned(),
            before: Some(old.clone()),
            after: Some(new.clone()),
            alone: None,
        });
    };
    // of keywords, and of the names of members
    let below = |schema: &Map<String, Value>| -> Vec<String> {
        walk::below(schema).into_iter().map(|below| below.pointer).collect()
    };
    let (schemas_before, schemas_after) = (below(before), below(after));
    let mut keywords: Vec<&String> = before.keys().chain(after.keys()).collect();
    keywords.sort();
    keywords.dedup();
    for keyword in keywords {
        let at = format!("/{}", walk::escape(keyword));
        let is_one = schemas_before.contains(&at) && schemas_after.contains(&at);
        let prefix = format!("{at}/");
        let mut of_many: Vec<&String> =
            schemas_before.iter().chain(&schemas_after).filter(|below| below.starts_with(&prefix)).collect();
        of_many.sort();
        of_many.dedup();
        let lists = [before, after].into_iter().filter_map(|schema| schema.get(keyword)?.as_array());
        // branches have no names: those of a list that changed its length are one change
        let is_list = lists.clone().count() > 0;
        let same_length = lists.map(Vec::len).collect::<Vec<_>>();
        let by_part = !of_many.is_empty() && (!is_list || same_length.len() == 2 && same_length[0] == same_length[1]);
        let places: Vec<String> = match (is_one, by_part) {
            (true, _) => vec![at],
            (false, true) => of_many.into_iter().cloned().collect(),
            (false, false) => vec![at],
        };
        for place in places {
            let (was, is) = (old.pointer(&place), new.pointer(&place));
            let here = format!("{pointer}{place}");
            match (was, is) {
                (Some(was), Some(is)) if was == is => {}
                (Some(was), Some(is)) if is_one || by_part => differ(&here, was, is, found),
                (None, None) => {}
                _ => found.push(Change { pointer: here, before: was.cloned(), after: is.cloned(), alone: None }),
            }
        }
    }
}

/// Makes one change; `None` if there is no place for it.
fn apply(schema: &mut Value, change: &Change) -> Option<()> {
    let Some((above, last)) = change.pointer.rsplit_once('/') else {
        *schema = change.after.clone()?;
        return Some(());
    };
    let name = last.replace("~1", "/").replace("~0", "~");
    if schema.pointer(above).is_none() {
        // the first of its keyword, as in `/properties/x`
        let (parent, keyword) = above.rsplit_once('/')?;
        schema.pointer_mut(parent)?.as_object_mut()?.insert(keyword.to_owned(), Value::Object(Map::new()));
    }
    match (schema.pointer_mut(above)?, &change.after) {
        (Value::Object(members), Some(after)) => _ = members.insert(name, after.clone()),
        (Value::Object(members), None) => _ = members.remove(&name),
        (Value::Array(items), Some(after)) => *items.get_mut(name.parse::<usize>().ok()?)? = after.clone(),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests;
