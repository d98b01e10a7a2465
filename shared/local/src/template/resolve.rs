//! Intrinsic functions: from nodes to values.
//!
//! Guarantees: what cannot be resolved is a problem, and all values of a template together take a bounded amount of
//! memory, however often they name each other.

use std::collections::BTreeMap;

use super::Context;
use super::conditions::Condition;
use super::identity::Identity;
use super::names::{self, Names};
use super::node::{Kind, Node};
use super::parameters::{self, Parameter};
use super::problem::{Problem, below, quoted};
use super::substitution::{Piece, pieces};

/// Bytes that the values of a template may take. A template of the largest size without functions needs less.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a value takes beside its text, about.
const OVERHEAD: usize = 48;

/// A node without intrinsic functions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) line: usize,
    pub(super) kind: ValueKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueKind {
    /// What `AWS::NoValue` leaves.
    Absent,
    /// What could not be resolved, of which a problem tells: nothing more is to be said about it.
    Broken,
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    pub(super) fn absent(line: usize) -> Self {
        Self { line, kind: ValueKind::Absent }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            ValueKind::Text(text) => Some(text),
            ValueKind::Absent | ValueKind::Broken | ValueKind::List(_) | ValueKind::Map(_) => None,
        }
    }
}

/// Everything that an intrinsic function can name.
pub(super) struct Scope<'a> {
    pub(super) context: &'a Context,
    pub(super) names: Names,
    parameters: BTreeMap<String, Parameter>,
    mappings: Option<&'a Node>,
    pub(super) conditions: BTreeMap<String, Condition<'a>>,
    /// The resources that are there, as far as they have been named.
    pub(super) resources: BTreeMap<String, Identity>,
    /// The resources that are not there, and the condition that does not hold.
    pub(super) left_out: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Where the walk is, for problems.
    pub(super) place: String,
    /// Condition functions in each other, at the moment.
    pub(super) depth: usize,
    bytes_left: usize,
}

impl<'a> Scope<'a> {
    pub(super) fn new(root: &'a Node, context: &'a Context) -> Self {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let parameters = parameters::read(root, &context.parameters, &mut problems, &mut warnings);
        let conditions = root.get("Conditions").map(Node::entries).unwrap_or_default();
        let names = Names::new(root);
        names.check(root, &mut problems);
        let mut scope = Self {
            context,
            names,
            parameters,
            mappings: root.get("Mappings"),
            conditions: conditions.iter().map(|(name, node)| (name.clone(), Condition::Unread(node))).collect(),
            resources: BTreeMap::new(),
            left_out: BTreeMap::new(),
            problems,
            warnings,
            place: String::new(),
            depth: 0,
            bytes_left: BYTES_MAX,
        };
        scope.read_conditions(root);
        scope
    }

    pub(super) fn problem(&mut self, line: usize, what: impl Into<String>) {
        self.problems.push(Problem::new(line, &*self.place, what));
    }

    fn broken(&mut self, line: usize, what: impl Into<String>) -> ValueKind {
        self.problem(line, what);
        ValueKind::Broken
    }

    /// Takes `bytes` from what is left; `None`, and a problem the first time, if that is too little.
    fn spend(&mut self, bytes: usize, line: usize) -> Option<()> {
        if self.bytes_left == 0 {
            return None;
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes + OVERHEAD);
        if self.bytes_left == 0 {
            self.problem(line, format!("the template's values take more than {BYTES_MAX} bytes"));
            return None;
        }
        Some(())
    }

    fn text(&mut self, text: &str, line: usize) -> ValueKind {
        match self.spend(text.len(), line) {
            Some(()) => ValueKind::Text(text.to_owned()),
            None => ValueKind::Broken,
        }
    }

    /// Resolves a node.
    pub(super) fn resolve(&mut self, node: &Node) -> Value {
        let line = node.line;
        if self.bytes_left == 0 {
            return Value { line, kind: ValueKind::Broken };
        }
        let kind = match &node.kind {
            Kind::Text(text) => self.text(text, line),
            Kind::List(items) => {
                let items = items.iter().map(|item| self.resolve(item));
                ValueKind::List(items.filter(|item| item.kind != ValueKind::Absent).collect())
            }
            Kind::Map(entries) => match entries.as_slice() {
                [(name, argument)] if is_function(name) => self.call(name, argument),
                entries => self.members(entries),
            },
        };
        Value { line, kind }
    }

    fn members(&mut self, entries: &[(String, Node)]) -> ValueKind {
        if let Some((name, node)) = entries.iter().find(|(name, _)| is_function(name)) {
            return self.broken(node.line, format!("{} stands beside other members; it must be alone", quoted(name)));
        }
        let mut members = Vec::new();
        let place = self.place.clone();
        for (name, node) in entries {
            self.place = below(&place, name);
            let value = self.resolve(node);
            if value.kind != ValueKind::Absent && self.spend(name.len(), node.line).is_some() {
                members.push((name.clone(), value));
            }
        }
        self.place = place;
        ValueKind::Map(members)
    }

