//! Holds what was found against the model and against what the edge said.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::found::{Found, HANDLER, OnStream, PROJECTION, State};
use super::load::{Log, Sent};
use super::model::{Order, Story};

/// In which way something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Something that has to be there is not.
    Loss,
    /// Something took effect that should not have, or more often than it should.
    Double,
    /// The order of a key was not kept.
    Order,
    /// Anything else.
    Other,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// In which way.
    pub(super) kind: Kind,
    /// The order, or the group.
    pub(super) subject: String,
    /// The event; empty if it is about more than one.
    pub(super) event: String,
    /// What was expected and what was found.
    pub(super) what: String,
}

/// Everything that is wrong. With zombies a group may count an event twice: the late segment counts what the run that
/// took over has counted too.
pub(super) fn judge(log: &Log, found: &Found, zombies: u64) -> BTreeSet<Violation> {
    let mut judge = Judge { stream: &found.stream, wrong: BTreeSet::new() };
    for (order, event, what) in &log.complaints {
        judge.wrong(Kind::Other, order, event, what.clone());
    }
    for what in &found.stream.strange {
        judge.wrong(Kind::Other, "the stream", "", what.clone());
    }
    for key in found.stream.events.keys().filter(|key| !log.orders.contains_key(*key)) {
        judge.wrong(Kind::Double, key, "", "it is on the stream and was never sent".to_owned());
    }
    for (key, sent) in &log.orders {
        judge.stream(key, sent, &found.stream);
    }
    let stories: BTreeMap<&str, Story> =
        found.stream.events.iter().map(|(key, events)| (key.as_str(), Story::of(events))).collect();
    for (key, story) in &stories {
        judge.state(key, story.order.as_ref(), found.states.get(*key));
    }
    for key in found.states.keys().filter(|key| !stories.contains_key(key.as_str())) {
        judge.wrong(Kind::Double, key, "", "it has a state and no event on the stream".to_owned());
    }
    judge.settled(found);
    judge.letters(&stories, found);
    judge.effects(&stories, found);
    judge.sums(found, zombies);
    judge.wrong
}

struct Judge<'a> {
    stream: &'a OnStream,
    wrong: BTreeSet<Violation>,
}

