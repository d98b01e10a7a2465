//! The search for a document that one schema allows and another does not.
//!
//! Documents are made of the edges of what both schemas say at each place: each bound and what lies beside it, each member left
//! out, another one added, each branch taken. One thing is changed at a time, from a document that is valid. The validators
//! judge; nothing here has to be right for the answer to be.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::ValidatorMap;
use serde_json::{Map, Value, json};

use super::said::{Said, branches, members};
use super::shrink::smaller;
use super::{Side, samples};
use crate::validate::patterns;

/// Levels of a document.
const DEPTH_MAX: usize = 7;
/// Items or members that are repeated to reach a number.
const REPEATED_MAX: usize = 200;
/// Bytes of texts that are made to reach a length.
const TEXT_MAX: usize = 100_000;

/// The name of a member that no schema declares, one hopes.
const UNDECLARED: &str = "undeclared";

struct Search {
    places: Option<ValidatorMap>,
    effort: Effort,
}

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Values at the top, and at each place below.
    values: [usize; 2],
    /// Bytes of the documents.
    bytes: usize,
}

impl Effort {
    /// Where a proof was found.
    pub(super) const LITTLE: Self = Self { values: [200, 6], bytes: 50_000 };
    /// Where none was.
    pub(super) const MUCH: Self = Self { values: [4000, 48], bytes: 1_000_000 };
}

/// A document of `sub` that is none of `sup`, made small. `difference` is what the engine knows of such documents.
pub(super) fn breaking(sub: &Side, sup: &Side, difference: Option<&Value>, effort: Effort) -> Option<Value> {
    let options = jsonschema::draft202012::options().offline().should_validate_formats(true);
    let places = options.with_pattern_options(patterns()).build_map(&sub.schema).ok();
    let search = Search { places, effort };
    let said = |root, is_sub| Said { root, pointer: String::new(), schema: root, binds: true, is_sub };
    let breaks = |document: &Value| sub.validator.is_valid(document) && !sup.validator.is_valid(document);
    let mut all = vec![vec![said(&sub.schema, true), said(&sup.schema, false)]];
    if let Some(difference) = difference {
        all.insert(0, vec![said(&sub.schema, true), said(difference, false)]);
    }
    let found = all.into_iter().find_map(|said| search.values(said, 0).into_iter().find(&breaks))?;
    Some(smaller(found, &breaks))
}

impl Search {
    /// Values that matter at a place of which all of `said` speak.
    fn values(&self, said: Vec<Said<'_>>, depth: usize) -> Vec<Value> {
        let max = self.effort.values[depth.min(1)];
        let mut bytes = self.effort.bytes;
        let mut found: Vec<Value> = Vec::new();
        let mut seen = BTreeSet::new();
        let branches = branches(said);
        let share = max / branches.len().max(1);
        for said in branches {
            let mut taken = 0;
            for value in self.values_of(&said, depth) {
                if taken >= share.max(2) || bytes == 0 {
                    break;
                }
                if !self.may_be(&said, &value) {
                    continue;
                }
                let text = value.to_string();
                bytes = bytes.saturating_sub(text.len());
                if seen.insert(text) {
                    found.push(value);
                    taken += 1;
                }
            }
        }
        found
    }

