//! [`States`]: a state is written over the one that was read.

use penstock::PartitionKey;
use penstock::fingerprint::Fingerprint;
use penstock::ports::States;
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

/// Of no key.
pub async fn there_is_no_state_at_first(world: &impl World) {
    assert_eq!(world.states().load(&key("k")).await.unwrap(), None);
}

/// Every field comes back.
pub async fn a_state_is_written_over_the_one_that_was_read(world: &impl World) {
    let states = world.states();
    let (first, second) = (state(1, "{}"), StoredState { state: None, refused: Vec::new(), ..state(2, "") });
    assert_eq!(states.store(&key("k é"), &first, None).await.unwrap(), Stored::Yes);
    assert_eq!(states.load(&key("k é")).await.unwrap(), Some(first));
    assert_eq!(states.store(&key("k é"), &second, Some(1)).await.unwrap(), Stored::Yes);
    assert_eq!(states.load(&key("k é")).await.unwrap(), Some(second));
}

/// Nothing is written then. A write that is said twice is one of these.
pub async fn a_state_is_not_written_over_another(world: &impl World) {
    let states = world.states();
    states.store(&key("k"), &state(1, "1"), None).await.unwrap();
    for over in [None, Some(0), Some(2)] {
        assert_eq!(states.store(&key("k"), &state(3, "3"), over).await.unwrap(), Stored::Superseded);
    }
    states.store(&key("k"), &state(2, "2"), Some(1)).await.unwrap();
    assert_eq!(states.store(&key("k"), &state(2, "2"), Some(1)).await.unwrap(), Stored::Superseded);
    assert_eq!(states.load(&key("k")).await.unwrap(), Some(state(2, "2")));
}

/// As large as the core lets them get.
pub async fn a_large_state_is_kept(world: &impl World) {
    let places = |count: u64| (1..=count).map(|n| Fingerprint(n * (u64::MAX / 5000)));
    let large = StoredState {
        refused: places(ItemLimits::DEFAULT.refused as u64 + 100).collect(),
        redriven: places(1000).collect(),
        ..state(1, &"x".repeat(ItemLimits::DEFAULT.state_bytes))
    };
    let key = key(&"é".repeat(128));
    assert_eq!(world.states().store(&key, &large, None).await.unwrap(), Stored::Yes);
    assert_eq!(world.states().load(&key).await.unwrap(), Some(large));
}
