//! A template as a tree: YAML with line numbers, CloudFormation's short tags written out.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, Span, Tag};

use super::Problem;

/// Levels of nesting; far beyond any template, far below any stack.
const DEPTH_MAX: usize = 64;

/// Bytes of a template: CloudFormation's own bound.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
const BYTES_MAX: usize = 1024 * 1024;

/// A node and its line.
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

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }
}

fn problem(line: usize, what: impl Into<String>) -> Problem {
    Problem { line, place: String::new(), what: what.into() }
}

/// A collection that is not closed yet.
struct Open {
    line: usize,
    tag: Option<String>,
    items: Vec<Node>,
    /// Of a mapping: the keys so far, the last one perhaps still without its value.
    keys: Option<Vec<(String, usize)>>,
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
        let node = match event {
            Event::Scalar(text, _, _, tag) => {
                if let Some(Open { keys: Some(keys), items, line, .. }) = open.last_mut()
                    && keys.len() == items.len()
                {
                    key(keys, &text, &span, *line)?;
                    continue;
                }
                finish(line(&span), tag_name(tag), Kind::Text(text.into_owned()))?
            }
            Event::SequenceStart(_, tag) => {
                start(&mut open, &span, tag, None)?;
                continue;
            }
            Event::MappingStart(_, tag) => {
                start(&mut open, &span, tag, Some(Vec::new()))?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open { line, tag, items, keys: None }) => finish(line, tag, Kind::List(items))?,
                Some(Open { line, tag, items, keys: Some(keys) }) => {
                    let names = keys.into_iter().map(|(name, _)| name);
                    finish(line, tag, Kind::Map(names.zip(items).collect()))?
                }
                None => return Err(problem(line(&span), "not valid YAML: an end without a start")),
            },
            Event::Alias(_) => return Err(problem(line(&span), "YAML aliases are not supported; write it out")),
            Event::DocumentStart(_) if root.is_some() => {
                return Err(problem(line(&span), "a template is one YAML document; this is a second one"));
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        };
        match open.last_mut() {
            Some(parent) => parent.items.push(node),
            None => root = Some(node),
        }
    }
    root.ok_or_else(|| problem(1, "the template is empty"))
}

fn line(span: &Span) -> usize {
    span.start.line()
}

fn key(keys: &mut Vec<(String, usize)>, text: &str, span: &Span, _map: usize) -> Result<(), Problem> {
    if let Some((_, first)) = keys.iter().find(|(name, _)| name == text) {
        return Err(problem(line(span), format!("`{text}` is there twice, first in line {first}")));
    }
    keys.push((text.to_owned(), line(span)));
    Ok(())
}

fn start(
    open: &mut Vec<Open>,
    span: &Span,
    tag: Option<Cow<'_, Tag>>,
    keys: Option<Vec<(String, usize)>>,
) -> Result<(), Problem> {
    if let Some(Open { keys: Some(keys), items, .. }) = open.last()
        && keys.len() == items.len()
    {
        return Err(problem(line(span), "the name of a member must be plain text"));
    }
    if open.len() >= DEPTH_MAX {
        return Err(problem(line(span), format!("nested deeper than {DEPTH_MAX} levels")));
    }
    open.push(Open { line: line(span), tag: tag_name(tag), items: Vec::new(), keys });
    Ok(())
}

fn tag_name(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    tag.filter(|tag| tag.handle == "!").map(|tag| tag.suffix.clone())
}

/// Writes a short tag out: `!Ref X` is `{Ref: X}`, `!Sub X` is `{Fn::Sub: X}`.
fn finish(line: usize, tag: Option<String>, kind: Kind) -> Result<Node, Problem> {
    let node = Node { line, kind };
    let Some(tag) = tag else { return Ok(node) };
    let name = match tag.as_str() {
        "Ref" | "Condition" => tag,
        "GetAtt" | "Sub" | "If" | "Join" | "Equals" | "Not" | "And" | "Or" | "Select" | "Split" | "FindInMap" => {
            format!("Fn::{tag}")
        }
        _ => return Err(problem(line, format!("`!{tag}` is not supported on this machine"))),
    };
    Ok(Node { line, kind: Kind::Map(vec![(name, node)]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_tags_are_written_out_and_lines_are_kept() {
        let node = parse("a:\n  b: !Ref X\n  c: [!GetAtt Y.Arn, '1']\n").unwrap();
        let b = node.get("a").unwrap().get("b").unwrap();
        assert_eq!((b.line, b.get("Ref").unwrap().text()), (2, Some("X")));
        let Kind::List(c) = &node.get("a").unwrap().get("c").unwrap().kind else { panic!("a list") };
        assert_eq!(c[0].get("Fn::GetAtt").unwrap().text(), Some("Y.Arn"));
    }

    #[test]
    fn what_is_no_template_is_told_with_its_line() {
        let deep = "[".repeat(100);
        // the parser has a bound of its own, far above this one
        assert!(parse(&"[".repeat(100_000)).is_err());
        for (text, part) in [
            ("", "empty"),
            ("a: 1\na: 2", "`a` is there twice, first in line 1"),
            ("a: &x 1\nb: *x", "aliases are not supported"),
            ("a: !Weird 1", "`!Weird` is not supported"),
            ("a: [1", "not valid YAML"),
            (deep.as_str(), "nested deeper than 64 levels"),
        ] {
            let problem = parse(text).expect_err(part);
            assert!(problem.what.contains(part), "{part} in {problem:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:\\[\\]{}!&*\\- \\n'\"|>#,?]{0,200}") {
            let _ = parse(&text);
        }
    }
}