    /// Whether it is valid under all of the schema that binds here.
    fn may_be(&self, said: &[Said<'_>], value: &Value) -> bool {
        let Some(places) = &self.places else { return true };
        said.iter()
            .filter(|said| said.is_sub && said.binds)
            .all(|said| places.get(&format!("#{}", said.pointer)).is_none_or(|validator| validator.is_valid(value)))
    }

    fn values_of(&self, said: &[Said<'_>], depth: usize) -> Vec<Value> {
        let keywords = |name: &'static str| said.iter().filter_map(move |said| said.schema.get(name));
        let mut values: Vec<Value> = keywords("const").cloned().collect();
        values.extend(keywords("enum").filter_map(Value::as_array).flatten().cloned());
        let bounds: Vec<Value> = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
            .into_iter()
            .flat_map(keywords)
            .cloned()
            .collect();
        values.extend(texts(said).into_iter().map(Value::from));
        values.extend(bounds.iter().flat_map(samples::beside));
        values.extend(keywords("multipleOf").flat_map(|of| samples::multiples(of, &bounds)));
        values.extend([json!(1), json!(0), json!(-1), json!(0.5), json!(1.5), json!(true), json!(false), Value::Null]);
        if depth < DEPTH_MAX {
            values.extend(self.objects(said, depth));
            values.extend(self.arrays(said, depth));
        }
        values.extend([json!({}), json!([])]);
        values
    }

    fn arrays(&self, said: &[Said<'_>], depth: usize) -> Vec<Value> {
        let first: Vec<Said<'_>> =
            said.iter().flat_map(|said| said.below(&["items", "contains", "unevaluatedItems"])).collect();
        let items = self.values(first, depth + 1);
        let tuple = said.iter().filter_map(|said| said.schema.get("prefixItems")?.as_array()).map(Vec::len).max();
        let mut starts: Vec<Vec<Value>> = Vec::new();
        for index in 0..tuple.unwrap_or(0).min(16) {
            let here = said.iter().filter_map(|said| said.at(&format!("/prefixItems/{index}"))).collect();
            starts.push(self.values(here, depth + 1));
        }
        let base: Vec<Value> = starts.iter().filter_map(|values| values.first().cloned()).collect();
        let mut arrays = vec![base.clone()];
        for (index, values) in starts.iter().enumerate().filter(|(index, _)| *index < base.len()) {
            arrays.extend(values.iter().map(|value| {
                let mut other = base.clone();
                other[index] = value.clone();
                other
            }));
            arrays.push(base[..index].to_vec());
        }
        let with = |more: Vec<Value>| base.iter().cloned().chain(more).collect::<Vec<_>>();
        arrays.extend(items.iter().map(|item| with(vec![item.clone()])));
        let counts = ["minItems", "maxItems", "minContains", "maxContains"];
        let counts =
            counts.into_iter().flat_map(|name| said.iter().filter_map(move |said| said.schema.get(name)?.as_u64()));
        let counts: BTreeSet<usize> = counts
            .flat_map(|count| [count.saturating_sub(1), count, count + 1])
            .chain([2])
            .filter_map(|count| usize::try_from(count).ok())
            .filter(|count| *count <= REPEATED_MAX)
            .collect();
        for count in counts {
            let more = count.saturating_sub(base.len());
            if let Some(item) = items.first() {
                arrays.push(with(vec![item.clone(); more]));
                arrays.push(with((0..more).map(|n| different(item, n)).collect()));
            }
            arrays.extend(items.iter().take(16).map(|item| with(vec![item.clone(); more])));
            arrays.push(with(items.iter().take(more).cloned().collect()));
        }
        arrays.into_iter().map(Value::Array).collect()
    }

    fn objects(&self, said: &[Said<'_>], depth: usize) -> Vec<Value> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let (mut required, mut wanted): (BTreeSet<String>, BTreeSet<String>) = Default::default();
        for said in said {
            let strings = |value: &Value| -> Vec<String> {
                value.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
            };
            names.extend(
                said.schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned(),
            );
            for pattern in
                said.schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys)
            {
                names.extend(samples::of_pattern(pattern).into_iter().take(2));
            }
            for (name, with) in said.schema.get("dependentRequired").and_then(Value::as_object).into_iter().flatten() {
                names.insert(name.clone());
                names.extend(strings(with));
            }
            names.extend(
                said.schema.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned(),
            );
            let these = said.schema.get("required").map(strings).unwrap_or_default();
            if said.binds && said.is_sub { required.extend(these) } else { wanted.extend(these) }
        }
        let named: Vec<Said<'_>> = said.iter().flat_map(|said| said.below(&["propertyNames"])).collect();
        if !named.is_empty() {
            let texts = self.values(named, depth + 1);
            names.extend(texts.iter().filter_map(Value::as_str).take(8).map(str::to_owned));
        }
        names.extend(required.iter().chain(&wanted).cloned());
        if !names.iter().any(|name| name == UNDECLARED) {
            names.insert(UNDECLARED.to_owned());
        }
        let values: BTreeMap<String, Vec<Value>> =
            names.iter().map(|name| (name.clone(), self.values(members(said, name), depth + 1))).collect();
        let first = |names: &BTreeSet<String>| -> Map<String, Value> {
            names.iter().filter_map(|name| Some((name.clone(), values.get(name)?.first()?.clone()))).collect()
        };
        let base = first(&required);
        let all: BTreeSet<String> = names.iter().filter(|name| *name != UNDECLARED).cloned().collect();
        let full = first(&all);
        let mut objects = vec![base.clone(), full.clone(), first(&required.union(&wanted).cloned().collect())];
        // round after round, so that no member uses up what may be tried
        for round in 0..values.values().map(Vec::len).max().unwrap_or(0) {
            for (name, values) in &values {
                if let Some(value) = values.get(round) {
                    let mut object = base.clone();
                    object.insert(name.clone(), value.clone());
                    objects.push(object);
                }
            }
            if round == 0 {
                for left_out in &all {
                    for from in [&base, &full] {
                        let mut object = from.clone();
                        object.remove(left_out);
                        objects.push(object);
                    }
                }
                let two = all
                    .iter()
                    .flat_map(|one| all.iter().map(move |other| (one, other)))
                    .filter(|(one, other)| one < other);
                for (one, other) in two.take(64) {
                    let mut object = base.clone();
                    object.extend(first(&BTreeSet::from([one.clone(), other.clone()])));
                    objects.push(object);
                }
                objects.extend(self.counted(said, &base, &full, &values));
            }
        }
        objects.into_iter().map(Value::Object).collect()
    }

    /// Objects of as many members as a bound names.
    fn counted(
        &self,
        said: &[Said<'_>],
        base: &Map<String, Value>,
        full: &Map<String, Value>,
        values: &BTreeMap<String, Vec<Value>>,
    ) -> Vec<Map<String, Value>> {
        let counts = ["minProperties", "maxProperties"].into_iter();
        let counts = counts.flat_map(|name| said.iter().filter_map(move |said| said.schema.get(name)?.as_u64()));
        let counts = counts.flat_map(|count| [count.saturating_sub(1), count, count + 1]);
        let other = values.get(UNDECLARED).and_then(|values| values.first());
        let mut objects = Vec::new();
        for count in counts.filter_map(|count| usize::try_from(count).ok()).filter(|count| *count <= REPEATED_MAX) {
            let mut object = base.clone();
            for (name, value) in full {
                if object.len() < count {
                    object.insert(name.clone(), value.clone());
                }
            }
            let mut number = 0;
            while let Some(value) = other.filter(|_| object.len() < count) {
                object.insert(format!("{UNDECLARED}{number}"), value.clone());
                number += 1;
            }
            objects.push(object);
        }
        objects
    }
}

fn texts(said: &[Said<'_>]) -> Vec<String> {
    let mut texts = vec!["a".to_owned(), String::new()];
    let strings = |name: &'static str| said.iter().filter_map(move |said| said.schema.get(name)?.as_str());
    let mut found: Vec<String> = strings("pattern").flat_map(samples::of_pattern).collect();
    found.extend(strings("format").flat_map(samples::of_format));
    let lengths = ["minLength", "maxLength"].into_iter();
    let lengths = lengths.flat_map(|name| said.iter().filter_map(move |said| said.schema.get(name)?.as_u64()));
    let lengths: BTreeSet<usize> = lengths
        .flat_map(|length| [length.saturating_sub(1), length, length + 1])
        .filter_map(|length| usize::try_from(length).ok())
        .filter(|length| *length <= TEXT_MAX)
        .collect();
    for length in lengths {
        texts.push("a".repeat(length));
        // a text of the pattern, made longer by its own last letter
        for text in found.clone().iter().filter(|text| text.len() < length) {
            if let Some(last) = text.chars().next_back() {
                found.push(format!("{text}{}", last.to_string().repeat(length - text.len())));
            }
        }
    }
    found.extend(texts);
    found.extend(["A", "0", "é", "a b"].map(str::to_owned));
    found
}

/// A value like this one, the `n`th of those that differ.
fn different(value: &Value, n: usize) -> Value {
    match value {
        Value::String(text) => Value::from(format!("{text}{n}")),
        Value::Number(number) => number.as_i64().map_or_else(|| value.clone(), |whole| Value::from(whole + n as i64)),
        Value::Object(members) => {
            let mut members = members.clone();
            if let Some((_, member)) = members.iter_mut().find(|(_, member)| member.is_string() || member.is_i64()) {
                *member = different(member, n);
            }
            Value::Object(members)
        }
        _ => value.clone(),
    }
}
