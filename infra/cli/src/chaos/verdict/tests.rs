use penstock::fingerprint::Fingerprint;
use penstock::window::Counts;

use super::*;
use crate::chaos::found::{Letter, Settled};
use crate::chaos::load::Place;
use crate::chaos::model::{PREFIX, Told};

const KEY: &str = "ORDER";

fn place(number: usize) -> Place {
    Place { shard: "0".to_owned(), sequence: number.to_string() }
}

fn told((id, name): (&str, &str)) -> Told {
    Told { id: id.into(), kind: format!("{PREFIX}{name}"), total_cents: Some(100_001), reason: Some("fraud".into()) }
}

/// A world in which these events of one order were accepted, and everything that has to follow has.
fn whole(events: &[(&str, &str)]) -> (Log, Found) {
    let sent = events.iter().enumerate();
    let sent = sent.map(|(number, (id, _))| Sent { id: (*id).to_owned(), place: Some(place(number)) }).collect();
    let log = Log { orders: [(KEY.to_owned(), sent)].into(), ..Log::default() };
    let told: Vec<_> = events.iter().copied().map(told).collect();
    let story = Story::of(&told);
    let mut stream = OnStream { count: told.len() as u64, ..OnStream::default() };
    for (number, event) in told.iter().enumerate() {
        stream.places.insert((event.id.clone(), place(number)));
        let copies = stream.copies.entry((KEY.to_owned(), event.id.clone()));
        copies.or_insert((Fingerprint(number as u64), Vec::new())).1.push(number.to_string());
        stream.by_effect.insert(format!("effect-{}", event.id), (KEY.to_owned(), event.id.clone()));
    }
    let groups = [PROJECTION, HANDLER].map(|group| {
        let dead = story.dead.get(group).cloned().unwrap_or_default();
        let dead_letters = dead.len() as u64;
        let counts = Counts { handled: stream.count - dead_letters, dead_letters, ..Counts::default() };
        let letter = |id| Letter { key: KEY.to_owned(), id, code: "refused".to_owned() };
        let letters = dead.into_iter().map(letter).collect();
        let handled = stream.copies.values().map(|(name, _)| *name).collect();
        Settled { group: group.to_owned(), counts, handled, letters, places: dead_letters }
    });
    stream.events.insert(KEY.to_owned(), told);
    let state = story.order.map(|order| State {
        status: order.status,
        total_cents: order.total_cents,
        history: order.history.into_iter().map(|id| (String::new(), id)).collect(),
    });
    let effects = story.alerts.iter().map(|id| format!("effect-{id}")).collect();
    let states = state.map(|state| (KEY.to_owned(), state)).into_iter().collect();
    (log, Found { stream, states, groups: groups.into(), effects })
}

const EVENTS: [(&str, &str); 4] = [("a", "placed"), ("b", "shipped"), ("c", "paid"), ("d", "cancelled")];

fn kinds(log: &Log, found: &Found) -> Vec<(Kind, String)> {
    judge(log, found, 0).into_iter().map(|wrong| (wrong.kind, wrong.event)).collect()
}

fn spoilt(spoil: impl FnOnce(&mut Log, &mut Found)) -> Vec<(Kind, String)> {
    let (mut log, mut found) = whole(&EVENTS);
    spoil(&mut log, &mut found);
    kinds(&log, &found)
}

fn one(kind: Kind, event: &str) -> Vec<(Kind, String)> {
    vec![(kind, event.to_owned())]
}

#[test]
fn a_world_in_which_everything_followed_is_whole() {
    let (log, found) = whole(&EVENTS);
    assert_eq!(judge(&log, &found, 0), BTreeSet::new());
}

#[test]
fn an_accepted_event_that_is_not_where_the_edge_said_is_lost() {
    let lost = spoilt(|_, found| found.stream.places.retain(|(id, _)| id != "c"));
    assert_eq!(lost, one(Kind::Loss, "c"));
}

#[test]
fn first_copies_out_of_the_order_of_sending_are_found() {
    let disorder = spoilt(|log, _| log.orders.get_mut(KEY).unwrap().swap(0, 1));
    assert_eq!(disorder, one(Kind::Order, ""));
}

#[test]
fn a_step_that_is_missing_twice_there_or_out_of_order_is_found() {
    let history = |found: &mut Found, ids: &[&str]| {
        let ids = ids.iter().map(|id| (String::new(), (*id).to_owned()));
        found.states.get_mut(KEY).unwrap().history = ids.collect();
    };
    assert_eq!(spoilt(|_, found| history(found, &["a", "d"])), one(Kind::Loss, "c"));
    assert_eq!(spoilt(|_, found| history(found, &["a", "c", "c", "d"])), one(Kind::Double, "c"));
    assert_eq!(spoilt(|_, found| history(found, &["a", "d", "c"])), one(Kind::Order, ""));
    assert_eq!(spoilt(|_, found| found.states.clear()), one(Kind::Loss, ""));
}

#[test]
fn an_event_that_a_group_neither_handled_nor_dead_lettered_is_lost() {
    assert_eq!(spoilt(|_, found| found.groups[1].handled.retain(|name| name.0 != 2)), one(Kind::Loss, "c"));
    // "b" is refused by the projection, and its letter is there
    assert_eq!(spoilt(|_, found| found.groups[0].handled.retain(|name| name.0 != 1)), []);
}

#[test]
fn a_dead_letter_that_is_missing_or_should_not_be_is_found() {
    let missing = spoilt(|_, found| found.groups[0].letters.clear());
    assert_eq!(missing, one(Kind::Loss, "b"));
    let letter = Letter { key: KEY.to_owned(), id: "a".to_owned(), code: "crashed".to_owned() };
    let unexpected = spoilt(|_, found| found.groups[1].letters.extend([letter]));
    assert_eq!(unexpected, one(Kind::Double, "a"));
}

#[test]
fn an_alert_that_is_missing_of_nothing_or_out_of_order_is_found_and_one_that_repeats_is_not() {
    assert_eq!(spoilt(|_, found| drop(found.effects.remove(1))), one(Kind::Loss, "d"));
    assert_eq!(spoilt(|_, found| found.effects.push("effect-z".into())), one(Kind::Double, ""));
    assert_eq!(spoilt(|_, found| found.effects.swap(0, 1)), one(Kind::Order, ""));
    assert_eq!(spoilt(|_, found| found.effects.push("effect-a".into())), []);
}

#[test]
fn a_group_that_settled_too_little_is_found_and_too_much_unless_there_was_a_zombie() {
    assert_eq!(spoilt(|_, found| found.groups[0].counts.handled -= 1), one(Kind::Loss, ""));
    assert_eq!(spoilt(|_, found| found.groups[0].counts.handled += 1), one(Kind::Double, ""));
    let (log, mut found) = whole(&EVENTS);
    found.groups[0].counts.handled += 1;
    assert_eq!(judge(&log, &found, 1), BTreeSet::new());
}
