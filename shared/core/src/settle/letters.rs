//! The dead letters of a run.

use std::sync::PoisonError;

use super::settler::Outside;
use super::times::within;
use super::work::LaneContext;
use crate::batch::Delivery;
use crate::dead_letter::{Code, DeadLetter};
use crate::decision::{Decision, Why, tell};
use crate::key::PartitionKey;
use crate::ports;
use crate::position::Position;

/// Letters of one send. If time runs out in the middle of it, nothing is known of these, and the next run may send as many
/// again.
const LETTERS_AT_ONCE: usize = 100;

/// An event that is to become a dead letter.
#[derive(Debug)]
pub(super) struct DeadLettering<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) code: Code,
    pub(super) reason: String,
    /// How often it was handled.
    pub(super) attempts: u32,
}

impl<O: Outside> LaneContext<'_, O> {
    /// Sends events to the dead letters, some at a time, until the time for it is over. One result an event. What this run
    /// has sent is not sent again.
    pub(super) async fn dead_letter(&self, events: Vec<DeadLettering<'_>>) -> Vec<Result<(), ports::Error>> {
        let mut results = Vec::with_capacity(events.len());
        for chunk in events.chunks(LETTERS_AT_ONCE) {
            results.extend(self.dead_letter_some(chunk).await);
        }
        results
    }

    /// As above, for one event.
    pub(super) async fn dead_letter_one(&self, event: DeadLettering<'_>) -> Result<(), ports::Error> {
        self.dead_letter(vec![event]).await.pop().unwrap_or_else(|| unreachable!("there is a result for each"))
    }

    async fn dead_letter_some(&self, events: &[DeadLettering<'_>]) -> Vec<Result<(), ports::Error>> {
        let before: Vec<bool> = events.iter().map(|event| self.has_dead_lettered(event.delivery)).collect();
        let open = || events.iter().zip(&before).filter(|(_, before)| !**before).map(|(event, _)| event);
        let letters: Vec<_> = open().map(|event| self.letter(event)).collect();
        if letters.is_empty() {
            return vec![Ok(()); events.len()];
        }
        let sending = async { Ok(self.at.outside.send(&letters).await) };
        let sent = within(self.at.outside, self.at.times.letters, sending).await;
        let sent = sent.unwrap_or_else(|error| vec![Err(error); letters.len()]);
        assert_eq!(sent.len(), letters.len(), "there is a result for each letter");
        let mut dead_lettered = self.dead_lettered.lock().unwrap_or_else(PoisonError::into_inner);
        for (DeadLettering { delivery, code, reason, attempts }, _) in
            open().zip(&sent).filter(|(_, result)| result.is_ok())
        {
            let why = Why { code: Some(code.as_str()), reason: Some(reason), attempts: Some(*attempts) };
            tell(Decision::DeadLettered, self.at.shard, delivery, why);
            self.tally.count_letter(*code);
            dead_lettered.entry(delivery.key.clone()).or_default().insert(delivery.position.clone());
        }
        drop(dead_lettered);
        let mut sent = sent.into_iter();
        before.into_iter().map(|before| if before { Ok(()) } else { sent.next().unwrap_or(Ok(())) }).collect()
    }

    fn has_dead_lettered(&self, delivery: &Delivery) -> bool {
        let dead_lettered = self.dead_lettered.lock().unwrap_or_else(PoisonError::into_inner);
        dead_lettered.get(&delivery.key).is_some_and(|positions| positions.contains(&delivery.position))
    }

    fn letter(&self, DeadLettering { delivery, code, reason, attempts }: &DeadLettering<'_>) -> DeadLetter {
        DeadLetter {
            group: self.at.settings.group.clone(),
            stream: self.at.settings.stream.clone(),
            shard: self.at.shard.clone(),
            position: delivery.position.clone(),
            partition_key: delivery.key.as_str().to_owned(),
            arrival: delivery.arrival,
            at: self.at.outside.now(),
            attempts: *attempts,
            code: *code,
            reason: reason.clone(),
            overtaken: false,
            data: delivery.data.clone(),
        }
    }

    /// What this run has dead-lettered of a key, above a position.
    pub(super) fn dead_lettered_of(&self, key: &PartitionKey, above: &Position) -> Vec<Position> {
        let dead_lettered = self.dead_lettered.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = dead_lettered.get(key).into_iter().flatten();
        positions.filter(|position| *position > above).cloned().collect()
    }
}
