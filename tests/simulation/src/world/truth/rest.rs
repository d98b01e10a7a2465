//! What has to hold at rest, and whether a group has come to it.

use super::*;

impl World {
    /// Everything is at rest. P1, P7.
    pub(crate) fn rests(&mut self) {
        for group in 0..self.truth.groups.len() {
            let deeds = &self.truth.groups[group];
            let lost = self.truth.events.iter().find(|(event, fact)| {
                // the one loss there is: it expired, and a letter says so
                let told = deeds.letters.contains(event) || deeds.expired_events.contains(event);
                fact.accepted && !deeds.effects.contains_key(event) && !told
            });
            if let Some((event, _)) = lost {
                let event = *event;
                self.breaks("P1", || format!("group {group} lost {event}"));
                return;
            }
            let untold = deeds.notices.iter().find_map(|notice| {
                let range = &notice.first..=&notice.last;
                let events = self.stream.events(&notice.shard).filter(|(place, _)| range.contains(&place.sequence));
                let told = |place: Place<'_>, event: EventRef| {
                    let position = place.position();
                    deeds.effects.contains_key(&event)
                        || [&deeds.letter_places, &deeds.expired, &self.truth.foreign]
                            .iter()
                            .any(|places| places.contains(&position))
                };
                let mut untold = events.filter(|(place, event)| !told(*place, *event));
                untold.next().map(|(place, event)| (place.position(), event))
            });
            if let Some((position, event)) = untold {
                self.breaks("P1", || {
                    format!("group {group} has no letter for {event} at {position}, which was given up")
                });
                return;
            }
            let (counts, overlapped) = (deeds.counts, deeds.overlapped);
            let given_up = deeds.given_up.len() as u64;
            let (stored, foreign) = (self.stream.count(), self.truth.foreign.len() as u64);
            if (counts.foreign < foreign && given_up == 0) || (counts.foreign > foreign && !overlapped) {
                self.breaks("P7", || format!("group {group} counted {counts:?}, and {foreign} events are foreign"));
                return;
            }
            // what was given up may have been settled by a run that could not say so
            if given_up > 0 && counts.total() + given_up >= stored {
                continue;
            }
            if counts.total() < stored || (counts.total() > stored && !overlapped) {
                self.breaks("P7", || format!("group {group} counted {counts:?}, and the stream holds {stored} events"));
                return;
            }
        }
    }

    /// All letters were redriven, and whatever was wrong with their events was mended. P6.
    pub(crate) fn redriven_all(&mut self) {
        for group in 0..self.truth.groups.len() {
            let deeds = &self.truth.groups[group];
            let has_expired = |event: &EventRef| deeds.expired_events.contains(event);
            let can_be_redriven = |event: &EventRef| event.key != GARBAGE && !self.is_full(group, event.key);
            let stored = self.truth.events.iter().filter(|(_, fact)| fact.stored.is_some()).map(|(event, _)| *event);
            let mut open = stored.filter(|event| !deeds.effects.contains_key(event));
            if let Some(event) = open.find(|event| can_be_redriven(event) && !has_expired(event)) {
                self.breaks("P6", || format!("{event} is a dead letter of group {group} that cannot be redriven"));
                return;
            }
            let of = |letter: &DeadLetter| self.stream.event_at(&letter.shard, &letter.position);
            let mut letters = self.tables[group].letters.iter().filter(|letter| letter.code != Code::Expired);
            if let Some(left) = letters.find(|letter| of(letter).is_some_and(|event| can_be_redriven(&event))) {
                let DeadLetter { position, code, .. } = left.clone();
                self.breaks("P6", || format!("a letter of group {group} was not redriven: {position} {code:?}"));
                return;
            }
        }
    }

    /// Whether the state of a key has no room for another event.
    fn is_full(&self, group: GroupIndex, key: u32) -> bool {
        let state = self.tables[group].states.get(&format!("k{key}")).and_then(|stored| stored.state.as_ref());
        state.is_some_and(|json| json.len() + DIGITS_MAX > self.item.state_bytes)
    }

    /// Whether a group has settled all that is on the stream.
    pub(crate) fn is_drained(&self, group: GroupIndex) -> bool {
        let given_up = &self.truth.groups[group].given_up;
        self.stream.shards.iter().all(|shard| {
            let last = shard.records.iter().rev().find_map(|stored| {
                let last = u32::try_from(stored.events.len()).unwrap_or(0).checked_sub(1)?;
                let last = Position::new(stored.record.sequence.clone(), last);
                (!given_up.contains(&last)).then_some(last)
            });
            last.is_none_or(|last| self.tables[group].position(&shard.id) >= last)
        })
    }
}
