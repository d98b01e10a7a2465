//! A group's name, in the three spellings that it needs.
//!
//! `order-receipts` names the group, its folder, package and binary; `order_receipts` its crate; `OrderReceipts` its resources
//! and its type. Guarantees: all three are legal where they stand. Whether they are free is for the project to say.

use heck::{ToKebabCase, ToUpperCamelCase};

use crate::terminal::harmless;

/// Characters of a name, as many as the CDK app takes. CloudFormation puts the stack's name before a resource's and some
/// characters of its own after it, within 64 for a function or a role and 80 for a queue:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
pub(super) const CHARACTERS_MAX: usize = 40;

/// Characters of a name that are repeated where it is refused.
const QUOTE_MAX: usize = 80;

/// Crates cannot be called so: <https://doc.rust-lang.org/reference/keywords.html>
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "unsafe", "unsized", "use", "virtual", "where",
];
const MORE_KEYWORDS: [&str; 4] = ["typeof", "union", "while", "yield"];

/// Rust's own crates.
const CRATES_OF_RUST: [&str; 5] = ["alloc", "core", "proc-macro", "std", "test"];

/// Folders that cargo has beside the binaries, of which one would have this name.
const FOLDERS_OF_CARGO: [&str; 4] = ["build", "deps", "examples", "incremental"];

/// A name that a group can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

/// Why a group cannot have a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("`{0}` is no name of a group: it has small letters, digits and single hyphens, and begins with a letter")]
    Letters(String),
    #[error("`{0}` has {1} characters; the names of what AWS makes of it leave room for {CHARACTERS_MAX}")]
    Long(String, usize),
    #[error("`{0}` is a word of Rust, and no crate can be called so")]
    Keyword(String),
    #[error("`{0}` is a crate of Rust itself")]
    CrateOfRust(String),
    #[error("`{0}` is a folder that cargo keeps beside the binaries")]
    FolderOfCargo(String),
}

impl Name {
    /// The name `text`, if it is one.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let told = || harmless(&text.chars().take(QUOTE_MAX).collect::<String>());
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !text.split('-').all(part) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(Error::Letters(told()));
        }
        if text.len() > CHARACTERS_MAX {
            return Err(Error::Long(told(), text.len()));
        }
        if KEYWORDS.contains(&text) || MORE_KEYWORDS.contains(&text) {
            return Err(Error::Keyword(told()));
        }
        if CRATES_OF_RUST.contains(&text) {
            return Err(Error::CrateOfRust(told()));
        }
        if FOLDERS_OF_CARGO.contains(&text) {
            return Err(Error::FolderOfCargo(told()));
        }
        Ok(Self(text.to_owned()))
    }

    /// `order-receipts`.
    pub(super) fn kebab(&self) -> &str {
        &self.0
    }

    /// `order_receipts`.
    pub(super) fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `OrderReceipts`.
    pub(super) fn logical(&self) -> String {
        self.0.to_upper_camel_case()
    }
}

/// Names that come close to `text`, the closest first.
pub(super) fn like(text: &str) -> impl Iterator<Item = Name> {
    let ascii: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let kebab = ascii.to_kebab_case();
    let kebab = kebab.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let base = if kebab.is_empty() { "order-receipts" } else { kebab }.to_owned();
    let endings = ["".to_owned(), "-group".to_owned()].into_iter().chain((2..10).map(|n| format!("-group-{n}")));
    endings
        .filter_map(move |ending| Name::parse(&format!("{}{ending}", cut(&base, CHARACTERS_MAX - ending.len()))).ok())
}

/// At most `max` characters of a name, of whole words where it has several.
fn cut(kebab: &str, max: usize) -> &str {
    if kebab.len() <= max {
        return kebab;
    }
    // one more: it may end with a word
    kebab[..=max].rfind('-').map_or(&kebab[..max], |end| &kebab[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (String, String) {
        let error = Name::parse(text).unwrap_err().to_string();
        (error, like(text).next().unwrap().0)
    }

    #[test]
    fn a_name_has_three_spellings() {
        let name = Name::parse("order-2-receipts").unwrap();
        assert_eq!(
            (name.kebab(), &*name.snake(), &*name.logical()),
            ("order-2-receipts", "order_2_receipts", "Order2Receipts")
        );
        assert_eq!(Name::parse("a").unwrap().logical(), "A");
        Name::parse(&"a".repeat(CHARACTERS_MAX)).unwrap();
    }

    #[test]
    fn another_spelling_is_told_the_right_one() {
        for text in ["OrderReceipts", "order_receipts", "order receipts", "-order--receipts-", "9-order-receipts", "_"]
        {
            let (error, like) = told(text);
            assert!(error.starts_with(&format!("`{text}` is no name of a group")), "{error}");
            assert_eq!(like, "order-receipts", "{text}");
        }
        for text in ["", "ä", "order\u{1b}[2J", "../order", "order/receipts", "Order.toml"] {
            assert!(matches!(Name::parse(text), Err(Error::Letters(told)) if !told.contains('\u{1b}')), "{text}");
            assert!(like(text).next().is_some(), "{text}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_words() {
        let (error, short) = told(&"receipts-".repeat(9)[..80]);
        assert!(error.contains("has 80 characters"), "{error}");
        assert_eq!(short, "receipts-receipts-receipts-receipts");
        assert_eq!(told(&"a".repeat(80)).1, "a".repeat(40));
        assert_eq!(told(&format!("{}-b", "a".repeat(40))).1, "a".repeat(40));
    }

    #[test]
    fn what_no_crate_can_be_called_is_refused() {
        for (text, why) in
            [("type", "a word of Rust"), ("test", "a crate of Rust"), ("deps", "a folder that cargo keeps")]
        {
            let (error, like) = told(text);
            assert!(error.contains(why), "{error}");
            assert_eq!(like, format!("{text}-group"));
        }
    }
}