    /// Resolves what has to be text; `None`, and a problem, if it is not.
    pub(super) fn resolve_text(&mut self, node: &Node) -> Option<String> {
        let value = self.resolve(node);
        self.text_of(value)
    }

    fn text_of(&mut self, value: Value) -> Option<String> {
        match value.kind {
            ValueKind::Text(text) => Some(text),
            ValueKind::Broken => None,
            ValueKind::Absent => Some(String::new()),
            ValueKind::List(_) | ValueKind::Map(_) => {
                self.problem(value.line, "a list or a mapping stands where only text can");
                None
            }
        }
    }

    fn call(&mut self, name: &str, argument: &Node) -> ValueKind {
        let line = argument.line;
        match (name, argument.items()) {
            ("Ref", _) => match argument.text() {
                Some(target) => self.reference(target, line),
                None => self.broken(line, "`Ref` takes a name"),
            },
            ("Fn::GetAtt", _) => match names::attribute(argument) {
                Some((resource, attribute)) => self.attribute(resource, attribute, line),
                None => self.broken(line, "`Fn::GetAtt` takes Resource.Attribute"),
            },
            ("Fn::Sub", _) => self.substitute(argument),
            ("Fn::If", _) if self.depth > 0 => self.broken(line, "`Fn::If` cannot stand in a condition"),
            ("Fn::If", [Node { kind: Kind::Text(name), .. }, then, otherwise]) => {
                let holds = self.condition(name, line);
                self.resolve(if holds { then } else { otherwise }).kind
            }
            ("Fn::If", _) => self.broken(line, "`Fn::If` takes the name of a condition and two values"),
            ("Fn::Join", [by, items]) => self.join(by, items, line),
            ("Fn::Join", _) => self.broken(line, "`Fn::Join` takes a delimiter and a list"),
            ("Fn::Split", [by, text]) => self.split(by, text, line),
            ("Fn::Split", _) => self.broken(line, "`Fn::Split` takes a delimiter and a text"),
            ("Fn::Select", [index, items]) => self.select(index, items, line),
            ("Fn::Select", _) => self.broken(line, "`Fn::Select` takes an index and a list"),
            ("Fn::FindInMap", [map, top, second]) => self.find_in_map([map, top, second], line),
            ("Fn::FindInMap", _) => self.broken(line, "`Fn::FindInMap` takes a mapping and two keys"),
            ("Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not", _) => {
                self.broken(line, format!("`{name}` belongs under Conditions"))
            }
            _ => self.broken(line, format!("{} is not supported on this machine", quoted(name))),
        }
    }

    fn items(&mut self, node: &Node, function: &str) -> Option<Vec<Value>> {
        match self.resolve(node).kind {
            ValueKind::List(items) => Some(items),
            ValueKind::Broken => None,
            ValueKind::Absent | ValueKind::Text(_) | ValueKind::Map(_) => {
                self.problem(node.line, format!("`{function}` takes a list there"));
                None
            }
        }
    }

    fn join(&mut self, by: &Node, items: &Node, line: usize) -> ValueKind {
        let (Some(by), Some(items)) = (self.resolve_text(by), self.items(items, "Fn::Join")) else {
            return ValueKind::Broken;
        };
        let mut joined = String::new();
        for (index, item) in items.into_iter().enumerate() {
            let Some(text) = self.text_of(item) else { return ValueKind::Broken };
            if self.spend(by.len() + text.len(), line).is_none() {
                return ValueKind::Broken;
            }
            if index > 0 {
                joined.push_str(&by);
            }
            joined.push_str(&text);
        }
        ValueKind::Text(joined)
    }

    fn split(&mut self, by: &Node, text: &Node, line: usize) -> ValueKind {
        let (Some(by), Some(text)) = (self.resolve_text(by), self.resolve_text(text)) else {
            return ValueKind::Broken;
        };
        if by.is_empty() {
            return self.broken(line, "`Fn::Split` takes a delimiter that is not empty");
        }
        let parts = text.split(&by).map(|part| Value { line, kind: self.text(part, line) });
        ValueKind::List(parts.take_while(|part| part.kind != ValueKind::Broken).collect())
    }

    fn select(&mut self, index: &Node, items: &Node, line: usize) -> ValueKind {
        let (Some(index), Some(mut items)) = (self.resolve_text(index), self.items(items, "Fn::Select")) else {
            return ValueKind::Broken;
        };
        match index.parse::<usize>() {
            Ok(index) if index < items.len() => items.swap_remove(index).kind,
            _ => {
                let what = format!("`Fn::Select` has the index {} and a list of {}", quoted(&index), items.len());
                self.broken(line, what)
            }
        }
    }

