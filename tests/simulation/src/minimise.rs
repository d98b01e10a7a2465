//! Making a broken schedule small: the fewest operations and faults that still break the same invariant.

use std::collections::BTreeSet;

use crate::plan::{Op, Plan};
use crate::simulation::run;
use crate::world::Broken;

/// A small schedule that breaks an invariant.
#[derive(Debug)]
pub struct Small {
    /// What it breaks.
    pub broken: Broken,
    /// Operations that are left.
    pub operations: usize,
    /// Faults that are left.
    pub faults: usize,
    /// What happens in it.
    pub history: String,
}

/// Runs that are spent on one schedule at most.
const RUNS_MAX: usize = 3000;

/// What can be left out: an operation by its index, or a fault by its number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    Op(usize),
    Fault(u64),
}

/// Makes the schedule of `seed` small, if it breaks anything.
pub fn minimise(seed: u64) -> Option<Small> {
    let plan = Plan::of(seed);
    let outcome = run(&plan, false);
    let broken = outcome.broken?;
    let mut pieces: Vec<Piece> = (0..plan.ops.len()).map(Piece::Op).collect();
    pieces.extend(outcome.faults.iter().copied().map(Piece::Fault));
    let mut size = pieces.len().div_ceil(2);
    let mut runs = 0;
    // leaves out ever smaller chunks, as delta debugging does
    while size > 0 && runs < RUNS_MAX {
        let mut start = 0;
        while start < pieces.len() && runs < RUNS_MAX {
            let end = (start + size).min(pieces.len());
            let mut fewer = pieces.clone();
            fewer.drain(start..end);
            runs += 1;
            let still = run(&with(&plan, &fewer), false).broken;
            if still.is_some_and(|still| still.invariant == broken.invariant) {
                pieces = fewer;
            } else {
                start = end;
            }
        }
        size /= 2;
    }
    let small = with(&plan, &pieces);
    let outcome = run(&small, true);
    let operations = small.ops.len();
    Some(Small {
        broken: outcome.broken.unwrap_or(broken),
        operations,
        faults: pieces.len() - operations,
        history: outcome.history,
    })
}

fn with(plan: &Plan, pieces: &[Piece]) -> Plan {
    let kept = |index: &usize| pieces.contains(&Piece::Op(*index));
    let ops: Vec<(u64, Op)> = (0..plan.ops.len()).filter(kept).map(|index| plan.ops[index].clone()).collect();
    let faults = pieces.iter().filter_map(|piece| match piece {
        Piece::Fault(number) => Some(*number),
        Piece::Op(_) => None,
    });
    Plan { ops, faults: Some(faults.collect::<BTreeSet<_>>()), ..plan.clone() }
}
