//! Conditions: whether each one holds.
//!
//! Guarantees: each is worked out once; one that refers to itself, or to others without end, is a problem.

use super::node::Node;
use super::problem::quoted;
use super::resolve::Scope;

/// Functions in each other on the way to one answer, whichever conditions they stand in.
const DEPTH_MAX: usize = 100;

/// How far a condition is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition<'a> {
    Unread(&'a Node),
    /// Being worked out: if it comes up again it refers to itself.
    Reading,
    Known(bool),
}

impl Scope<'_> {
    /// Works out every condition, used or not.
    pub(super) fn read_conditions(&mut self, root: &Node) {
        for (name, node) in root.get("Conditions").map(Node::entries).unwrap_or_default() {
            self.place = super::problem::below("Conditions", name);
            self.condition(name, node.line);
        }
        self.place.clear();
    }

    /// Whether the condition called `name` holds.
    pub(super) fn condition(&mut self, name: &str, line: usize) -> bool {
        match self.conditions.get(name).copied() {
            Some(Condition::Known(holds)) => holds,
            Some(Condition::Reading) => {
                self.problem(line, format!("the condition {} refers to itself", quoted(name)));
                false
            }
            Some(Condition::Unread(node)) => {
                self.conditions.insert(name.to_owned(), Condition::Reading);
                let holds = self.holds(node);
                self.conditions.insert(name.to_owned(), Condition::Known(holds));
                holds
            }
            None => {
                let what = self.names.no_condition(name);
                self.problem(line, what);
                false
            }
        }
    }

    fn holds(&mut self, node: &Node) -> bool {
        if self.depth >= DEPTH_MAX {
            self.problem(node.line, format!("conditions refer to each other over more than {DEPTH_MAX} levels"));
            return false;
        }
        self.depth += 1;
        let holds = self.evaluate(node);
        self.depth -= 1;
        holds
    }

    fn evaluate(&mut self, node: &Node) -> bool {
        let [(name, argument)] = node.entries() else {
            self.problem(node.line, "a condition is one of Fn::Equals, Fn::Not, Fn::And, Fn::Or, Condition");
            return false;
        };
        match (name.as_str(), argument.items()) {
            ("Condition", _) => match argument.text() {
                Some(target) => self.condition(target, argument.line),
                None => {
                    self.problem(argument.line, "`Condition` takes the name of a condition");
                    false
                }
            },
            ("Fn::Equals", [a, b]) => self.resolve_text(a) == self.resolve_text(b),
            ("Fn::Not", [a]) => !self.holds(a),
            // every part is looked at, so that the problems of all of them are told
            ("Fn::And", parts @ [_, _, ..]) => parts.iter().fold(true, |holds, part| self.holds(part) & holds),
            ("Fn::Or", parts @ [_, _, ..]) => parts.iter().fold(false, |holds, part| self.holds(part) | holds),
            _ => {
                self.problem(
                    argument.line,
                    format!("{} is no condition, or has the wrong number of parts", quoted(name)),
                );
                false
            }
        }
    }
}