impl Judge<'_> {
    fn wrong(&mut self, kind: Kind, subject: &str, event: &str, mut what: String) {
        if let Some((_, positions)) = self.stream.copies.get(&(subject.to_owned(), event.to_owned())) {
            what = format!("{what}; on the stream at {}", positions.join(", "));
        }
        self.wrong.insert(Violation { kind, subject: subject.to_owned(), event: event.to_owned(), what });
    }

    /// What was accepted is on the stream, where the edge said; first copies stand in the order of sending.
    fn stream(&mut self, key: &str, sent: &[Sent], stream: &OnStream) {
        let on_stream = stream.events.get(key).map_or(&[][..], Vec::as_slice);
        for sent in sent {
            let Some(place) = &sent.place else { continue };
            if !stream.places.contains(&(sent.id.clone(), place.clone())) {
                let what = format!("accepted at {} of {}; it is not there", place.sequence, place.shard);
                self.wrong(Kind::Loss, key, &sent.id, what);
            }
        }
        let firsts = first_copies(on_stream.iter().map(|event| event.id.as_str()));
        let there: HashSet<_> = firsts.iter().copied().collect();
        let mut expected = first_copies(sent.iter().map(|sent| sent.id.as_str()));
        expected.retain(|id| there.contains(id));
        if expected != firsts {
            let what = format!("expected on the stream in the order {expected:?}, found {firsts:?}");
            self.wrong(Kind::Order, key, "", what);
        }
    }

    fn state(&mut self, key: &str, expected: Option<&Order>, found: Option<&State>) {
        let (expected, found) = match (expected, found) {
            (None, None) => return,
            (Some(expected), Some(found)) => (expected, found),
            (Some(expected), None) => {
                let what = format!("expected to be {} after {:?}, found no state", expected.status, expected.history);
                return self.wrong(Kind::Loss, key, "", what);
            }
            (None, Some(found)) => {
                return self.wrong(Kind::Double, key, "", format!("expected no state, found {found:?}"));
            }
        };
        let applied: Vec<_> = found.history.iter().map(|(_, id)| id.as_str()).collect();
        let wanted: Vec<_> = expected.history.iter().map(String::as_str).collect();
        let what = format!("expected the steps {wanted:?}, found {applied:?}");
        if applied != wanted {
            let mut known = false;
            for id in wanted.iter().filter(|id| !applied.contains(id)) {
                known = true;
                self.wrong(Kind::Loss, key, id, what.clone());
            }
            let mut once = HashSet::new();
            for id in applied.iter().filter(|id| !once.insert(**id) || !wanted.contains(id)) {
                known = true;
                self.wrong(Kind::Double, key, id, what.clone());
            }
            if !known {
                self.wrong(Kind::Order, key, "", what);
            }
        } else if (found.status.as_str(), found.total_cents) != (expected.status.as_str(), expected.total_cents) {
            self.wrong(Kind::Other, key, "", format!("expected {expected:?}, found {found:?}"));
        }
    }

    /// Each group has handled or dead-lettered every event on the stream, by its own account.
    fn settled(&mut self, found: &Found) {
        for group in &found.groups {
            let letters: HashSet<_> = group.letters.iter().map(|letter| (&letter.key, &letter.id)).collect();
            for ((key, id), (name, _)) in &found.stream.copies {
                if !group.handled.contains(name) && !letters.contains(&(key, id)) {
                    let what = format!("{} has neither handled it nor dead-lettered it", group.group);
                    self.wrong(Kind::Loss, key, id, what);
                }
            }
        }
    }

    /// Each group has dead-lettered what it has to refuse, and nothing else.
    fn letters(&mut self, stories: &BTreeMap<&str, Story>, found: &Found) {
        for group in &found.groups {
            let name = group.group.as_str();
            let dead = |story: &Story| story.dead.get(name).cloned().unwrap_or_default();
            let expected: BTreeSet<_> = stories
                .iter()
                .flat_map(|(key, story)| dead(story).into_iter().map(|id| ((*key).to_owned(), id)))
                .collect();
            let letters: BTreeSet<_> =
                group.letters.iter().map(|letter| (letter.key.clone(), letter.id.clone())).collect();
            for (key, id) in expected.difference(&letters) {
                self.wrong(Kind::Loss, key, id, format!("{name} has to refuse it, and has no dead letter of it"));
            }
            for letter in &group.letters {
                let unexpected = !expected.contains(&(letter.key.clone(), letter.id.clone()));
                if unexpected || letter.code != "refused" {
                    let what = format!("{name} has a dead letter of it that should not be: {}", letter.code);
                    self.wrong(Kind::Double, &letter.key, &letter.id, what);
                }
            }
        }
    }

    /// Every event that needs a human has had its side effect, in the order of its key by first copies.
    fn effects(&mut self, stories: &BTreeMap<&str, Story>, found: &Found) {
        let mut heard: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for effect in first_copies(found.effects.iter().map(String::as_str)) {
            match found.stream.by_effect.get(effect) {
                Some((key, id)) => heard.entry(key).or_default().push(id),
                None => self.wrong(Kind::Double, HANDLER, "", format!("an alert {effect} is of no event")),
            }
        }
        for (key, story) in stories {
            let heard = heard.remove(key).unwrap_or_default();
            for id in story.alerts.iter().filter(|id| !heard.contains(&id.as_str())) {
                self.wrong(Kind::Loss, key, id, format!("{HANDLER} has to alert, and there is no alert"));
            }
            for id in heard.iter().filter(|id| !story.alerts.iter().any(|wanted| wanted == *id)) {
                self.wrong(Kind::Double, key, id, format!("{HANDLER} has alerted, and there is no reason to"));
            }
            let mut expected: Vec<_> = story.alerts.iter().map(String::as_str).collect();
            expected.retain(|id| heard.contains(id));
            let mut found = heard.clone();
            found.retain(|id| expected.contains(id));
            if expected != found {
                self.wrong(Kind::Order, key, "", format!("expected alerts in the order {expected:?}, found {found:?}"));
            }
        }
    }

    /// What a group says that it settled is what is on the stream.
    fn sums(&mut self, found: &Found, zombies: u64) {
        let on_stream = found.stream.count;
        for group in &found.groups {
            let (name, total) = (group.group.as_str(), group.counts.total());
            let what = format!("{on_stream} events on the stream, and it has settled {:?}", group.counts);
            if total < on_stream {
                self.wrong(Kind::Loss, name, "", what);
            } else if total > on_stream && zombies == 0 {
                self.wrong(Kind::Double, name, "", what);
            }
            let (counted, places) = (group.counts.dead_letters, group.places);
            if counted < places || (counted > places && zombies == 0) {
                let what = format!("it counts {counted} dead letters, and its queue has them from {places} places");
                self.wrong(Kind::Other, name, "", what);
            }
        }
        for name in [PROJECTION, HANDLER] {
            if !found.groups.iter().any(|group| group.group == name) {
                self.wrong(Kind::Other, name, "", "the template has no such group".to_owned());
            }
        }
    }
}

/// The first copy of each, in their order.
fn first_copies<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}

#[cfg(test)]
mod tests;
