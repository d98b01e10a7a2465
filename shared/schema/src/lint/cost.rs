//! Whether a document can make a schema slow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Problem, WAYS_MAX};
use crate::walk::{Step, below, target};

/// The schemas of a document by number, and what they apply.
struct Graph<'a> {
    /// For each schema the ones that it applies, and where.
    edges: Vec<Vec<(Step<'a>, usize)>>,
}

impl<'a> Graph<'a> {
    fn of(nodes: &'a [(String, &'a Value)]) -> Self {
        let numbers: BTreeMap<&str, usize> =
            nodes.iter().enumerate().map(|(number, (pointer, _))| (pointer.as_str(), number)).collect();
        let edges = nodes.iter().map(|(pointer, schema)| {
            let Some(keywords) = schema.as_object() else { return Vec::new() };
            let mut edges: Vec<_> = below(keywords)
                .into_iter()
                .filter(|below| below.step != Step::Definition)
                .filter_map(|below| Some((below.step, *numbers.get(format!("{pointer}{}", below.pointer).as_str())?)))
                .collect();
            let reference = keywords.get("$ref").and_then(Value::as_str).and_then(target);
            edges.extend(reference.and_then(|target| Some((Step::InPlace, *numbers.get(target.as_str())?))));
            edges
        });
        Self { edges: edges.collect() }
    }

    /// Ways through what is applied at the same place, from each schema; `None` if they run in a circle.
    fn ways(&self, from: usize, known: &mut [Option<usize>], path: &mut Vec<usize>) -> Option<usize> {
        if path.contains(&from) {
            return None;
        }
        if let Some(ways) = known[from] {
            return Some(ways);
        }
        path.push(from);
        let mut ways = 1_usize;
        for (_, to) in self.edges[from].iter().filter(|(step, _)| *step == Step::InPlace) {
            ways = ways.saturating_add(self.ways(*to, known, path)?);
        }
        path.pop();
        known[from] = Some(ways);
        Some(ways)
    }

    /// The schemas that can be reached from one.
    fn reached(&self, from: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(schema) = open.pop() {
            for (_, to) in &self.edges[schema] {
                if reached.insert(*to) {
                    open.push(*to);
                }
            }
        }
        reached
    }
}

pub(super) fn look_at(nodes: &[(String, &Value)]) -> Option<Problem> {
    let graph = Graph::of(nodes);
    let mut known = vec![None; nodes.len()];
    for (number, (pointer, _)) in nodes.iter().enumerate() {
        match graph.ways(number, &mut known, &mut Vec::new()) {
            Some(ways) if ways <= WAYS_MAX => {}
            Some(_) => {
                let text =
                    format!("combines more than {WAYS_MAX} schemas at one place: that takes long; combine fewer");
                return Some(Problem::new(pointer, text));
            }
            None => {
                return Some(Problem::new(pointer, "refers to itself without a step into the data: that never ends"));
            }
        }
    }
    None
}

/// Whether the search for what is wrong can double with each level of a document: two schemas of a recursion meet the same
/// member. Says yes rather too often.
pub(crate) fn is_forking(nodes: &[(String, &Value)]) -> bool {
    let graph = Graph::of(nodes);
    let reached: Vec<_> = (0..nodes.len()).map(|number| graph.reached(number)).collect();
    let recursive: BTreeSet<usize> = (0..nodes.len()).filter(|number| reached[*number].contains(number)).collect();
    // the steps into the data that stay within a recursion, by where they go
    let mut steps: BTreeSet<Step<'_>> = BTreeSet::new();
    for from in &recursive {
        for (step, to) in &graph.edges[*from] {
            let stays = recursive.contains(to) && reached[*to].contains(from);
            if stays && *step != Step::InPlace && !steps.insert(*step) {
                return true;
            }
        }
    }
    steps.contains(&Step::Members) && steps.iter().any(|step| matches!(step, Step::Member(_)))
}
