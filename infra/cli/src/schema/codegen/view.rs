//! A schema as a reader sees it: of what shape its documents are, without what narrows them.
//!
//! Built anew of the keywords that say what a document has; all others were enforced where the event was accepted. Of a view
//! typify makes plain structs and enums. Of any schema it does not: it panics on some, makes types that no document fits of
//! others, and newtypes that need more crates of the bounds of strings. What gets no type is a `serde_json::Value`, with the
//! reason in its description.

mod null;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::keywords::{
    Part, branches, elsewhere, is_choice, is_shaping, is_type_name, kind_of, kinds, pascal, reference, tag, tag_value,
    title, values,
};
use null::{content_or_null, may_be_null, or_null};

/// What the type of a whole document is called.
pub(super) const ROOT: &str = "Data";

/// Names that mean something else in the generated code.
const TAKEN: &[&str] = &[
    ROOT,
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Deserialize",
    "Eq",
    "Hash",
    "Option",
    "PartialEq",
    "Self",
    "Serialize",
    "String",
    "Vec",
];

/// How many references may follow each other.
const FOLLOWED_MAX: usize = 32;

/// The view of one schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    /// What to make a type of.
    pub(super) root: Value,
    /// What it refers to, as `#/definitions/<name>`.
    pub(super) definitions: Map<String, Value>,
    /// What has no type: where in the schema, and why.
    pub(super) untyped: Vec<(String, String)>,
}

impl View {
    /// The view of a schema.
    pub(super) fn of(schema: &Value) -> Self {
        let taken = TAKEN.iter().map(|&name| name.to_owned()).collect();
        let mut maker = Maker { schema, names: BTreeMap::new(), taken, waiting: Vec::new(), untyped: Vec::new() };
        let (pointer, root) = maker.followed(String::new(), schema);
        let mut root = maker.definition(&pointer, root, ROOT);
        root["title"] = ROOT.into();
        let mut definitions = Map::new();
        let mut nullable = BTreeSet::new();
        while let Some((pointer, own)) = maker.waiting.pop() {
            let Some(schema) = schema.pointer(&pointer) else { continue };
            let mut view = maker.definition(&pointer, schema, &own);
            if let Some(content) = content_or_null(&mut view) {
                view = content;
                nullable.insert(format!("#/definitions/{own}"));
            }
            if let Some(keywords) = view.as_object_mut() {
                keywords.remove("title");
            }
            definitions.insert(own, view);
        }
        for view in [&mut root].into_iter().chain(definitions.values_mut()) {
            may_be_null(view, &nullable);
        }
        Self { root, definitions, untyped: maker.untyped }
    }
}

/// What takes the place of a part that has no type.
pub(super) fn untyped(description: Option<&str>, why: &str) -> Value {
    json!({ "description": with_note(description, &format!("Not typed: {why}.")) })
}

fn with_note(description: Option<&str>, note: &str) -> String {
    description.map_or_else(|| note.to_owned(), |text| format!("{text}\n\n{note}"))
}

/// What a type would be called, if a part has one of its own.
#[derive(Debug, Clone)]
struct Name {
    /// The type around it.
    parent: String,
    own: String,
}

struct Maker<'a> {
    schema: &'a Value,
    /// The names of what is referred to, by pointer.
    names: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    /// What is referred to and has no view yet.
    waiting: Vec<(String, String)>,
    untyped: Vec<(String, String)>,
}

impl<'a> Maker<'a> {
    /// A name for a type that no other has.
    fn claim(&mut self, name: &Name) -> String {
        let longer = format!("{}{}", name.parent, name.own);
        let numbered = (2..).map(|number| format!("{longer}{number}"));
        let mut names = [name.own.clone(), longer.clone()].into_iter().chain(numbered);
        let free = names.find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(free.clone());
        free
    }

    /// The view of a schema whose type has this name and no other.
    fn definition(&mut self, pointer: &str, schema: &'a Value, own: &str) -> Value {
        let before = (self.taken.clone(), self.names.clone(), self.waiting.clone(), self.untyped.clone());
        self.taken.remove(own);
        let name = Name { parent: String::new(), own: own.to_owned() };
        let mut view = self.view(pointer, schema, &name);
        // Something inside has the name, as where the whole may be null: the type is a wrapper then.
        if self.taken.contains(own) && view.get("title") != Some(&json!(own)) {
            (self.taken, self.names, self.waiting, self.untyped) = before;
            view = self.view(pointer, schema, &Name { own: format!("{own}Content"), ..name });
        }
        self.taken.insert(own.to_owned());
        view
    }

