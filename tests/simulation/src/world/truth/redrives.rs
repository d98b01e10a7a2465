//! Redrives: what left its queue was recorded, and the order of a key is kept. P2, P6.

use super::*;

impl World {
    /// A letter was redriven and is out of its queue: every run that begins from here on has to know.
    pub(crate) fn saw_redriven(&mut self, group: GroupIndex, letter: &DeadLetter) {
        let now = self.agenda.now().0;
        if let Some(event) = self.stream.event_at(&letter.shard, &letter.position) {
            let name = self.truth.events.get(&event).and_then(|fact| fact.name);
            if !self.tables[group].redriven_names(&letter.shard).any(|other| Some(*other) == name) {
                let position = &letter.position;
                self.breaks("P6", || {
                    format!("letter {position} left the queue, and no record says that it was redriven")
                });
            }
            let is_stray = self.truth.strays.contains(&event);
            let deeds = &mut self.truth.groups[group];
            deeds.redriven.entry(event).or_insert(now);
            if is_stray {
                return;
            }
            let place = letter.position.clone();
            deeds.redriven_to.entry(event.key).and_modify(|to| *to = place.clone().max(to.clone())).or_insert(place);
        }
    }

    /// A call goes on after its turn is over.
    pub(crate) fn saw_turns_overlap(&mut self, group: GroupIndex) {
        self.truth.groups[group].turns_overlapped = true;
    }

    /// A redrive is about to have an effect. P2: nothing that was redriven before it overtakes it, unless somebody was told
    /// and sent it back all the same.
    pub(crate) fn saw_redriven_effect(&mut self, group: GroupIndex, event: EventRef, position: &Position) {
        let deeds = &self.truth.groups[group];
        let excused = deeds.turns_overlapped
            || deeds.overtaken.contains(position)
            || deeds.effects.contains_key(&event)
            || self.truth.strays.contains(&event);
        let later = deeds.redriven_to.get(&event.key).filter(|to| *to > position && !excused).cloned();
        if let Some(later) = later {
            self.breaks("P2", || format!("group {group} redrove {event} at {position} after {later} of its key"));
        }
    }
}
