//! A template's parameters: what each one's value is here.

use std::collections::BTreeMap;

use regex::Regex;

use super::node::Node;
use super::problem::{Problem, below, did_you_mean, quoted};

const ATTRIBUTES: [&str; 11] = [
    "AllowedPattern",
    "AllowedValues",
    "ConstraintDescription",
    "Default",
    "Description",
    "MaxLength",
    "MaxValue",
    "MinLength",
    "MinValue",
    "NoEcho",
    "Type",
];

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parameter {
    Text(String),
    List(Vec<String>),
    /// None, and a problem says why.
    Missing,
}

/// Reads all parameters of the template. `given` are the values that do not come from it.
pub(super) fn read(
    root: &Node,
    given: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, Parameter> {
    let declared = root.get("Parameters").map(Node::entries).unwrap_or_default();
    for name in given.keys().filter(|name| !declared.iter().any(|(known, _)| known == *name)) {
        let hint = did_you_mean(name, declared.iter().map(|(known, _)| known.as_str()));
        problems.push(Problem::new(0, "", format!("there is no parameter {} to set{hint}", quoted(name))));
    }
    let mut parameters = BTreeMap::new();
    for (name, node) in declared {
        let place = below("Parameters", name);
        let pattern = node.get("AllowedPattern").and_then(Node::text);
        // AWS reads patterns of Java, and this is what they and those of Rust have in common
        let pattern = pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$")));
        if let Some(Err(_)) = pattern {
            warnings.push(format!("{place}: `AllowedPattern` is none that can be checked on this machine"));
        }
        let mut reading = Reading { node, place, pattern: pattern.and_then(Result::ok), problems };
        parameters.insert(name.clone(), reading.read(name, given.get(name)));
    }
    parameters
}

struct Reading<'a> {
    node: &'a Node,
    place: String,
    pattern: Option<Regex>,
    problems: &'a mut Vec<Problem>,
}

impl Reading<'_> {
    fn problem(&mut self, attribute: &str, what: impl Into<String>) {
        let line = self.node.get(attribute).unwrap_or(self.node).line;
        self.problems.push(Problem::new(line, &*self.place, what));
    }

    fn read(&mut self, name: &str, given: Option<&String>) -> Parameter {
        for (attribute, _) in self.node.entries().iter().filter(|(name, _)| !ATTRIBUTES.contains(&name.as_str())) {
            let hint = did_you_mean(attribute, ATTRIBUTES);
            self.problem(attribute, format!("{} is no attribute of a parameter{hint}", quoted(attribute)));
        }
        let Some(list) = self.is_list() else { return Parameter::Missing };
        let default = self.node.get("Default");
        let value = match (given, default.and_then(Node::text)) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => default.to_owned(),
            (None, None) if default.is_some() => {
                self.problem("Default", "has a default that is no text; write lists with commas");
                return Parameter::Missing;
            }
            (None, None) => {
                self.problem("", format!("has no default; set it with --parameter {name}=..."));
                return Parameter::Missing;
            }
        };
        if !list {
            self.check(&value);
            return Parameter::Text(value);
        }
        let values: Vec<String> = value.split(',').map(|one| one.trim().to_owned()).collect();
        values.iter().for_each(|one| self.check(one));
        Parameter::List(values)
    }

    /// Whether the type is a list; nothing if it is no type.
    fn is_list(&mut self) -> Option<bool> {
        match self.node.get("Type").and_then(Node::text) {
            Some("String" | "Number") => Some(false),
            Some("CommaDelimitedList") => Some(true),
            Some(kind) if kind.starts_with("AWS::SSM::") => {
                let what = format!("is of type {}; there is no Parameter Store on this machine", quoted(kind));
                self.problem("Type", what);
                None
            }
            // ids of AWS's own resources are texts here
            Some(kind) if kind.starts_with("AWS::") => Some(false),
            Some(kind) if kind.starts_with("List<") => Some(true),
            Some(kind) => {
                let hint = did_you_mean(kind, ["String", "Number", "CommaDelimitedList"]);
                let what =
                    format!("is of type {}; it must be String, Number or CommaDelimitedList{hint}", quoted(kind));
                self.problem("Type", what);
                None
            }
            None => {
                self.problem("Type", "has no `Type`");
                None
            }
        }
    }

    fn check(&mut self, value: &str) {
        if let Some(allowed) = self.node.get("AllowedValues").map(Node::items)
            && !allowed.iter().any(|one| one.text() == Some(value))
        {
            let allowed: Vec<_> = allowed.iter().filter_map(Node::text).collect();
            self.problem("Default", format!("is {}; it must be one of {}", quoted(value), allowed.join(", ")));
        }
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(value)) {
            let pattern = self.node.get("AllowedPattern").and_then(Node::text).unwrap_or_default();
            self.problem("Default", format!("is {}; it must match {pattern}", quoted(value)));
        }
        let number = |name| self.node.get(name).and_then(Node::text).and_then(|text| text.parse::<f64>().ok());
        let (shortest, longest) = (number("MinLength"), number("MaxLength"));
        let (min, max) = (number("MinValue"), number("MaxValue"));
        let length = value.chars().count() as f64;
        if shortest.is_some_and(|least| length < least) || longest.is_some_and(|most| length > most) {
            self.problem("Default", format!("has {length} characters; it must have {}", span(shortest, longest)));
        }
        if !matches!(self.node.get("Type").and_then(Node::text), Some("Number" | "List<Number>")) {
            return;
        }
        match value.parse::<f64>().ok().filter(|number| number.is_finite()) {
            None => self.problem("Default", format!("is {}; it must be a number", quoted(value))),
            Some(number) if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) => {
                self.problem("Default", format!("is {number}; it must be {}", span(min, max)));
            }
            Some(_) => {}
        }
    }
}

fn span(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "anything".to_owned(),
    }
}