    fn find_in_map(&mut self, path: [&Node; 3], line: usize) -> ValueKind {
        let path: Option<Vec<String>> = path.into_iter().map(|part| self.resolve_text(part)).collect();
        let Some(path) = path else { return ValueKind::Broken };
        let Some(found) = path.iter().try_fold(self.mappings, |node, name| Some(node?.get(name))).flatten() else {
            return self.broken(line, format!("there is no mapping {}", quoted(&path.join("."))));
        };
        // a mapping holds no functions: one that could name a mapping again might never end
        match &found.kind {
            Kind::Text(text) => self.text(text, line),
            Kind::List(items) if items.iter().all(|item| item.text().is_some()) => {
                let items = items.iter().map(|item| self.resolve(item));
                ValueKind::List(items.collect())
            }
            Kind::List(_) | Kind::Map(_) => self
                .broken(found.line, format!("the mapping {} must be text or a list of texts", quoted(&path.join(".")))),
        }
    }

    fn reference(&mut self, target: &str, line: usize) -> ValueKind {
        if self.bytes_left == 0 {
            return ValueKind::Broken;
        }
        let Context { region, account_id, stack_name, .. } = self.context;
        let pseudo = match target {
            "AWS::NoValue" => return ValueKind::Absent,
            "AWS::Region" => Some(region.clone()),
            "AWS::AccountId" => Some(account_id.clone()),
            "AWS::StackName" => Some(stack_name.clone()),
            "AWS::StackId" => Some(self.context.stack_id()),
            "AWS::Partition" => Some("aws".to_owned()),
            "AWS::URLSuffix" => Some("amazonaws.com".to_owned()),
            "AWS::NotificationARNs" => return ValueKind::List(Vec::new()),
            _ => None,
        };
        let own = || self.resources.get(target).map(|found| found.reference.clone());
        if let Some(text) = pseudo.or_else(own) {
            return self.text(&text, line);
        }
        match self.parameters.get(target).cloned() {
            Some(Parameter::Text(text)) => self.text(&text, line),
            Some(Parameter::List(items)) => {
                let items = items.iter().map(|text| Value { line, kind: self.text(text, line) });
                ValueKind::List(items.collect())
            }
            Some(Parameter::Missing) => ValueKind::Broken,
            None => {
                let what = self.names.no_reference(target);
                self.not_there(target, what, line)
            }
        }
    }

    fn attribute(&mut self, resource: &str, attribute: &str, line: usize) -> ValueKind {
        let found = self.resources.get(resource).and_then(|found| found.attribute(attribute)).map(str::to_owned);
        match found {
            Some(text) => self.text(&text, line),
            None => {
                let what = self.names.no_attribute(resource, attribute);
                self.not_there(resource, what, line)
            }
        }
    }

    /// `unknown` says what is wrong with the name; without it the name is known and what it names is not there.
    fn not_there(&mut self, name: &str, unknown: Option<String>, line: usize) -> ValueKind {
        let what = unknown.unwrap_or_else(|| match self.left_out.get(name) {
            Some(condition) => {
                format!("{} is not there, because its condition {} does not hold", quoted(name), quoted(condition))
            }
            None => format!("{} is a resource, which conditions and names cannot look at", quoted(name)),
        });
        self.broken(line, what)
    }

    fn substitute(&mut self, argument: &Node) -> ValueKind {
        let line = argument.line;
        let (text, variables) = match (&argument.kind, argument.items()) {
            (Kind::Text(text), _) => (text, &[][..]),
            (_, [Node { kind: Kind::Text(text), .. }, Node { kind: Kind::Map(variables), .. }]) => {
                (text, variables.as_slice())
            }
            _ => return self.broken(line, "`Fn::Sub` takes a text, or a text and its variables"),
        };
        let Some(pieces) = pieces(text) else {
            return self.broken(line, "`Fn::Sub` has a `${` without its `}`");
        };
        // once each: a variable may be named often, and its own variables too
        let variables: BTreeMap<&str, Option<String>> =
            variables.iter().map(|(name, node)| (name.as_str(), self.resolve_text(node))).collect();
        let mut out = String::new();
        for piece in pieces {
            let name = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Name(name) => name,
            };
            let value = match (variables.get(name), name.split_once('.')) {
                (Some(Some(text)), _) => self.text(text, line),
                (Some(None), _) => ValueKind::Broken,
                (None, Some((resource, attribute))) => self.attribute(resource, attribute, line),
                (None, None) => self.reference(name, line),
            };
            match self.text_of(Value { line, kind: value }) {
                Some(text) => out.push_str(&text),
                None => return ValueKind::Broken,
            }
        }
        self.text(&out, line)
    }
}

fn is_function(name: &str) -> bool {
    name == "Ref" || name.starts_with("Fn::")
}