    /// What a schema refers to. The linter has seen that it is there; one with percent-escapes is not looked for.
    fn target(&self, keywords: &Map<String, Value>) -> Option<(String, &'a Value)> {
        let pointer = keywords.get("$ref")?.as_str()?.strip_prefix('#')?;
        Some((pointer.to_owned(), self.schema.pointer(pointer)?))
    }

    /// Where a schema is that says no more than where to look.
    fn followed(&self, mut pointer: String, mut schema: &'a Value) -> (String, &'a Value) {
        for _ in 0..FOLLOWED_MAX {
            let Some((next, target)) = reference(schema).and_then(|keywords| self.target(keywords)) else { break };
            (pointer, schema) = (next, target);
        }
        (pointer, schema)
    }

    /// All that has to hold at a place; none if there is no end to it, or nothing can hold.
    fn parts(&self, pointer: &str, schema: &'a Value, depth: usize) -> Option<Vec<Part<'a>>> {
        if schema == &Value::Bool(true) {
            return Some(Vec::new());
        }
        let keywords = schema.as_object().filter(|_| depth < FOLLOWED_MAX)?;
        let mut parts = vec![Part { pointer: pointer.to_owned(), keywords }];
        if keywords.contains_key("$ref") {
            let (pointer, target) = self.target(keywords)?;
            parts.extend(self.parts(&pointer, target, depth + 1)?);
        }
        for (index, branch) in branches(keywords, "allOf") {
            parts.extend(self.parts(&format!("{pointer}/allOf/{index}"), branch, depth + 1)?);
        }
        Some(parts)
    }

    fn refuse(&mut self, pointer: &str, why: &str) -> Value {
        self.untyped.push((pointer.to_owned(), why.to_owned()));
        untyped(None, why)
    }

    /// The view of the schema at `pointer`.
    fn view(&mut self, pointer: &str, schema: &'a Value, name: &Name) -> Value {
        let mut view = match reference(schema) {
            Some(keywords) => self.refer(pointer, keywords, name),
            None => match self.parts(pointer, schema, 0) {
                Some(parts) => self.shape(pointer, &parts, name),
                None => self.refuse(pointer, "nothing is valid here, or its `$ref` could not be followed"),
            },
        };
        let text = |keyword| schema.get(keyword).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
        if let Some(told) = text("description").or_else(|| text("title").filter(|title| !is_type_name(title))) {
            let note = view.get("description").and_then(Value::as_str).map(str::to_owned);
            view["description"] = note.map_or_else(|| told.to_owned(), |note| with_note(Some(told), &note)).into();
        }
        view
    }

    fn refer(&mut self, pointer: &str, keywords: &Map<String, Value>, name: &Name) -> Value {
        let Some((target, schema)) = self.target(keywords) else {
            return self.refuse(pointer, "its `$ref` could not be followed; refer to a plain name in `$defs`");
        };
        let (target, schema) = self.followed(target, schema);
        // a plain string or number needs no type of its own
        let kind = schema.get("type").and_then(Value::as_str);
        let is_plain = kind.is_some_and(|kind| !matches!(kind, "object" | "array"))
            && !["enum", "const", "allOf", "anyOf", "oneOf", "$ref"].iter().any(|word| schema.get(word).is_some());
        if is_plain {
            return json!({ "type": kind });
        }
        if target.is_empty() {
            return json!({ "$ref": "#" });
        }
        let own = match self.names.get(&target) {
            Some(own) => own.clone(),
            None => {
                let titled = title(schema).unwrap_or_else(|| target.rsplit('/').next().unwrap_or_default());
                let own = self.claim(&Name { parent: name.parent.clone(), own: pascal(titled) });
                self.names.insert(target.clone(), own.clone());
                self.waiting.push((target, own.clone()));
                own
            }
        };
        json!({ "$ref": format!("#/definitions/{own}") })
    }

    fn shape(&mut self, pointer: &str, parts: &[Part<'a>], name: &Name) -> Value {
        if let Some(values) = parts.iter().find_map(|part| values(part.keywords)) {
            return self.listed(pointer, &values, name);
        }
        let has_members = parts.iter().any(|part| part.keywords.contains_key("properties"));
        let mut choices = parts.iter().flat_map(|part| ["oneOf", "anyOf"].map(|word| (part, word)));
        let choice = choices.find(|(part, word)| !has_members && is_choice(part.keywords, word));
        if let Some((part, word)) = choice {
            return self.alternatives(&part.pointer, word, &branches(part.keywords, word), name);
        }
        let Some(kinds) = kinds(parts) else { return json!({}) };
        let nullable = kinds.contains("null");
        let others: Vec<_> = kinds.into_iter().filter(|kind| *kind != "null").collect();
        match others.as_slice() {
            [] if nullable => json!({ "type": "null" }),
            [] => self.refuse(pointer, "nothing can be of all the types that it asks for"),
            [kind] => or_null(self.one(pointer, parts, kind, name), nullable),
            several => {
                let own = self.claim(name);
                let views = several.iter().map(|kind| {
                    let name = Name { parent: own.clone(), own: pascal(kind) };
                    self.one(pointer, parts, kind, &name)
                });
                choice_of(views.collect(), nullable, &own)
            }
        }
    }

    /// What is of one JSON type.
    fn one(&mut self, pointer: &str, parts: &[Part<'a>], kind: &str, name: &Name) -> Value {
        match kind {
            "object" => self.object(pointer, parts, name),
            "array" => self.array(pointer, parts, name),
            kind => json!({ "type": kind }),
        }
    }

    fn array(&mut self, pointer: &str, parts: &[Part<'a>], name: &Name) -> Value {
        if parts.iter().any(|part| part.keywords.contains_key("prefixItems")) {
            return self.refuse(pointer, "the items of this list differ by their place (`prefixItems`)");
        }
        let mut items = parts.iter().filter_map(|part| Some((part, part.keywords.get("items")?)));
        match (items.next(), items.next()) {
            (Some((part, items)), None) => {
                let name = Name { parent: name.parent.clone(), own: format!("{}Item", name.own) };
                let items = self.view(&format!("{}/items", part.pointer), items, &name.titled(items));
                json!({ "type": "array", "items": items })
            }
            (None, _) => json!({ "type": "array" }),
            (Some(_), Some(_)) => self.refuse(pointer, "several schemas say what its items are (`allOf`)"),
        }
    }

    fn object(&mut self, pointer: &str, parts: &[Part<'a>], name: &Name) -> Value {
        let mut members: BTreeMap<&str, Vec<(String, &'a Value)>> = BTreeMap::new();
        for part in parts {
            for (member, schema) in part.keywords.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let at = format!("{}/properties/{}", part.pointer, escaped(member));
                let schemas = members.entry(member).or_default();
                // what says nothing of the shape adds nothing
                if schemas.is_empty() || is_shaping(schema) {
                    schemas.retain(|(_, earlier)| is_shaping(earlier) && *earlier != schema);
                    schemas.push((at, schema));
                }
            }
        }
        let by_pattern = parts.iter().any(|part| part.keywords.contains_key("patternProperties"));
        let mut additional = parts.iter().filter_map(|part| Some((part, part.keywords.get("additionalProperties")?)));
        let additional = additional.find(|(_, schema)| !by_pattern && is_shaping(schema));
        if members.is_empty() {
            let mut view = json!({ "type": "object" });
            if let Some((part, schema)) = additional {
                view["additionalProperties"] = self.rest(part, schema, name);
            }
            return view;
        }
        let own = self.claim(name);
        let mut view = json!({ "type": "object", "title": own });
        if let Some((part, schema)) = additional {
            view["additionalProperties"] = self.rest(part, schema, &Name { parent: own.clone(), own: own.clone() });
        }
        let elsewhere: Vec<_> = elsewhere(parts).into_iter().filter(|member| !members.contains_key(member)).collect();
        if by_pattern || !elsewhere.is_empty() {
            let named = elsewhere.iter().map(|member| format!("`{member}`"));
            let left = named.chain(by_pattern.then(|| "what `patternProperties` names".to_owned()));
            let why = format!("{}, which only some documents have", left.collect::<Vec<_>>().join(", "));
            self.untyped.push((pointer.to_owned(), why.clone()));
            view["description"] = format!("Not in this type: {why}.").into();
        }
        let required = parts.iter().filter_map(|part| part.keywords.get("required")?.as_array()).flatten();
        let required: BTreeSet<_> =
            required.filter_map(Value::as_str).filter(|name| members.contains_key(name)).collect();
        view["required"] = json!(required);
        let mut properties = Map::new();
        for (member, schemas) in members {
            let view = match schemas.as_slice() {
                [(at, schema)] => {
                    let name = Name { parent: own.clone(), own: pascal(member) };
                    self.view(at, schema, &name.titled(schema))
                }
                _ => self.refuse(
                    &format!("{pointer}/properties/{}", escaped(member)),
                    "several schemas describe it (`allOf`)",
                ),
            };
            properties.insert(member.to_owned(), view);
        }
        view["properties"] = properties.into();
        view
    }

    /// The members of an object that have no names of their own.
    fn rest(&mut self, part: &Part<'a>, schema: &'a Value, name: &Name) -> Value {
        let name = Name { parent: name.parent.clone(), own: format!("{}Value", name.own) };
        self.view(&format!("{}/additionalProperties", part.pointer), schema, &name.titled(schema))
    }

    /// One of some values.
    fn listed(&mut self, pointer: &str, values: &[Value], name: &Name) -> Value {
        let nullable = values.contains(&Value::Null);
        let mut kinds: BTreeSet<_> = values.iter().map(kind_of).filter(|kind| *kind != "null").collect();
        if kinds.contains("number") {
            kinds.remove("integer");
        }
        let kinds: Vec<_> = kinds.into_iter().collect();
        let view = match kinds.as_slice() {
            [] => json!({ "type": "null" }),
            ["string"] => {
                let texts: BTreeSet<_> = values.iter().filter_map(Value::as_str).collect();
                json!({ "type": "string", "title": self.claim(name), "enum": texts })
            }
            [kind @ ("integer" | "number" | "boolean")] => json!({ "type": kind }),
            [_] => return self.refuse(pointer, "it lists objects or arrays (`enum`, `const`)"),
            _ => return self.refuse(pointer, "it lists values of several JSON types (`enum`)"),
        };
        or_null(view, nullable && !kinds.is_empty())
    }

    /// One of several schemas.
    fn alternatives(&mut self, pointer: &str, word: &str, branches: &[(usize, &'a Value)], name: &Name) -> Value {
        let at = |index: usize| format!("{pointer}/{word}/{index}");
        let mut rest = Vec::new();
        let mut nullable = false;
        for (index, branch) in branches {
            match self.parts(&at(*index), branch, 0) {
                Some(parts) if kinds(&parts) == Some(BTreeSet::from(["null"])) => nullable = true,
                Some(parts) => rest.push((at(*index), *branch, parts)),
                // nothing is valid there
                None => {}
            }
        }
        if let [(at, branch, _)] = rest.as_slice() {
            return or_null(self.view(at, branch, &name.clone().titled(branch)), nullable);
        }
        let listed: Option<Vec<_>> =
            rest.iter().map(|(_, _, parts)| parts.iter().find_map(|part| values(part.keywords))).collect();
        if let Some(listed) = listed {
            let listed: Vec<_> = listed.into_iter().flatten().chain(nullable.then_some(Value::Null)).collect();
            return self.listed(pointer, &listed, name);
        }
        let tag = tag(rest.iter().map(|(_, _, parts)| parts.as_slice()));
        let of: Vec<_> = rest.iter().map(|(_, _, parts)| kinds(parts).unwrap_or_default()).collect();
        let all: BTreeSet<_> = of.iter().flatten().copied().collect();
        let apart = of.iter().all(|kinds| kinds.len() == 1)
            && all.len() == of.len()
            && !(all.contains("integer") && all.contains("number"));
        if tag.is_none() && !apart {
            let why = format!(
                "its alternatives (`{word}`) differ neither in their JSON type nor in a required member with a `const`"
            );
            return self.refuse(pointer, &why);
        }
        let own = self.claim(name);
        let mut views = Vec::new();
        for ((at, branch, parts), kinds) in rest.iter().zip(&of) {
            let kind = kinds.first().copied().unwrap_or("object");
            let name = Name { parent: own.clone(), own: pascal(kind) };
            views.push(match &tag {
                Some(tag) => {
                    let mut view = self.object(at, parts, &name);
                    if let Some(keywords) = view.as_object_mut() {
                        // a variant, and no type beside it
                        keywords.remove("title").and_then(|title| self.taken.take(title.as_str()?));
                    }
                    let value = tag_value(parts, tag);
                    view["properties"][tag] = json!({ "type": "string", "enum": [value] });
                    view
                }
                None => self.view(at, branch, &name.titled(branch)),
            });
        }
        choice_of(views, nullable, &own)
    }
}

impl Name {
    /// With the title of a schema in place of its own, if it is fit to be a name.
    fn titled(mut self, schema: &Value) -> Self {
        if let Some(title) = title(schema) {
            self.own = title.to_owned();
        }
        self
    }
}

fn choice_of(mut views: Vec<Value>, nullable: bool, name: &str) -> Value {
    views.sort_by_key(|view| view.get("type") == Some(&json!("number")));
    or_null(json!({ "title": name, "oneOf": views }), nullable)
}

fn escaped(member: &str) -> String {
    member.replace('~', "~0").replace('/', "~1")
}
