//! The names of a template: what there is, and whether everything that is named is there.
//!
//! Guarantees: every `Ref`, `Fn::GetAtt`, `Fn::Sub`, `Fn::If`, `Condition` and `DependsOn` is looked at, also in a branch
//! that is not taken and in a resource that is not run. Does not judge anything else about a function's argument.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::Type;
use super::node::{Kind, Node};
use super::problem::{Problem, below, did_you_mean, quoted};
use super::substitution::{Piece, pieces};

/// The parameters that every template has.
pub(super) const PSEUDO: [&str; 8] = [
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
];

/// What there is to be named.
#[derive(Debug, Default)]
pub(super) struct Names {
    parameters: BTreeSet<String>,
    conditions: BTreeSet<String>,
    /// `None` is a type that is not known here, which is a problem of its own.
    pub(super) resources: BTreeMap<String, Option<Type>>,
}

impl Names {
    pub(super) fn new(root: &Node) -> Self {
        let names = |section| {
            let entries = root.get(section).map(Node::entries).unwrap_or_default();
            entries.iter().map(|(name, _)| name.clone()).collect()
        };
        let mut resources: BTreeMap<String, Option<Type>> = implied(root);
        for (id, node) in root.get("Resources").map(Node::entries).unwrap_or_default() {
            resources.insert(id.clone(), node.get("Type").and_then(Node::text).and_then(Type::of));
        }
        Self { parameters: names("Parameters"), conditions: names("Conditions"), resources }
    }

    pub(super) fn no_condition(&self, name: &str) -> String {
        let hint = did_you_mean(name, self.conditions.iter().map(String::as_str));
        format!("there is no condition {}{hint}", quoted(name))
    }

    /// What is wrong with naming `target` in a `Ref`.
    pub(super) fn no_reference(&self, target: &str) -> Option<String> {
        if PSEUDO.contains(&target) || self.parameters.contains(target) || self.resources.contains_key(target) {
            return None;
        }
        let known = self.parameters.iter().chain(self.resources.keys()).map(String::as_str).chain(PSEUDO);
        Some(format!("there is no parameter or resource {}{}", quoted(target), did_you_mean(target, known)))
    }

    /// What is wrong with naming an attribute of a resource.
    pub(super) fn no_attribute(&self, resource: &str, attribute: &str) -> Option<String> {
        let Some(kind) = self.resources.get(resource) else {
            let hint = did_you_mean(resource, self.resources.keys().map(String::as_str));
            return Some(format!("there is no resource {}{hint}", quoted(resource)));
        };
        if *kind == Some(Type::Table) && attribute == "StreamArn" {
            return Some(format!(
                "{} has no `StreamArn`: there are no DynamoDB streams on this machine",
                quoted(resource)
            ));
        }
        let known = kind.and_then(Type::attributes)?;
        if known.contains(&attribute) {
            return None;
        }
        let hint = did_you_mean(attribute, known.iter().copied());
        let (resource, attribute) = (quoted(resource), quoted(attribute));
        Some(format!("{resource} has no attribute {attribute} on this machine{hint}; it has {}", known.join(", ")))
    }

    /// Looks at everything that is named anywhere.
    pub(super) fn check(&self, root: &Node, problems: &mut Vec<Problem>) {
        let mut walk = Walk { names: self, problems };
        for (id, resource) in root.get("Resources").map(Node::entries).unwrap_or_default() {
            walk.condition_of(resource, id);
            walk.depends_on(resource, id);
            for part in ["Properties", "Metadata"] {
                if let Some(node) = resource.get(part) {
                    walk.node(node, id);
                }
            }
        }
        if let Some(globals) = root.get("Globals") {
            walk.node(globals, "Globals");
        }
        for (name, output) in root.get("Outputs").map(Node::entries).unwrap_or_default() {
            let place = below("Outputs", name);
            walk.condition_of(output, &place);
            walk.node(output, &place);
        }
    }
}

