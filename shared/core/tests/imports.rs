//! No file of the core is in a circle of imports: each can be understood after those that it names.
//!
//! An import is a `use`, or a path in code and in macros, of what another file of the crate defines. A re-export (a `use`
//! that is `pub`) is none by itself, and who imports through one imports from the file that defines the name: so a noun can
//! hand on what its parts define, and the parts can build on it as long as it does not build on them. A parent's `mod` is
//! no import. What is compiled for tests only is left out. Methods are not seen: they need no import.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sources::{Sources, Use};

/// From a file to the files it imports from, and what.
type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn imports(sources: &Sources) -> Imports {
    let mut imports = Imports::new();
    for (file, source) in &sources.files {
        let uses = source.uses.iter().filter(|import| !import.reexport).map(|import| (&import.path, true));
        let paths = source.paths.iter().map(|path| (path, false));
        let mut by_use = BTreeSet::new();
        for (path, is_use) in uses.chain(paths) {
            let Some((defined_in, rest)) = resolve(sources, file, path, 0) else { continue };
            // a variable may be called as a module is; no value is a module
            if defined_in == *file || (!is_use && rest.is_empty()) {
                continue;
            }
            if is_use {
                by_use.insert(defined_in.clone());
            }
            // what a `use` has said need not be said by each path that it shortens
            if is_use || !by_use.contains(&defined_in) {
                let of = imports.entry(file.clone()).or_default().entry(defined_in).or_default();
                of.insert(path.join("::"));
            }
        }
    }
    imports
}

/// The file that defines what `path` names in `file`, and what is left of the path there. `None` for what the crate does
/// not define.
fn resolve(sources: &Sources, file: &str, path: &[String], depth: usize) -> Option<(String, Vec<String>)> {
    assert!(depth < 50, "{file}: `{}` is a use of itself", path.join("::"));
    let mut at = file.to_owned();
    let mut rest = path;
    let mut anchored = false;
    while let Some((first, later)) = rest.split_first() {
        let source = &sources.files[&at];
        at = match (first.as_str(), source.children.get(first)) {
            ("crate", _) => sources.root.clone(),
            ("super", _) => source.parent.clone()?,
            ("self", _) => at,
            (_, Some(child)) => child.clone(),
            (name, None) => {
                let bound = |import: &&Use| import.name == name && import.path != rest;
                match source.uses.iter().find(bound) {
                    Some(Use { path, .. }) => {
                        let whole: Vec<_> = path.iter().chain(later).cloned().collect();
                        return resolve(sources, &at, &whole, depth + 1);
                    }
                    // defined here, if it was looked for here; or of another crate
                    None => return anchored.then(|| (at, rest.to_vec())),
                }
            }
        };
        anchored = true;
        rest = later;
    }
    Some((at, Vec::new()))
}

/// A circle of imports, if there is one: the shortest, as its imports in turn.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    let shortest = imports.keys().filter_map(|start| back_to(start, imports)).min_by_key(Vec::len)?;
    let named = |(from, to): (&String, &String)| {
        let what: Vec<_> = imports[from][to].iter().map(String::as_str).collect();
        format!("{from} imports {} from {to}", what.join(", "))
    };
    Some(shortest.iter().zip(shortest.iter().cycle().skip(1)).map(named).collect())
}

/// The files of the shortest way from a file back to itself.
fn back_to(start: &str, imports: &Imports) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start.to_owned()]];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let next = way.last().and_then(|file| imports.get(file)).into_iter().flat_map(BTreeMap::keys);
            for file in next {
                if file == start {
                    return Some(way);
                }
                if seen.insert(file.clone()) {
                    longer.push(way.iter().chain([file]).cloned().collect());
                }
            }
        }
        ways = longer;
    }
    None
}

#[test]
fn no_file_of_the_core_is_in_a_circle_of_imports() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = Sources::read("lib.rs", |file| std::fs::read_to_string(src.join(file)).ok());
    let imports = imports(&sources);
    // that there is none to be found says nothing unless imports are
    assert!(imports["settle/run.rs"].contains_key("settle/lane.rs"), "{:?}", imports["settle/run.rs"]);
    assert!(imports["producer.rs"].contains_key("position.rs"), "{:?}", imports["producer.rs"]);
    assert!(!sources.files.contains_key("settle/tests.rs"));
    if let Some(circle) = circle(&imports) {
        panic!("a circle of imports in shared/core/src:\n  {}", circle.join("\n  "));
    }
}

fn circle_of(files: &[(&str, &str)]) -> Option<Vec<String>> {
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    circle(&imports(&Sources::read("lib.rs", |file| files.get(file).map(|text| (*text).to_owned()))))
}

#[test]
fn a_circle_is_found_and_named() {
    let circle = circle_of(&[
        ("lib.rs", "mod a; mod b; mod c; pub use c::C;"),
        ("a.rs", "mod part; use crate::b::{deep::{B, D}, E}; pub struct A;"),
        ("a/part.rs", "pub struct P;"),
        ("b.rs", "pub mod deep; use crate::C; pub struct E;"),
        ("b/deep.rs", "use std::fmt; use super::super::c; pub struct B; pub struct D;"),
        ("c.rs", "use super::a::A; pub struct C;"),
    ]);
    let expected =
        ["a.rs imports crate::b::E from b.rs", "b.rs imports crate::C from c.rs", "c.rs imports super::a::A from a.rs"];
    assert_eq!(circle.unwrap(), expected);
}

#[test]
fn a_path_in_code_and_in_a_macro_is_an_import() {
    let b = ("b.rs", "use crate::a::A; pub fn b(_: A) {}");
    let whole = [("lib.rs", "mod a; mod b;"), ("a.rs", "pub struct A; fn a() { crate::b::b(A) }"), b];
    assert_eq!(circle_of(&whole).unwrap().len(), 2);
    let in_macro = [("lib.rs", "mod a; mod b;"), ("a.rs", "pub struct A; fn a() { assert!(crate::b::b(A) == ()) }"), b];
    assert_eq!(circle_of(&in_macro).unwrap().len(), 2);
}

#[test]
fn a_re_export_is_a_circle_only_if_the_file_uses_the_name_itself() {
    let circle =
        |parent| circle_of(&[("lib.rs", "mod a;"), ("a.rs", parent), ("a/part.rs", "use super::A; pub struct P;")]);
    assert_eq!(circle("mod part; pub use part::P; pub struct A;"), None);
    assert_eq!(circle("mod part; pub(crate) use part::P as Q; pub struct A { part: Q }").unwrap().len(), 2);
    assert_eq!(circle("mod part; use part::P; pub struct A;").unwrap().len(), 2);
    // a sibling that asks the parent for a part asks the part
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod part; mod other; pub use part::P; use other::O;"),
        ("a/part.rs", "pub struct P;"),
        ("a/other.rs", "use super::P; pub struct O;"),
    ];
    assert_eq!(circle_of(&files), None);
}

#[test]
fn what_is_for_tests_only_is_left_out() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "pub struct A; #[cfg(test)] mod tests { use crate::b::B; fn t() { crate::b::b(); } } #[cfg(test)] mod more;",
        ),
        ("b.rs", "use crate::a::A; pub struct B; pub fn b() {}"),
    ];
    assert_eq!(circle_of(&files), None);
}
