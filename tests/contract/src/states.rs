//! [`States`]: a state is written over the one that was read.

use penstock::PartitionKey;
use penstock::fingerprint::Fingerprint;
use penstock::ports::{StateWrite, States};
use penstock::projection::{Stored, StoredState};
use penstock::settle::ItemLimits;

use crate::{World, position};

fn state(revision: u64, text: &str) -> StoredState {
    StoredState {
        revision,
        applied: position(3, 1),
        state: Some(text.to_owned()),
        settled: position(1, 0),
        refused: vec![Fingerprint(3), Fingerprint(u64::MAX)],
        refused_to: position(2, 1),
        redriven: vec![Fingerprint(7)],
    }
}

fn key(text: &str) -> PartitionKey {
    PartitionKey::new(text).unwrap()
}

async fn load(states: &impl States, key: &PartitionKey) -> Option<StoredState> {
    let [loaded] = <[_; 1]>::try_from(states.load(std::slice::from_ref(key)).await).unwrap();
    loaded.unwrap()
}

async fn store(states: &impl States, key: &PartitionKey, state: &StoredState, over: Option<u64>) -> Stored {
    let write = StateWrite { key: key.clone(), state: state.clone(), over };
    let [stored] = <[_; 1]>::try_from(states.store(&[write]).await).unwrap();
    stored.unwrap()
}

/// Of no key.
pub async fn there_is_no_state_at_first(world: &impl World) {
    assert_eq!(load(&world.states(), &key("k")).await, None);
}

/// Every field comes back.
pub async fn a_state_is_written_over_the_one_that_was_read(world: &impl World) {
    let states = world.states();
    let (first, second) = (state(1, "{}"), StoredState { state: None, refused: Vec::new(), ..state(2, "") });
    assert_eq!(store(&states, &key("k é"), &first, None).await, Stored::Yes);
    assert_eq!(load(&states, &key("k é")).await, Some(first));
    assert_eq!(store(&states, &key("k é"), &second, Some(1)).await, Stored::Yes);
    assert_eq!(load(&states, &key("k é")).await, Some(second));
}

/// Nothing is written then. A write that is said twice is one of these.
pub async fn a_state_is_not_written_over_another(world: &impl World) {
    let states = world.states();
    store(&states, &key("k"), &state(1, "1"), None).await;
    for over in [None, Some(0), Some(2)] {
        assert_eq!(store(&states, &key("k"), &state(3, "3"), over).await, Stored::Superseded);
    }
    // nor over none
    assert_eq!(store(&states, &key("other"), &state(3, "3"), Some(1)).await, Stored::Superseded);
    assert_eq!(load(&states, &key("other")).await, None);
    store(&states, &key("k"), &state(2, "2"), Some(1)).await;
    assert_eq!(store(&states, &key("k"), &state(2, "2"), Some(1)).await, Stored::Superseded);
    assert_eq!(load(&states, &key("k")).await, Some(state(2, "2")));
}

/// One that is superseded keeps no other from being written, and results are in the order of the writes, however many there
/// are.
pub async fn each_state_of_a_call_is_judged_alone(world: &impl World) {
    let states = world.states();
    let keys: Vec<PartitionKey> = (0..130).map(|n| key(&format!("k{n}"))).collect();
    let is_there = |n: usize| n % 7 == 3;
    for (n, key) in keys.iter().enumerate().filter(|(n, _)| is_there(*n)) {
        store(&states, key, &state(9, &format!("old {n}")), None).await;
    }
    let write = |(n, key): (usize, &PartitionKey)| {
        let text = format!("new {n}");
        // every other one of those that are there is written over what is there
        let over = (is_there(n) && n % 2 == 1).then_some(9);
        StateWrite { key: key.clone(), state: state(10, &text), over }
    };
    let stored = states.store(&keys.iter().enumerate().map(write).collect::<Vec<_>>()).await;
    let superseded = |n: usize| is_there(n) && n.is_multiple_of(2);
    let expected: Vec<_> = (0..130).map(|n| Ok(if superseded(n) { Stored::Superseded } else { Stored::Yes })).collect();
    assert_eq!(stored, expected);
    let loaded = states.load(&keys).await;
    let text = |n: usize| format!("{} {n}", if superseded(n) { "old" } else { "new" });
    let found: Vec<_> = loaded.into_iter().map(|state| state.unwrap().unwrap().state.unwrap()).collect();
    assert_eq!(found, (0..130).map(text).collect::<Vec<_>>());
    let none = states.load(&[key("k5"), key("none"), key("k6")]).await;
    assert_eq!(none.into_iter().map(|state| state.unwrap().is_some()).collect::<Vec<_>>(), [true, false, true]);
}

/// As large as the core lets them get, and many of them in a call.
pub async fn large_states_are_kept(world: &impl World) {
    let places = |count: u64| (1..=count).map(|n| Fingerprint(n * (u64::MAX / 5000)));
    let large = StoredState {
        refused: places(ItemLimits::DEFAULT.refused as u64 + 100).collect(),
        redriven: places(1000).collect(),
        ..state(1, &"x".repeat(ItemLimits::DEFAULT.state_bytes))
    };
    let states = world.states();
    let keys: Vec<_> = (0..50).map(|n| key(&format!("{n:03}{}", "é".repeat(126)))).collect();
    let write = |key: &PartitionKey| StateWrite { key: key.clone(), state: large.clone(), over: None };
    let stored = states.store(&keys.iter().map(write).collect::<Vec<_>>()).await;
    assert!(stored.iter().all(|stored| *stored == Ok(Stored::Yes)), "{stored:?}");
    // more than an answer holds
    for loaded in states.load(&keys).await {
        assert_eq!(loaded.unwrap(), Some(large.clone()));
    }
}
