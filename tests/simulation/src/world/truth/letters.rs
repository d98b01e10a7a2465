//! Dead letters: each has to give the true reason. P1, P7.

use super::*;

impl World {
    /// A dead letter arrived in the queue. Its reason has to be the true one.
    pub(crate) fn saw_letter(
        &mut self,
        group: GroupIndex,
        pid: Pid,
        letter: &DeadLetter,
        (began, redrives): (u64, bool),
    ) {
        if letter.code == Code::Expired {
            self.saw_expired(group, letter);
            return;
        }
        if letter.code == Code::GivenUp && self.is_handled_again(group, letter, began) {
            let at = &letter.position;
            self.breaks("P1", || format!("group {group} gave {at} up, though a run had recorded that it was handled"));
            return;
        }
        let Some(event) = self.stream.event_at(&letter.shard, &letter.position) else {
            self.breaks("P1", || format!("a dead letter of nothing: {} of {}", letter.position, letter.shard));
            return;
        };
        let name = (letter.shard.clone(), letter.position.clone(), letter.at.0);
        if !self.truth.groups[group].judged.insert(name) {
            // an echo
            return;
        }
        if self.truth.foreign.contains(&letter.position) {
            self.breaks("P7", || format!("a dead letter of {event} on {}, where it does not belong", letter.shard));
            return;
        }
        let now = self.agenda.now().0;
        let kind = self.truth.events.get(&event).map(|fact| fact.kind);
        let events = &self.truth.events;
        let of_key = EventRef { key: event.key, ordinal: 0 }..=EventRef { key: event.key, ordinal: u32::MAX };
        let comes_again = || events.range(of_key.clone()).any(|(_, fact)| fact.late);
        let overtaken = letter.code == Code::Overtaken && self.tables[group].has_redriven_after(&letter.position);
        let deeds = &mut self.truth.groups[group];
        let look = deeds.looks.get(&(pid, letter.partition_key.clone()));
        // a run that crashed may have applied it: who gives it up unrun has seen that none did
        let unapplied = group != PROJECTION
            || look.is_some_and(|state| {
                // a copy of what was applied long ago is another event
                let open =
                    |state: &StoredState| state.applied < letter.position || !ordinals(state).contains(&event.ordinal);
                state.as_ref().is_none_or(open)
            });
        deeds.letters.insert(event);
        deeds.letter_places.insert(letter.position.clone());
        let told = match letter.code {
            Code::NotAnEvent => event.key == GARBAGE,
            Code::GivenUp => deeds.given_up.contains(&letter.position),
            Code::Expired => unreachable!("it is seen elsewhere"),
            // no group here says which versions it understands
            Code::UnknownVersion => false,
            Code::Refused => kind == Some(Kind::Refused),
            Code::StateTooLarge => {
                let before = look.and_then(Option::as_ref);
                let read = before.map(ordinals).unwrap_or_default();
                // at most all that came since
                let new = (1..=event.ordinal).filter(|ordinal| !read.contains(ordinal));
                let list: Vec<u32> = read.iter().copied().chain(new).collect();
                let bytes = format!("{list:?}").replace(' ', "").len();
                // a copy of what was applied long ago is another event
                let is_copy = redrives && read.contains(&event.ordinal);
                group == PROJECTION && (bytes > self.item.state_bytes || comes_again() || is_copy)
            }
            Code::RetriesExhausted => {
                // what fails for most keys at once is no event's fault; a run counts a key that it tries twice as two
                let down = deeds.found_down.get(&pid).map_or(0, BTreeSet::len);
                let keys = || events.keys().map(|event| event.key).collect::<BTreeSet<_>>().len();
                let outage = down >= OUTAGE_KEYS && 4 * down >= 3 * keys();
                let (tries, first) = deeds.tries.get(&letter.position).copied().unwrap_or((0, now));
                let was_patient = now - first + SKEW >= millis(self.patience);
                // a redrive tries for some seconds, and nothing waits for it
                (tries >= ATTEMPTS_MAX && was_patient && !outage) || (redrives && tries > 0)
            }
            Code::Overtaken => {
                deeds.overtaken.insert(letter.position.clone());
                redrives && overtaken
            }
            // whoever they were: the event may be innocent, and its process have died three times all the same
            Code::Crashed => deeds.runs.silent_with(&letter.shard, &letter.position) >= 3 && unapplied,
        };
        if !told {
            self.breaks("P1", || format!("group {group} gave {event} up as {:?}: {}", letter.code, letter.reason));
        }
    }

    /// A letter says that records of a notice had expired. It covers what had when the letter was written.
    fn saw_expired(&mut self, group: GroupIndex, letter: &DeadLetter) {
        let DeadLetter { shard, position, .. } = letter;
        let is_of = |notice: &&ExpiredRange| {
            notice.shard == *shard && (&notice.first..=&notice.last).contains(&&position.sequence)
        };
        let Some(notice) = self.truth.groups[group].notices.iter().find(is_of).cloned() else {
            self.breaks("P1", || format!("group {group} was told of no records at {position} of {shard}"));
            return;
        };
        let now = self.agenda.now().min(letter.at.plus(std::time::Duration::from_millis(CLOCKS_DIFFER)));
        let records = self.stream.shard(shard).map_or(&[][..], |shard| &shard.records);
        let (from, to) = (Place::of(position), Position::new(notice.last.clone(), u32::MAX));
        let gone = records.iter().filter(|stored| self.stream.has_expired(stored.record.arrival, now)).last();
        let gone = gone.map(|stored| Position::new(stored.record.sequence.clone(), u32::MAX));
        let Some(to) = gone.map(|gone| gone.min(to)).filter(|to| notice.first <= to.sequence) else {
            self.breaks("P1", || format!("nothing had expired at {position} of {shard}"));
            return;
        };
        let covered: Vec<_> = self
            .stream
            .events(shard)
            .filter(|(place, _)| *place >= from && *place <= Place::of(&to))
            .map(|(place, event)| (place.position(), event))
            .collect();
        let deeds = &mut self.truth.groups[group];
        for (position, event) in covered {
            deeds.expired.insert(position);
            deeds.expired_events.insert(event);
        }
    }

    /// Whether a recovery that began then had to know that the event of its letter was handled.
    fn is_handled_again(&self, group: GroupIndex, letter: &DeadLetter, began: u64) -> bool {
        let now = self.agenda.now();
        let Some(event) = self.stream.event_at(&letter.shard, &letter.position) else { return false };
        if self.truth.is_late(event) {
            // a copy that arrived beyond the horizon is another event
            return false;
        }
        let Some(recorded) = self.truth.groups[group].recorded_on.get(&event) else { return false };
        let since = letter.arrival.minus(HORIZON).0 + SKEW;
        let lineage = self.stream.lineage(&letter.shard, now);
        let ancestors = lineage.into_iter().flat_map(|lineage| lineage.ancestors);
        let shards: Vec<ShardId> = ancestors.map(|(shard, _)| shard).chain([letter.shard.clone()]).collect();
        let kept = |at: u64| now.0 + SKEW < Timestamp(at).plus(HORIZON + SLACK).0;
        recorded.iter().any(|(shard, at)| *at > since && *at < began && kept(*at) && shards.contains(shard))
    }
}
