//! In which order the letters of a call are handled, so that one that kills the process is found.
//!
//! A process that dies answers nothing, and SQS hands out all letters of the call again. Those of a pass are recorded together;
//! whatever may kill the process is therefore a pass of its own, behind the others: what crashed before it was dead-lettered,
//! and everything when it comes for the second time. The third time they come in the opposite order, so that what stands
//! behind one that kills is reached too: if there is one, all others are settled by then.

use std::collections::HashSet;

use super::letter::{Letter, LetterEnd};
use crate::batch::Delivery;
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

/// Leaves those whose key has an earlier letter in this call that is left: it must not be overtaken.
pub(super) fn hold_behind_what_is_left(letters: &mut [Letter<'_>], indices: &[usize]) {
    for index in indices {
        let Letter { delivery: Delivery { key, position, .. }, .. } = &letters[*index];
        let is_before = |other: &Letter<'_>| other.delivery.key == *key && other.delivery.position < *position;
        if letters.iter().any(|other| matches!(other.end, Some(LetterEnd::Left(_))) && is_before(other)) {
            letters[*index].leave("an event of its key before it is left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::DeadLetter;
    use crate::fingerprint::Fingerprinter;
    use crate::position::{Position, ShardId};
    use crate::time::Timestamp;

    /// The letter of an event of `key`, at `place`.
    fn letter(key: &str, place: u32, code: Code) -> DeadLetter {
        let text = format!(r#"{{"specversion":"1.0","id":"{place}","source":"s","type":"t"}}"#);
        DeadLetter {
            group: "g".to_owned(),
            stream: "s".to_owned(),
            shard: ShardId::new("shardId-000000000000"),
            position: Position::new(place.to_string().parse().unwrap(), 0),
            partition_key: key.to_owned(),
            arrival: Timestamp(0),
            at: Timestamp(0),
            attempts: 1,
            code,
            reason: String::new(),
            overtaken: false,
            data: text.into(),
        }
    }

    fn order(letters: &[DeadLetter], received: u32) -> Vec<Vec<usize>> {
        let letters: Vec<Letter<'_>> =
            letters.iter().map(|letter| Letter::new(letter, &Fingerprinter::new("test"))).collect();
        passes(&letters, received).into_iter().map(|pass| pass.letters).collect()
    }

    #[test]
    fn what_may_kill_comes_last_and_alone_and_at_last_in_the_opposite_order() {
        let letters = [("k", 3), ("l", 2), ("k", 1), ("m", 4)].map(|(key, place)| letter(key, place, Code::Refused));
        assert_eq!(order(&letters, 1), [vec![2, 1, 0, 3]]);
        assert_eq!(order(&letters, 2), [[2], [1], [0], [3]]);
        assert_eq!(order(&letters, 3), [[3], [1], [2], [0]], "each key's in the order of the stream");
        let mut crashed = letters;
        crashed[2].code = Code::Crashed;
        assert_eq!(order(&crashed, 1), [vec![1, 3], vec![2], vec![0]], "what follows it waits for it");
    }

    #[test]
    fn nothing_overtakes_a_letter_of_its_key_that_is_left() {
        let letters = [("k", 1), ("k", 2), ("l", 3), ("k", 0)].map(|(key, place)| letter(key, place, Code::Refused));
        let fingerprints = Fingerprinter::new("test");
        let mut letters: Vec<Letter<'_>> = letters.iter().map(|letter| Letter::new(letter, &fingerprints)).collect();
        letters[0].leave("the table does not answer");
        hold_behind_what_is_left(&mut letters, &[1, 2, 3]);
        let open: Vec<bool> = letters.iter().map(Letter::is_open).collect();
        assert_eq!(open, [false, false, true, true]);
    }
}
