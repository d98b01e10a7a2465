//! Rust types of a [`View`], by typify.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use schemars::schema::RootSchema;
use serde_json::{Map, Value, json};
use syn::parse::Parser;
use syn::{Attribute, Fields, GenericArgument, Item, PathArguments, Type};
use typify::{TypeSpace, TypeSpaceSettings};

use super::view::{self, ROOT, View};

const MAP: &str = "::std::collections::BTreeMap";

/// The types of a view.
pub(super) struct Types {
    pub(super) items: Vec<Item>,
    /// Whether the module `whole_numbers` is used.
    pub(super) has_integers: bool,
    /// What has no type: where in the schema or in its view, and why.
    pub(super) untyped: Vec<(String, String)>,
}

/// The types of a schema. A part of it that typify fails on has none, and is told with the others.
///
/// # Errors
/// What typify says if it fails on the whole, but on no part.
pub(super) fn of(schema: &Value) -> Result<Types, String> {
    let mut view = View::of(schema);
    let whole = made(&view.root, &view.definitions);
    let items = match whole {
        Ok(items) => items,
        Err(_) => {
            let mut found = Vec::new();
            mend(&mut view.root, "", &mut found);
            for (name, definition) in &mut view.definitions {
                mend(definition, &format!("/$defs/{name}"), &mut found);
            }
            view.untyped.extend(found);
            if let Some(keywords) = view.root.as_object_mut() {
                keywords.insert("title".to_owned(), ROOT.into());
            }
            made(&view.root, &view.definitions)?
        }
    };
    let mut has_integers = false;
    let items = items.into_iter().filter_map(|item| tidy(item, &mut has_integers)).collect();
    view.untyped.sort();
    Ok(Types { items, has_integers, untyped: view.untyped })
}

/// Replaces each part that no type can be made of, the innermost first.
fn mend(part: &mut Value, pointer: &str, found: &mut Vec<(String, String)>) {
    for word in ["properties", "oneOf", "items", "additionalProperties"] {
        match part.get_mut(word) {
            Some(Value::Object(members)) if word == "properties" => {
                for (member, schema) in members {
                    mend(schema, &format!("{pointer}/properties/{member}"), found);
                }
            }
            Some(Value::Array(branches)) => {
                for (index, branch) in branches.iter_mut().enumerate() {
                    mend(branch, &format!("{pointer}/{word}/{index}"), found);
                }
            }
            Some(schema @ Value::Object(_)) => mend(schema, &format!("{pointer}/{word}"), found),
            _ => {}
        }
    }
    let mut alone = part.clone();
    let Some(keywords) = alone.as_object_mut() else { return };
    keywords.insert("title".to_owned(), ROOT.into());
    if let Err(why) = made(&alone, &stubs(part)) {
        let is_text = part.get("enum").is_some();
        let description = part.get("description").and_then(Value::as_str).map(str::to_owned);
        *part = view::untyped(description.as_deref(), &why);
        if is_text {
            part["type"] = "string".into();
        }
        found.push((pointer.to_owned(), why));
    }
}

/// A definition for each reference: which one does not matter to whether a type can be made of what is around it.
fn stubs(part: &Value) -> Map<String, Value> {
    let mut found = Map::new();
    let mut below = vec![part];
    while let Some(value) = below.pop() {
        match value {
            Value::Object(members) => below.extend(members.values()),
            Value::Array(items) => below.extend(items),
            Value::String(text) => {
                if let Some(name) = text.strip_prefix("#/definitions/") {
                    found.insert(name.to_owned(), json!({ "type": "object" }));
                }
            }
            _ => {}
        }
    }
    found
}

/// What typify makes of it.
fn made(root: &Value, definitions: &Map<String, Value>) -> Result<Vec<Item>, String> {
    let mut document = root.clone();
    document["definitions"] = definitions.clone().into();
    let schema: RootSchema = serde_json::from_value(document).map_err(|error| error.to_string())?;
    let tokens = quietly(|| {
        let mut settings = TypeSpaceSettings::default();
        settings.with_map_type(MAP);
        let mut space = TypeSpace::new(&settings);
        space.add_root_schema(schema).map_err(|error| error.to_string())?;
        Ok(space.to_stream())
    })?;
    let file: syn::File = syn::parse2(tokens).map_err(|error| format!("what typify writes is no Rust: {error}"))?;
    check(&file.items)?;
    Ok(file.items)
}

/// Runs typify, which panics on what it does not foresee, and has its panic as an error.
fn quietly<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    done.unwrap_or_else(|panic| Err(format!("typify fails on it: {}", said(&*panic))))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

/// Refuses what does not compile, or what no document fits.
fn check(items: &[Item]) -> Result<(), String> {
    let mut types = BTreeSet::new();
    for item in items {
        let (name, mut names) = match item {
            Item::Struct(item) => (&item.ident, names(&item.fields)),
            Item::Enum(item) if item.variants.is_empty() => {
                return Err(format!("no document fits its type `{}`", item.ident));
            }
            Item::Enum(item) => (&item.ident, item.variants.iter().map(|variant| variant.ident.to_string()).collect()),
            _ => continue,
        };
        if !types.insert(name.to_string()) {
            return Err(format!("two types would be called `{name}`"));
        }
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two members would be called `{}`", pair[0]));
        }
    }
    if types.contains(ROOT) { Ok(()) } else { Err(format!("there is no type `{ROOT}`")) }
}

fn names(fields: &Fields) -> Vec<String> {
    fields.iter().filter_map(|field| Some(field.ident.as_ref()?.to_string())).collect()
}

