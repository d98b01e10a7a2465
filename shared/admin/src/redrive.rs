//! Sending a group's dead letters back, and what became of each.
//!
//! What tells is where a letter is afterwards. In the dead letters with another time: it was tried and came back. There as it
//! was: it was not moved, or SQS moved it back after its tries. In neither queue: settled. The redrive queue is only counted,
//! never looked into: a look is one of the few times that a message there may be received, and hides it from the function.
//!
//! SQS's counts are approximate and can be some seconds late, so a queue counts as empty only when it has been for a while:
//! that is for who calls to see to.

use std::collections::{BTreeMap, BTreeSet};

use penstock::dead_letter::Message;
use penstock::ports::Error;
use penstock::{SequenceNumber, ShardId};
use penstock_aws::deployment::GroupParts;

use crate::dead_letters::{Letters, lacks_operation, redrive};
use crate::{Operator, queue};

/// What names the event of a letter: its shard, its record, its index in that.
type Place = (ShardId, SequenceNumber, u32);

/// What was sent back.
#[derive(Debug)]
pub struct SentBack {
    letters: BTreeMap<Place, Sent>,
    /// Messages that are no dead letters; they were moved too.
    pub others: usize,
    /// Messages that somebody else had in hand: they were neither listed nor moved.
    pub hidden: u64,
    /// Messages that were moved, about.
    pub moved: u64,
}

/// A letter that was sent back, and its copies and parts.
#[derive(Debug)]
struct Sent {
    first: Message,
    messages: usize,
    /// When it was dead-lettered; a copy has a time of its own.
    times: BTreeSet<u64>,
}

/// What is still going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Underway {
    /// Whether SQS is still moving messages; `None` if it does not say.
    pub moving: Option<bool>,
    /// Messages in the redrive queue, about: waiting, or in the function's hands.
    pub redrive: u64,
    /// Dead letters that somebody has in hand, so that a look does not find them.
    pub hidden: u64,
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is in neither queue any more: handled, or found to be a duplicate.
    Settled,
    /// It was tried and is in the dead letters again: the new letter.
    Back(Message),
    /// It is in the dead letters as it was: it was not moved, or SQS moved it back after its tries.
    Unchanged,
    /// It is in the redrive queue, or still to be moved there.
    Waiting,
    /// In the redrive queue, or settled: fewer messages are there than letters of which nothing is known.
    Unknown,
}

impl Operator {
    /// Lists a group's dead letters, all of them, and moves them to its redrive queue.
    ///
    /// # Errors
    /// When the queue cannot be read, or SQS refuses: while another move is under way, for example.
    pub async fn send_back(&self, group: &GroupParts) -> Result<SentBack, Error> {
        let hidden = queue::attributes(&self.clients.sqs, &group.dead_letters).await?.in_flight;
        let listed = self.dead_letters(group, usize::MAX).await?;
        let moved = redrive(&self.clients.sqs, &group.dead_letters, &group.redrive).await?;
        Ok(SentBack::of(listed, hidden, moved))
    }

    /// What is still going on between a group's two queues.
    ///
    /// # Errors
    /// When the queues cannot be asked.
    pub async fn underway(&self, group: &GroupParts) -> Result<Underway, Error> {
        let sqs = &self.clients.sqs;
        let letters = queue::attributes(sqs, &group.dead_letters).await?;
        let redrive = queue::attributes(sqs, &group.redrive).await?;
        let moving = match sqs.list_message_move_tasks().source_arn(letters.arn).send().await {
            Ok(tasks) => Some(tasks.results().iter().any(|task| task.status() == Some("RUNNING"))),
            // such a service's messages were moved one by one, and that is over
            Err(error) if lacks_operation(&error) => Some(false),
            // whoever may start a move need not be allowed to ask for it
            Err(_) => None,
        };
        Ok(Underway { moving, redrive: redrive.visible + redrive.in_flight, hidden: letters.in_flight })
    }
}

impl Underway {
    /// Whether a look at the dead letters would now tell of everything that was sent.
    pub fn is_over(&self, sent: &SentBack) -> bool {
        // what is no letter stays in the redrive queue until SQS moves it back
        self.moving != Some(true) && self.hidden == 0 && self.redrive <= sent.others as u64
    }
}

impl SentBack {
    fn of(listed: Letters, hidden: u64, moved: u64) -> Self {
        let mut letters: BTreeMap<Place, Sent> = BTreeMap::new();
        for message in listed.letters {
            let times = BTreeSet::from([message.dead_lettered_ms]);
            let sent = letters.entry(place(&message));
            let sent = sent.or_insert_with(|| Sent { first: message, messages: 0, times: BTreeSet::new() });
            sent.messages += 1;
            sent.times.extend(times);
        }
        Self { letters, others: listed.others.len(), hidden, moved }
    }

    /// How many letters there are; parts and copies of one are one.
    pub fn count(&self) -> usize {
        self.letters.len()
    }

