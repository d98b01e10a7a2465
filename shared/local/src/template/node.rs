//! A template as a tree: YAML with line numbers, CloudFormation's short tags written out.
//!
//! Guarantees: a tree of at most [`DEPTH_MAX`] collections in each other, in which every member of a mapping has a name
//! of its own. Read from the parser's events, so that neither nesting nor an alias is ever followed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, Span, Tag};

use super::Problem;
use super::problem::quoted;

/// Levels of nesting; far beyond any template, far below any stack.
const DEPTH_MAX: usize = 64;

/// Bytes of a template: CloudFormation's own bound.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
const BYTES_MAX: usize = 1024 * 1024;

/// Functions that have a short tag, `!Sub` for `Fn::Sub`. `Ref` and `Condition` are their own long forms.
const TAGS: [&str; 17] = [
    "And",
    "Base64",
    "Cidr",
    "Equals",
    "FindInMap",
    "GetAZs",
    "GetAtt",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Select",
    "Split",
    "Sub",
    "Transform",
];

/// Tags of YAML itself that leave a scalar's text or a collection as it is.
const CORE_TAGS: [&str; 7] = ["str", "int", "float", "bool", "null", "map", "seq"];

/// A node and its line; of a mapping's member, the line of its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What a node is. Scalars are text: CloudFormation does not tell `1` from `"1"`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// The members of a mapping; none of anything else.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Text(_) | Kind::List(_) => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Text(_) | Kind::Map(_) => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Whether it is what `Name:` with nothing behind it gives.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.text(), Some("" | "~" | "null"))
    }
}

/// A collection that is not closed yet.
struct Open {
    line: usize,
    tag: Option<String>,
    items: Vec<Node>,
    /// Of a mapping: the names so far, the last one perhaps still without its value.
    names: Option<Members>,
}

#[derive(Default)]
struct Members {
    in_order: Vec<(String, usize)>,
    lines: BTreeMap<String, usize>,
}

impl Open {
    /// Whether the next node is the name of a member.
    fn awaits_name(&self) -> bool {
        self.names.as_ref().is_some_and(|names| names.in_order.len() == self.items.len())
    }

    fn push(&mut self, mut node: Node) {
        if let Some((_, line)) = self.names.as_ref().and_then(|names| names.in_order.last()) {
            node.line = *line;
        }
        self.items.push(node);
    }

    fn close(self) -> Node {
        let kind = match self.names {
            None => Kind::List(self.items),
            Some(names) => Kind::Map(names.in_order.into_iter().map(|(name, _)| name).zip(self.items).collect()),
        };
        written_out(self.line, self.tag, kind)
    }
}

/// Parses one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > BYTES_MAX {
        return Err(problem(1, format!("{} bytes; CloudFormation takes {BYTES_MAX}", text.len())));
    }
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| problem(error.marker().line(), format!("not valid YAML: {}", error.info())))?;
        let line = span.start.line();
        let node = match event {
            Event::Scalar(text, _, _, tag) => match open.last_mut() {
                Some(parent) if parent.awaits_name() => {
                    name(parent, &text, tag, &span)?;
                    continue;
                }
                _ => written_out(line, tag_name(tag, line)?, Kind::Text(text.into_owned())),
            },
            Event::SequenceStart(_, tag) => {
                start(&mut open, line, tag_name(tag, line)?, None)?;
                continue;
            }
            Event::MappingStart(_, tag) => {
                start(&mut open, line, tag_name(tag, line)?, Some(Members::default()))?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(collection) => collection.close(),
                None => return Err(problem(line, "not valid YAML: an end without a start")),
            },
            Event::Alias(_) => return Err(problem(line, "YAML aliases are not supported; write it out")),
            Event::DocumentStart(_) if root.is_some() => {
                return Err(problem(line, "a template is one YAML document; this is a second one"));
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        };
        match open.last_mut() {
            Some(parent) => parent.push(node),
            None => root = Some(node),
        }
    }
    root.ok_or_else(|| problem(1, "the template is empty"))
}

fn problem(line: usize, what: impl Into<String>) -> Problem {
    Problem::new(line, "", what)
}

fn name(parent: &mut Open, text: &str, tag: Option<Cow<'_, Tag>>, span: &Span) -> Result<(), Problem> {
    let line = span.start.line();
    if tag.is_some() {
        return Err(problem(line, "the name of a member must be plain text"));
    }
    let names = parent.names.get_or_insert_default();
    if let Some(first) = names.lines.insert(text.to_owned(), line) {
        return Err(problem(line, format!("{} is there twice, first in line {first}", quoted(text))));
    }
    names.in_order.push((text.to_owned(), line));
    Ok(())
}