/// A type with the attributes and the paths that a person would write; nothing of what typify implements beside it but the
/// text of an enum.
fn tidy(item: Item, has_integers: &mut bool) -> Option<Item> {
    match item {
        Item::Struct(mut item) => {
            dress(&mut item.attrs, "Debug, Clone, PartialEq, Serialize, Deserialize", None);
            tidy_fields(&mut item.fields, has_integers);
            Some(Item::Struct(item))
        }
        Item::Enum(mut item) => {
            let is_text =
                item.variants.iter().all(|variant| variant.fields.is_empty()) && serde_words(&item.attrs).is_empty();
            let derived = if is_text { "Debug, Clone, Copy, PartialEq, Eq, Hash" } else { "Debug, Clone, PartialEq" };
            dress(&mut item.attrs, &format!("{derived}, Serialize, Deserialize"), None);
            for variant in &mut item.variants {
                dress(&mut variant.attrs, "", None);
                tidy_fields(&mut variant.fields, has_integers);
            }
            Some(Item::Enum(item))
        }
        _ => None,
    }
}

fn tidy_fields(fields: &mut Fields, has_integers: &mut bool) {
    for field in fields {
        shorten(&mut field.ty);
        let reads_integers = is_of_integers(&field.ty);
        *has_integers |= reads_integers;
        dress(&mut field.attrs, "", reads_integers.then_some("super::super::whole_numbers::read"));
    }
}

/// Attributes anew: documentation, derives, what serde is told, and what reads the value.
fn dress(attributes: &mut Vec<Attribute>, derived: &str, reader: Option<&str>) {
    let mut lines: Vec<String> = docs(attributes).iter().map(|line| format!("#[doc = {line:?}]")).collect();
    if !derived.is_empty() {
        lines.push(format!("#[derive({derived})]"));
    }
    let mut words = serde_words(attributes);
    for (word, value) in &mut words {
        if let Some(text) = value {
            match (word.as_str(), text.replace(' ', "").as_str()) {
                // a member that must be there, be it null
                ("deserialize_with", _) => *text = "serde::Deserialize::deserialize".to_owned(),
                ("skip_serializing_if", path) => *text = shorter(path),
                _ => {}
            }
        }
    }
    if let Some(reader) = reader {
        words.retain(|(word, _)| word != "deserialize_with");
        // serde takes a member that is missing for none only where it chooses the reader itself
        if words.iter().any(|(word, _)| word == "skip_serializing_if")
            && !words.iter().any(|(word, _)| word == "default")
        {
            words.insert(0, ("default".to_owned(), None));
        }
        words.push(("deserialize_with".to_owned(), Some(reader.to_owned())));
    }
    if !words.is_empty() {
        let words = words.iter().map(|(word, value)| match value {
            Some(value) => format!("{word} = {value:?}"),
            None => word.clone(),
        });
        lines.push(format!("#[serde({})]", words.collect::<Vec<_>>().join(", ")));
    }
    *attributes = Attribute::parse_outer.parse_str(&lines.join("\n")).unwrap_or_default();
}

/// The lines of the documentation. typify repeats a type's name where there is none.
fn docs(attributes: &[Attribute]) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes {
        let syn::Meta::NameValue(pair) = &attribute.meta else { continue };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { continue };
        if pair.path.is_ident("doc") {
            lines.extend(text.value().lines().map(|line| line.trim().to_owned()));
        }
    }
    let end = lines.iter().position(|line| line.starts_with("<details>")).unwrap_or(lines.len());
    lines.truncate(end);
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    if let [line] = lines.as_slice()
        && line.starts_with('`')
        && line.ends_with('`')
    {
        lines.clear();
    }
    // nobody's description is to be compiled as an example
    lines.iter().map(|line| format!(" {}", line.replace("```", "'''").replace("~~~", "'''"))).collect()
}

/// What serde is told: words, and their values.
fn serde_words(attributes: &[Attribute]) -> Vec<(String, Option<String>)> {
    let mut words = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let read = attribute.parse_nested_meta(|meta| {
            let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let value = meta.value().ok().map(|value| value.parse::<syn::LitStr>()).transpose()?;
            words.push((word, value.map(|value| value.value())));
            Ok(())
        });
        if read.is_err() {
            break;
        }
    }
    words
}

/// A path without what the prelude has.
fn shorter(path: &str) -> String {
    let known = ["::std::option::", "::std::vec::", "::std::string::", "::std::boxed::"];
    let rest = known.iter().find_map(|prefix| path.strip_prefix(prefix));
    rest.unwrap_or_else(|| path.strip_prefix("::").unwrap_or(path)).to_owned()
}

fn shorten(kind: &mut Type) {
    let Type::Path(kind) = kind else { return };
    let path = &mut kind.path;
    if path.leading_colon.take().is_some() && path.segments.len() == 3 {
        let is_map = path.segments[1].ident == "collections";
        if !is_map && let Some(last) = path.segments.pop() {
            path.segments = [last.into_value()].into_iter().collect();
        }
    }
    for segment in &mut path.segments {
        if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
            for argument in &mut arguments.args {
                if let GenericArgument::Type(kind) = argument {
                    shorten(kind);
                }
            }
        }
    }
}

/// Whether a value is an integer, or holds some with no type of their own between.
fn is_of_integers(kind: &Type) -> bool {
    let Type::Path(kind) = kind else { return false };
    let Some(last) = kind.path.segments.last() else { return false };
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            matches!(arguments.args.last(), Some(GenericArgument::Type(kind)) if is_of_integers(kind))
        }
        _ => last.ident == "i64",
    }
}