/// What SAM makes and a template may name: the API of events that name none, and the role of a function that has none.
/// <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html>
fn implied(root: &Node) -> BTreeMap<String, Option<Type>> {
    let mut implied = BTreeMap::new();
    for (id, node) in root.get("Resources").map(Node::entries).unwrap_or_default() {
        if node.get("Type").and_then(Node::text).and_then(Type::of) != Some(Type::Function) {
            continue;
        }
        let property = |name| node.get("Properties").and_then(|properties| properties.get(name));
        if property("Role").is_none() {
            implied.insert(format!("{id}Role"), Type::of("AWS::IAM::Role"));
        }
        let events = property("Events").map(Node::entries).unwrap_or_default();
        let without_api = |event: &Node| {
            let api = event.get("Properties").and_then(|properties| properties.get("ApiId"));
            event.get("Type").and_then(Node::text) == Some("HttpApi") && api.is_none()
        };
        if events.iter().any(|(_, event)| without_api(event)) {
            implied.insert("ServerlessHttpApi".to_owned(), Some(Type::HttpApi));
        }
    }
    implied
}

struct Walk<'a> {
    names: &'a Names,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn tell(&mut self, line: usize, place: &str, what: Option<String>) {
        self.problems.extend(what.map(|what| Problem::new(line, place, what)));
    }

    fn condition_of(&mut self, node: &Node, place: &str) {
        let Some(condition) = node.get("Condition") else { return };
        let what = match condition.text() {
            Some(name) if self.names.conditions.contains(name) => None,
            Some(name) => Some(self.names.no_condition(name)),
            None => Some("`Condition` takes the name of a condition".to_owned()),
        };
        self.tell(condition.line, place, what);
    }

    fn depends_on(&mut self, resource: &Node, place: &str) {
        let Some(node) = resource.get("DependsOn") else { return };
        for target in std::iter::once(node).filter(|node| node.items().is_empty()).chain(node.items()) {
            let what = match target.text() {
                Some(name) if self.names.resources.contains_key(name) => None,
                Some(name) => {
                    let hint = did_you_mean(name, self.names.resources.keys().map(String::as_str));
                    Some(format!("there is no resource {}{hint}", quoted(name)))
                }
                None => Some("takes the name of a resource, or a list of names".to_owned()),
            };
            self.tell(target.line, &below(place, "DependsOn"), what);
        }
    }

    fn node(&mut self, node: &Node, place: &str) {
        match &node.kind {
            Kind::Text(_) => {}
            Kind::List(items) => items.iter().for_each(|item| self.node(item, place)),
            Kind::Map(entries) => match entries.as_slice() {
                [(function, argument)] if function == "Ref" || function.starts_with("Fn::") => {
                    self.function(function, argument, place);
                }
                entries => entries.iter().for_each(|(name, node)| self.node(node, &below(place, name))),
            },
        }
    }

    fn function(&mut self, function: &str, argument: &Node, place: &str) {
        let line = argument.line;
        match function {
            "Ref" => {
                if let Some(target) = argument.text() {
                    self.tell(line, place, self.names.no_reference(target));
                }
                return;
            }
            "Fn::GetAtt" => {
                if let Some((resource, attribute)) = attribute(argument) {
                    self.tell(line, place, self.names.no_attribute(resource, attribute));
                }
                return;
            }
            "Fn::Sub" => {
                let text = argument.text().or_else(|| argument.items().first().and_then(Node::text));
                let own = argument.items().get(1);
                for piece in text.and_then(pieces).unwrap_or_default() {
                    if let Piece::Name(name) = piece
                        && own.is_none_or(|own| own.get(name).is_none())
                    {
                        let what = match name.split_once('.') {
                            Some((resource, attribute)) => self.names.no_attribute(resource, attribute),
                            None => self.names.no_reference(name),
                        };
                        self.tell(line, place, what);
                    }
                }
            }
            "Fn::If" => {
                if let Some(name) = argument.items().first().and_then(Node::text)
                    && !self.names.conditions.contains(name)
                {
                    self.tell(line, place, Some(self.names.no_condition(name)));
                }
            }
            _ => {}
        }
        self.node(argument, place);
    }
}

/// The resource and the attribute of `Fn::GetAtt`, in either of its forms.
pub(super) fn attribute(argument: &Node) -> Option<(&str, &str)> {
    match (argument.text(), argument.items()) {
        (Some(text), _) => text.split_once('.'),
        (None, [resource, attribute]) => Some((resource.text()?, attribute.text()?)),
        _ => None,
    }
}
