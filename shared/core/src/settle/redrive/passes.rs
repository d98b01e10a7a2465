//! In which order the letters of a call are handled, so that one that kills the process is found.
//!
//! A process that dies answers nothing, and SQS hands out all letters of the call again. Those of a pass are recorded together;
//! whatever may kill the process is therefore a pass of its own, behind the others: what crashed before it was dead-lettered,
//! and everything when it comes for the second time. The third time they come in the opposite order, so that what stands
//! behind one that kills is reached too: if there is one, all others are settled by then.

use std::collections::HashSet;

use super::letter::Letter;
use crate::dead_letter::Code;

/// Letters that are handled and recorded together, each key's in the order of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) letters: Vec<usize>,
    /// A single one, because it may kill the process.
    pub(super) alone: bool,
}

/// The open letters in passes, when the queue hands them out for the `received`th time. No letter comes before an earlier one of
/// its key.
pub(super) fn passes(letters: &[Letter<'_>], received: u32) -> Vec<Pass> {
    let mut open: Vec<usize> = (0..letters.len()).filter(|index| letters[*index].is_open()).collect();
    // whatever order the queue gave them in
    open.sort_by(|a, b| letters[*a].delivery.position.cmp(&letters[*b].delivery.position));
    let key = |index: usize| letters[index].delivery.key.as_str();
    let mut behind: HashSet<&str> = HashSet::new();
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for index in open {
        if received > 1 || letters[index].letter.code == Code::Crashed || behind.contains(key(index)) {
            behind.insert(key(index));
            alone.push(index);
        } else {
            together.push(index);
        }
    }
    if received > 2 {
        let mut keys: Vec<&str> = Vec::new();
        for index in &alone {
            if !keys.contains(&key(*index)) {
                keys.push(key(*index));
            }
        }
        alone.sort_by_key(|index| std::cmp::Reverse(keys.iter().position(|other| *other == key(*index))));
    }
    let alone = alone.into_iter().map(|index| Pass { letters: vec![index], alone: true });
    let together = Some(Pass { letters: together, alone: false }).filter(|pass| !pass.letters.is_empty());
    together.into_iter().chain(alone).collect()
}