fn start(open: &mut Vec<Open>, line: usize, tag: Option<String>, names: Option<Members>) -> Result<(), Problem> {
    if open.last().is_some_and(Open::awaits_name) {
        return Err(problem(line, "the name of a member must be plain text"));
    }
    if open.len() >= DEPTH_MAX {
        return Err(problem(line, format!("nested deeper than {DEPTH_MAX} levels")));
    }
    open.push(Open { line, tag, items: Vec::new(), names });
    Ok(())
}

/// The function that a tag stands for, in its long form.
fn tag_name(tag: Option<Cow<'_, Tag>>, line: usize) -> Result<Option<String>, Problem> {
    let Some(tag) = tag else { return Ok(None) };
    let suffix = tag.suffix.as_str();
    match tag.handle.as_str() {
        "!" if suffix == "Ref" || suffix == "Condition" => Ok(Some(suffix.to_owned())),
        "!" if TAGS.contains(&suffix) => Ok(Some(format!("Fn::{suffix}"))),
        _ if tag.is_yaml_core_schema() && CORE_TAGS.contains(&suffix) => Ok(None),
        handle => {
            Err(problem(line, format!("{} is not supported on this machine", quoted(&format!("{handle}{suffix}")))))
        }
    }
}

/// `!Ref X` is `{Ref: X}`, `!Sub X` is `{Fn::Sub: X}`.
fn written_out(line: usize, function: Option<String>, kind: Kind) -> Node {
    let node = Node { line, kind };
    match function {
        Some(function) => Node { line, kind: Kind::Map(vec![(function, node)]) },
        None => node,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_tags_are_written_out_and_a_member_has_the_line_of_its_name() {
        let node =
            parse("a:\n  b: !Ref X\n  c: [!GetAtt Y.Arn, '1']\n  d:\n    e: !Sub\n      - x\n      - {}\n").unwrap();
        let a = node.get("a").unwrap();
        let b = a.get("b").unwrap();
        assert_eq!((b.line, b.get("Ref").unwrap().text()), (2, Some("X")));
        assert_eq!(a.get("c").unwrap().items()[0].get("Fn::GetAtt").unwrap().text(), Some("Y.Arn"));
        assert_eq!(a.get("d").unwrap().line, 4);
        assert_eq!(a.get("d").unwrap().get("e").unwrap().get("Fn::Sub").unwrap().items().len(), 2);
    }

    #[test]
    fn what_is_no_template_is_told_with_its_line() {
        let large = "x".repeat(BYTES_MAX + 1);
        for (text, part) in [
            ("", "empty"),
            ("a: 1\na: 2", "`a` is there twice, first in line 1"),
            ("a: &x 1\nb: *x", "aliases are not supported"),
            ("a: !Weird 1", "`!Weird` is not supported"),
            ("a: !<!Ref> X", "is not supported"),
            ("a: !!binary X", "is not supported"),
            ("!Ref a: X", "must be plain text"),
            ("? [a]\n: X", "must be plain text"),
            ("a: [1", "not valid YAML"),
            ("a: 1\n---\nb: 1", "this is a second one"),
            (large.as_str(), "CloudFormation takes 1048576"),
        ] {
            let problem = parse(text).expect_err(part);
            assert!(problem.what.contains(part), "{part} in {problem:?}");
        }
    }

    #[test]
    fn nesting_of_any_kind_is_refused_and_overflows_no_stack() {
        let mut indented = String::new();
        for level in 0..1_000 {
            indented.push_str(&format!("{}a:\n", " ".repeat(level)));
        }
        for text in ["[".repeat(10_000), "{a: ".repeat(10_000), "- ".repeat(10_000), indented, "? ".repeat(10_000)] {
            let problem = parse(&text).expect_err("it is refused");
            // the parser's own limit may come first
            let expected = ["nested deeper than 64 levels", "must be plain text", "recursion limit exceeded"];
            assert!(expected.iter().any(|part| problem.what.contains(part)), "{problem:?}");
        }
    }

    #[test]
    fn aliases_in_aliases_take_no_memory() {
        let mut text = "a0: &a0 [ha, ha]\n".to_owned();
        for level in 1..40 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{alias}, {alias}]\n"));
        }
        assert_eq!(parse(&text).unwrap_err().line, 2);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", yaml in "[a-z:\\[\\]{}!&*\\- \\n'\"|>#,?%@]{0,200}") {
            let _ = parse(&text);
            let _ = parse(&yaml);
        }
    }
}
