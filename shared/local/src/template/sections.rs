//! The outline of a template: its sections, and what a resource and an output may consist of.

use super::node::{Kind, Node};
use super::problem::{Problem, below, did_you_mean, quoted};

/// Resources of a template:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
const RESOURCES_MAX: usize = 500;

/// Characters of a logical id. Same page, and
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resources-section-structure.html>
const LOGICAL_ID_MAX: usize = 255;

const SAM: &str = "AWS::Serverless-2016-10-31";

/// Sections that hold named members.
const NAMED: [&str; 6] = ["Conditions", "Globals", "Mappings", "Outputs", "Parameters", "Resources"];
const OTHER: [&str; 4] = ["AWSTemplateFormatVersion", "Description", "Metadata", "Transform"];
const OF_A_RESOURCE: [&str; 10] = [
    "Condition",
    "Connectors",
    "CreationPolicy",
    "DeletionPolicy",
    "DependsOn",
    "Metadata",
    "Properties",
    "Type",
    "UpdatePolicy",
    "UpdateReplacePolicy",
];
const OF_AN_OUTPUT: [&str; 4] = ["Condition", "Description", "Export", "Value"];

/// Tells of everything that does not belong where it stands.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let known = NAMED.into_iter().chain(OTHER);
    for (name, node) in root.entries() {
        if !known.clone().any(|known| known == name) {
            let hint = did_you_mean(name, known.clone());
            let what = format!("{} is no section of a template that is known here{hint}", quoted(name));
            problems.push(Problem::new(node.line, "", what));
        } else if NAMED.contains(&name.as_str()) && !matches!(node.kind, Kind::Map(_)) && !node.is_empty() {
            problems.push(Problem::new(node.line, name, "must be a mapping"));
        }
    }
    if root.get("Resources").is_none() {
        problems.push(Problem::new(root.line, "", "there is no section `Resources`"));
    }
    transforms(root, problems);
    for (name, node) in members(root, "Globals").iter().filter(|(name, _)| name != "Function") {
        let what = "is not supported on this machine; write it where it applies";
        problems.push(Problem::new(node.line, below("Globals", name), what));
    }
    let resources = members(root, "Resources");
    if resources.len() > RESOURCES_MAX {
        let what = format!("has {} resources; CloudFormation takes {RESOURCES_MAX}", resources.len());
        problems.push(Problem::new(root.line, "Resources", what));
    }
    for (id, node) in resources.iter().take(RESOURCES_MAX) {
        logical_id(id, node.line, id, problems);
        parts(node, id, &OF_A_RESOURCE, "a resource", problems);
    }
    for (name, node) in members(root, "Outputs") {
        let place = below("Outputs", name);
        logical_id(name, node.line, &place, problems);
        parts(node, &place, &OF_AN_OUTPUT, "an output", problems);
        if node.get("Value").is_none() {
            problems.push(Problem::new(node.line, place, "has no `Value`"));
        }
    }
}

/// The resources of a template, as many as it may have.
pub(super) fn resources(root: &Node) -> &[(String, Node)] {
    let resources = members(root, "Resources");
    &resources[..resources.len().min(RESOURCES_MAX)]
}

/// The members of a section.
pub(super) fn members<'a>(root: &'a Node, section: &str) -> &'a [(String, Node)] {
    root.get(section).map(Node::entries).unwrap_or_default()
}

fn transforms(root: &Node, problems: &mut Vec<Problem>) {
    let Some(node) = root.get("Transform") else { return };
    for transform in std::iter::once(node).filter(|node| node.items().is_empty()).chain(node.items()) {
        if transform.text() != Some(SAM) {
            let name = quoted(transform.text().unwrap_or("a mapping"));
            let what = format!("is {name}, which is not run on this machine; it knows {SAM}");
            problems.push(Problem::new(transform.line, "Transform", what));
        }
    }
}

fn logical_id(id: &str, line: usize, place: &str, problems: &mut Vec<Problem>) {
    if id.is_empty() || id.len() > LOGICAL_ID_MAX || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        let what = format!("a logical id has 1 to {LOGICAL_ID_MAX} letters and digits, and nothing else");
        problems.push(Problem::new(line, below("", place), what));
    }
}

fn parts(node: &Node, place: &str, known: &[&'static str], of: &str, problems: &mut Vec<Problem>) {
    for (name, part) in node.entries().iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let hint = did_you_mean(name, known.iter().copied());
        problems.push(Problem::new(part.line, below("", place), format!("{} is no part of {of}{hint}", quoted(name))));
    }
}