    /// What became of each letter, by its place, after a look at the dead letters that has found `now`.
    pub fn fates(&self, now: &Letters, underway: Underway) -> Vec<(&Message, Fate)> {
        let mut found: BTreeMap<Place, &Message> = BTreeMap::new();
        for message in &now.letters {
            let place = place(message);
            let newest = found.get(&place).is_none_or(|other| other.dead_lettered_ms < message.dead_lettered_ms);
            if newest && self.letters.contains_key(&place) {
                found.insert(place, message);
            }
        }
        let missing: usize =
            self.letters.iter().filter(|(place, _)| !found.contains_key(place)).map(|(_, sent)| sent.messages).sum();
        // those that are no letters are never settled
        let others = self.others.saturating_sub(now.others.len()) as u64;
        let redrive = underway.redrive.saturating_sub(others);
        let gone = match redrive {
            0 if underway.hidden == 0 => Fate::Settled,
            waiting if waiting >= missing as u64 => Fate::Waiting,
            _ => Fate::Unknown,
        };
        let fate = |(place, sent): (&Place, &Sent)| match found.get(place) {
            Some(message) if !sent.times.contains(&message.dead_lettered_ms) => Fate::Back((*message).clone()),
            Some(_) if underway.moving == Some(true) => Fate::Waiting,
            Some(_) => Fate::Unchanged,
            None => gone.clone(),
        };
        self.letters.iter().map(|entry| (&entry.1.first, fate(entry))).collect()
    }
}

fn place(message: &Message) -> Place {
    (message.shard.clone(), message.sequence.clone(), message.index)
}

#[cfg(test)]
mod tests {
    use penstock::dead_letter::Code;

    use super::*;
    use crate::dead_letters::Other;

    fn letter(index: u32, at: u64, (part, parts): (usize, usize)) -> Message {
        Message {
            version: 1,
            group: "g".into(),
            stream: "s".into(),
            shard: ShardId::new("shardId-000000000000"),
            sequence: "495".parse().unwrap(),
            index,
            partition_key: "k".into(),
            arrival_ms: 0,
            dead_lettered_ms: at,
            attempts: 1,
            code: Code::Refused,
            reason: "it is wrong".into(),
            overtaken: false,
            part,
            parts,
            data_base64: String::new(),
        }
    }

    fn letters(letters: &[(u32, u64)]) -> Letters {
        let letters = letters.iter().map(|(index, at)| letter(*index, *at, (1, 1))).collect();
        Letters { letters, others: Vec::new(), more: false }
    }

    fn shown(sent: &SentBack, now: &Letters, underway: Underway) -> Vec<String> {
        let fate = |(message, fate): (&Message, Fate)| match fate {
            Fate::Back(new) => format!("{} back at {}", message.index, new.dead_lettered_ms),
            fate => format!("{} {fate:?}", message.index),
        };
        sent.fates(now, underway).into_iter().map(fate).collect()
    }

    const OVER: Underway = Underway { moving: Some(false), redrive: 0, hidden: 0 };

    #[test]
    fn a_letter_is_settled_when_it_is_in_neither_queue() {
        let sent = SentBack::of(letters(&[(1, 10), (2, 10), (3, 10)]), 0, 3);
        // the last one has arrived meanwhile
        let now = letters(&[(2, 20), (3, 10), (4, 20)]);
        assert!(OVER.is_over(&sent));
        assert_eq!(shown(&sent, &now, OVER), ["1 Settled", "2 back at 20", "3 Unchanged"]);
        let moving = Underway { moving: Some(true), redrive: 1, ..OVER };
        assert!(!moving.is_over(&sent));
        assert_eq!(shown(&sent, &now, moving), ["1 Waiting", "2 back at 20", "3 Waiting"]);
    }

    #[test]
    fn what_cannot_be_told_is_not_called_settled() {
        let sent = SentBack::of(letters(&[(1, 10), (2, 10), (3, 10)]), 0, 3);
        let now = letters(&[(2, 20)]);
        assert_eq!(shown(&sent, &now, Underway { redrive: 1, ..OVER }), ["1 Unknown", "2 back at 20", "3 Unknown"]);
        assert_eq!(shown(&sent, &now, Underway { redrive: 2, ..OVER }), ["1 Waiting", "2 back at 20", "3 Waiting"]);
        let hidden = Underway { hidden: 1, ..OVER };
        assert!(!hidden.is_over(&sent));
        assert_eq!(shown(&sent, &now, hidden), ["1 Unknown", "2 back at 20", "3 Unknown"]);
    }

    #[test]
    fn copies_and_parts_of_a_letter_are_one_and_what_is_no_letter_holds_nobody_up() {
        let mut listed = letters(&[(1, 10), (1, 11)]);
        listed.letters.extend([letter(2, 10, (1, 2)), letter(2, 10, (2, 2))]);
        listed.others.push(Other { message_id: "m".into(), begins: "?".into(), why: "no JSON".into() });
        let sent = SentBack::of(listed, 0, 5);
        let underway = Underway { redrive: 1, ..OVER };
        assert!(underway.is_over(&sent));
        assert_eq!(shown(&sent, &letters(&[(1, 30)]), underway), ["1 back at 30", "2 Settled"]);
        assert_eq!(shown(&sent, &letters(&[(1, 11)]), underway), ["1 Unchanged", "2 Settled"]);
    }
}
