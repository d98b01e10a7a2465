//! Intrinsic functions: from nodes to values.

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use super::node::{Kind, Node};
use super::problem::{Problem, did_you_mean};

/// A node without intrinsic functions. `Absent` is what `AWS::NoValue` leaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) line: usize,
    pub(super) kind: ValueKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueKind {
    Absent,
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

/// What a resource is known by.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    /// What `Ref` gives.
    pub(super) reference: String,
    /// What `Fn::GetAtt` gives, by attribute.
    pub(super) attributes: BTreeMap<&'static str, String>,
}

/// Everything that an intrinsic function can name.
pub(super) struct Scope<'a> {
    pub(super) context: &'a Context,
    parameters: BTreeMap<String, Vec<String>>,
    mappings: Option<&'a Node>,
    conditions: BTreeMap<String, &'a Node>,
    pub(super) resources: BTreeMap<String, Identity>,
    pub(super) problems: Vec<Problem>,
    /// Where the walk is, for problems.
    pub(super) place: String,
    /// Conditions being looked at: one that comes up again refers to itself.
    looking: BTreeSet<String>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(root: &'a Node, context: &'a Context) -> Self {
        let conditions = root.get("Conditions").map(Node::entries).unwrap_or_default();
        let mut scope = Self {
            context,
            parameters: BTreeMap::new(),
            mappings: root.get("Mappings"),
            conditions: conditions.iter().map(|(name, node)| (name.clone(), node)).collect(),
            resources: BTreeMap::new(),
            problems: Vec::new(),
            place: String::new(),
            looking: BTreeSet::new(),
        };
        scope.read_parameters(root);
        scope
    }

    pub(super) fn problem(&mut self, line: usize, what: impl Into<String>) {
        let place = self.place.clone();
        self.problems.push(Problem { line, place, what: what.into() });
    }

    fn read_parameters(&mut self, root: &Node) {
        let declared = root.get("Parameters").map(Node::entries).unwrap_or_default();
        for name in self.context.parameters.keys() {
            if !declared.iter().any(|(known, _)| known == name) {
                let hint = did_you_mean(name, declared.iter().map(|(known, _)| known.as_str()));
                self.problem(0, format!("there is no parameter `{name}` to set{hint}"));
            }
        }
        for (name, node) in declared {
            self.place = format!("Parameters.{name}");
            let given = self.context.parameters.get(name).cloned();
            let default = node.get("Default").and_then(Node::text).map(str::to_owned);
            let Some(value) = given.or(default) else {
                self.problem(node.line, format!("has no default; set it with --parameter {name}=..."));
                continue;
            };
            let kind = node.get("Type").and_then(Node::text).unwrap_or("String");
            if let Some(Node { kind: Kind::List(allowed), .. }) = node.get("AllowedValues")
                && !allowed.iter().any(|one| one.text() == Some(&value))
            {
                let allowed: Vec<_> = allowed.iter().filter_map(Node::text).collect();
                self.problem(node.line, format!("is `{value}`; it must be one of {}", allowed.join(", ")));
            }
            if kind == "Number" {
                self.check_number(node, &value);
            }
            let list = kind == "CommaDelimitedList" || kind.starts_with("List<");
            let values = if list { value.split(',').map(|v| v.trim().to_owned()).collect() } else { vec![value] };
            self.parameters.insert(name.clone(), values);
        }
        self.place.clear();
    }

    fn check_number(&mut self, node: &Node, value: &str) {
        let Ok(number) = value.parse::<f64>() else {
            return self.problem(node.line, format!("is `{value}`; it must be a number"));
        };
        let bound = |name| node.get(name).and_then(Node::text).and_then(|text| text.parse::<f64>().ok());
        if bound("MinValue").is_some_and(|min| number < min) || bound("MaxValue").is_some_and(|max| number > max) {
            let show = |name| node.get(name).and_then(Node::text).unwrap_or("any").to_owned();
            let (min, max) = (show("MinValue"), show("MaxValue"));
            self.problem(node.line, format!("is {value}; it must be between {min} and {max}"));
        }
    }

    /// Resolves a node. What cannot be resolved becomes a problem and an empty text.
    pub(super) fn resolve(&mut self, node: &Node) -> Value {
        let kind = match &node.kind {
            Kind::Text(text) => ValueKind::Text(text.clone()),
            Kind::List(items) => {
                let items = items.iter().map(|item| self.resolve(item));
                ValueKind::List(items.filter(|item| item.kind != ValueKind::Absent).collect())
            }
            Kind::Map(entries) => match entries.as_slice() {
                [(name, argument)] if name == "Ref" || name.starts_with("Fn::") => self.call(name, argument),
                _ => {
                    let entries = entries.iter().map(|(name, node)| (name.clone(), self.resolve(node)));
                    ValueKind::Map(entries.filter(|(_, value)| value.kind != ValueKind::Absent).collect())
                }
            },
        };
        Value { line: node.line, kind }
    }

    fn call(&mut self, name: &str, argument: &Node) -> ValueKind {
        let line = argument.line;
        match name {
            "Ref" => match argument.text() {
                Some(target) => self.reference(target, line),
                None => self.broken(line, "`Ref` takes a name"),
            },
            "Fn::GetAtt" => self.attribute(argument),
            "Fn::Sub" => self.substitute(argument),
            "Fn::If" => match &argument.kind {
                Kind::List(parts) if parts.len() == 3 => {
                    let holds = parts[0].text().map(|name| self.condition(name, line)).unwrap_or_default();
                    self.resolve(&parts[if holds { 1 } else { 2 }]).kind
                }
                _ => self.broken(line, "`Fn::If` takes a condition and two values"),
            },
            "Fn::Join" => match self.list(argument, 2).as_deref() {
                Some([by, Value { kind: ValueKind::List(items), .. }]) => {
                    let items: Vec<_> = items.iter().map(Value::as_text).collect();
                    ValueKind::Text(items.join(&by.as_text()))
                }
                _ => self.broken(line, "`Fn::Join` takes a delimiter and a list"),
            },
            "Fn::Split" => match self.list(argument, 2).as_deref() {
                Some([by, text]) if !by.as_text().is_empty() => {
                    let (by, text) = (by.as_text(), text.as_text());
                    let parts = text.split(&by).map(|part| Value { line, kind: ValueKind::Text(part.into()) });
                    ValueKind::List(parts.collect())
                }
                _ => self.broken(line, "`Fn::Split` takes a delimiter and a text"),
            },
            "Fn::Select" => match self.list(argument, 2).as_deref() {
                Some([index, Value { kind: ValueKind::List(items), .. }]) => {
                    let item = index.as_text().parse::<usize>().ok().and_then(|index| items.get(index));
                    match item {
                        Some(item) => item.kind.clone(),
                        None => self.broken(line, "`Fn::Select` selects nothing: the index is not in the list"),
                    }
                }
                _ => self.broken(line, "`Fn::Select` takes an index and a list"),
            },
            "Fn::FindInMap" => self.find_in_map(argument),
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                self.broken(line, &format!("`{name}` belongs under Conditions"))
            }
            _ => self.broken(line, &format!("`{name}` is not supported on this machine")),
        }
    }

    fn broken(&mut self, line: usize, what: &str) -> ValueKind {
        self.problem(line, what);
        ValueKind::Text(String::new())
    }

    fn list(&mut self, node: &Node, length: usize) -> Option<Vec<Value>> {
        match &node.kind {
            Kind::List(items) if items.len() == length => Some(items.iter().map(|item| self.resolve(item)).collect()),
            _ => None,
        }
    }

    fn reference(&mut self, target: &str, line: usize) -> ValueKind {
        let pseudo = match target {
            "AWS::NoValue" => return ValueKind::Absent,
            "AWS::Region" => Some(self.context.region.clone()),
            "AWS::AccountId" => Some(self.context.account_id.clone()),
            "AWS::StackName" => Some(self.context.stack_name.clone()),
            "AWS::StackId" => Some(format!(
                "arn:aws:cloudformation:{}:{}:stack/{}/local",
                self.context.region, self.context.account_id, self.context.stack_name
            )),
            "AWS::Partition" => Some("aws".to_owned()),
            "AWS::URLSuffix" => Some("amazonaws.com".to_owned()),
            _ => None,
        };
        if let Some(text) = pseudo.or_else(|| self.resources.get(target).map(|found| found.reference.clone())) {
            return ValueKind::Text(text);
        }
        match self.parameters.get(target).map(Vec::as_slice) {
            Some([one]) => ValueKind::Text(one.clone()),
            Some(many) => {
                let many = many.iter().map(|text| Value { line, kind: ValueKind::Text(text.clone()) });
                ValueKind::List(many.collect())
            }
            None => {
                let known = self.parameters.keys().chain(self.resources.keys()).map(String::as_str);
                let hint = did_you_mean(target, known);
                self.broken(line, &format!("there is no parameter or resource `{target}`{hint}"))
            }
        }
    }

    fn attribute(&mut self, argument: &Node) -> ValueKind {
        let line = argument.line;
        let (resource, attribute) = match &argument.kind {
            Kind::Text(text) => match text.split_once('.') {
                Some((resource, attribute)) => (resource.to_owned(), attribute.to_owned()),
                None => return self.broken(line, "`Fn::GetAtt` takes Resource.Attribute"),
            },
            Kind::List(parts) => match parts.as_slice() {
                [Node { kind: Kind::Text(resource), .. }, Node { kind: Kind::Text(attribute), .. }] => {
                    (resource.clone(), attribute.clone())
                }
                _ => return self.broken(line, "`Fn::GetAtt` takes a resource and an attribute"),
            },
            Kind::Map(_) => return self.broken(line, "`Fn::GetAtt` takes Resource.Attribute"),
        };
        let Some(found) = self.resources.get(&resource) else {
            let hint = did_you_mean(&resource, self.resources.keys().map(String::as_str));
            return self.broken(line, &format!("there is no resource `{resource}`{hint}"));
        };
        match found.attributes.get(attribute.as_str()) {
            Some(text) => ValueKind::Text(text.clone()),
            None => {
                let hint = did_you_mean(&attribute, found.attributes.keys().copied());
                self.broken(line, &format!("`{resource}` has no attribute `{attribute}` on this machine{hint}"))
            }
        }
    }

    fn substitute(&mut self, argument: &Node) -> ValueKind {
        let (text, variables) = match &argument.kind {
            Kind::Text(text) => (text.as_str(), &[][..]),
            Kind::List(parts) => match parts.as_slice() {
                [Node { kind: Kind::Text(text), .. }, Node { kind: Kind::Map(variables), .. }] => {
                    (text.as_str(), variables.as_slice())
                }
                _ => return self.broken(argument.line, "`Fn::Sub` takes a text, or a text and its variables"),
            },
            Kind::Map(_) => return self.broken(argument.line, "`Fn::Sub` takes a text, or a text and its variables"),
        };
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else {
                return self.broken(argument.line, "`Fn::Sub` has a `${` without its `}`");
            };
            let name = &rest[at + 2..at + end];
            rest = &rest[at + end + 1..];
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let value = match variables.iter().find(|(known, _)| known == name) {
                Some((_, node)) => self.resolve(node).kind,
                None if name.contains('.') => {
                    self.attribute(&Node { line: argument.line, kind: Kind::Text(name.to_owned()) })
                }
                None => self.reference(name, argument.line),
            };
            out.push_str(&Value { line: argument.line, kind: value }.as_text());
        }
        out.push_str(rest);
        ValueKind::Text(out)
    }

    fn find_in_map(&mut self, argument: &Node) -> ValueKind {
        let path: Option<Vec<String>> = self.list(argument, 3).map(|path| path.iter().map(Value::as_text).collect());
        let found =
            path.as_ref().and_then(|path| path.iter().try_fold(self.mappings?, |node, name| node.get(name)).cloned());
        match (found, path) {
            (Some(node), _) => self.resolve(&node).kind,
            (None, Some(path)) => self.broken(argument.line, &format!("there is no mapping {}", path.join("."))),
            (None, None) => self.broken(argument.line, "`Fn::FindInMap` takes a mapping and two keys"),
        }
    }

    /// Whether the condition called `name` holds.
    pub(super) fn condition(&mut self, name: &str, line: usize) -> bool {
        let Some(node) = self.conditions.get(name).copied() else {
            let hint = did_you_mean(name, self.conditions.keys().map(String::as_str));
            self.problem(line, format!("there is no condition `{name}`{hint}"));
            return false;
        };
        if !self.looking.insert(name.to_owned()) {
            self.problem(node.line, format!("the condition `{name}` refers to itself"));
            return false;
        }
        let holds = self.holds(node);
        self.looking.remove(name);
        holds
    }

    fn holds(&mut self, node: &Node) -> bool {
        let [(name, argument)] = node.entries() else {
            self.problem(node.line, "a condition is one of Fn::Equals, Fn::Not, Fn::And, Fn::Or, Condition");
            return false;
        };
        let parts: &[Node] = match &argument.kind {
            Kind::List(parts) => parts,
            Kind::Text(_) | Kind::Map(_) => &[],
        };
        match (name.as_str(), parts) {
            ("Condition", _) => {
                let target = argument.text().unwrap_or_default().to_owned();
                self.condition(&target, argument.line)
            }
            ("Fn::Equals", [a, b]) => self.resolve(a).as_text() == self.resolve(b).as_text(),
            ("Fn::Not", [a]) => !self.holds(a),
            ("Fn::And", parts) if parts.len() >= 2 => {
                parts.iter().map(|part| self.holds(part)).fold(true, |a, b| a & b)
            }
            ("Fn::Or", parts) if parts.len() >= 2 => {
                parts.iter().map(|part| self.holds(part)).fold(false, |a, b| a | b)
            }
            _ => {
                self.problem(argument.line, format!("`{name}` is no condition, or has the wrong number of parts"));
                false
            }
        }
    }
}

impl Value {
    /// A scalar's text; nothing of anything else.
    pub(super) fn as_text(&self) -> String {
        match &self.kind {
            ValueKind::Text(text) => text.clone(),
            ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) => String::new(),
        }
    }
}
