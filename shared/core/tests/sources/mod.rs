//! The files of a crate with what they name: uses, and paths in code.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, UseTree, Visibility};

/// A crate's files, by their paths from its folder of sources on.
pub(crate) struct Sources {
    pub(crate) root: String,
    pub(crate) files: BTreeMap<String, Source>,
}

/// What a file names, apart from what is compiled for tests only.
#[derive(Default)]
pub(crate) struct Source {
    /// `None` for the root.
    pub(crate) parent: Option<String>,
    /// Its modules' files, by name.
    pub(crate) children: BTreeMap<String, String>,
    pub(crate) uses: Vec<Use>,
    /// Paths of types, values and macros' tokens.
    pub(crate) paths: Vec<Vec<String>>,
}

/// One name of a `use`.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) path: Vec<String>,
    /// What it is called in the file.
    pub(crate) name: String,
    pub(crate) reexport: bool,
}

impl Sources {
    /// Reads `root` and all modules below it.
    ///
    /// # Panics
    /// On what it cannot follow: a module in its parent's file, a path of its own, a glob.
    pub(crate) fn read(root: &str, text: impl Fn(&str) -> Option<String>) -> Self {
        let mut files = BTreeMap::new();
        let mut open = vec![(root.to_owned(), String::new(), None)];
        while let Some((file, folder, parent)) = open.pop() {
            let code = text(&file).unwrap_or_else(|| panic!("{file} cannot be read"));
            let code = syn::parse_file(&code).unwrap_or_else(|error| panic!("{file}: {error}"));
            let mut source = Source { parent, ..Source::default() };
            source.visit_file(&code);
            for (name, child) in &mut source.children {
                *child = format!("{folder}{name}.rs");
                open.push((child.clone(), format!("{folder}{name}/"), Some(file.clone())));
            }
            files.insert(file, source);
        }
        Self { root: root.to_owned(), files }
    }
}

fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let cfg_test = || attribute.parse_args::<syn::Ident>().is_ok_and(|flag| flag == "test");
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && cfg_test()
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'a> Visit<'a> for Source {
    fn visit_item(&mut self, item: &'a Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        if !matches!(item, ImplItem::Fn(function) if for_tests(&function.attrs)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        let own_path = item.attrs.iter().any(|attribute| attribute.path().is_ident("path"));
        assert!(item.content.is_none() && !own_path, "module {} has no file of its own name", item.ident);
        self.children.insert(item.ident.to_string(), String::new());
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let reexport = !matches!(item.vis, Visibility::Inherited);
        self.use_tree(&item.tree, &mut Vec::new(), reexport);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, of: &'a syn::Macro) {
        visit::visit_macro(self, of);
        // names that `::` joins; text and numbers among them name nothing of the crate
        let tokens = of.tokens.to_string().replace(" :: ", "::").replace(":: ", "::").replace(" ::", "::");
        let names = tokens.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let path = |name: &str| name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        self.paths.extend(names.map(path).filter(|path: &Vec<String>| !path.is_empty()));
    }

    // `#[doc]` and its like import nothing
    fn visit_attribute(&mut self, _: &'a Attribute) {}
}

impl Source {
    fn use_tree(&mut self, tree: &UseTree, before: &mut Vec<String>, reexport: bool) {
        let mut bind = |last: &syn::Ident, name: &syn::Ident| {
            // `use a::{self}` is `use a`
            let own = last == "self" && !before.is_empty();
            let path: Vec<_> = before.iter().cloned().chain((!own).then(|| last.to_string())).collect();
            let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name.to_string() };
            self.uses.push(Use { path, name, reexport });
        };
        match tree {
            UseTree::Name(tree) => bind(&tree.ident, &tree.ident),
            UseTree::Rename(tree) => bind(&tree.ident, &tree.rename),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(tree, before, reexport)),
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.use_tree(&path.tree, before, reexport);
                before.pop();
            }
            UseTree::Glob(_) => panic!("what {}::* names is not known here: name it", before.join("::")),
        }
    }
}
