//! The calls for a projection's states: many states go into one.

/// Keys that a run loads, folds and stores together, and reads with one `BatchGetItem`: `KEYS_AT_ONCE` in
/// `shared/core/src/settle/projecting.rs`, `READS_MAX` in `shared/aws/src/dynamodb/state_table.rs`.
const LOADED_AT_ONCE: f64 = 100.0;
/// States of a `BatchExecuteStatement`: `WRITES_MAX` there. It divides the keys that are stored together.
const STORED_AT_ONCE: f64 = 25.0;
/// Of those hundreds: `SIDE_BY_SIDE`.
const SIDE_BY_SIDE: f64 = 2.0;

/// What a batch asks for its states.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StateCalls {
    pub(super) loads: f64,
    pub(super) stores: f64,
    /// How often calls are waited for: a store follows its load, and what runs side by side is waited for once.
    pub(super) turns: f64,
}

impl StateCalls {
    /// For a batch of `keys`, of which `unknown` are not remembered by the process.
    pub(super) fn of(keys: f64, unknown: f64) -> Self {
        let hundreds = (keys / LOADED_AT_ONCE).ceil();
        let loads = hundreds.min(unknown.ceil());
        let turns = |calls: f64| (calls / SIDE_BY_SIDE).ceil();
        Self { loads, stores: (keys / STORED_AT_ONCE).ceil(), turns: turns(loads) + turns(hundreds) }
    }

    pub(super) fn calls(&self) -> f64 {
        self.loads + self.stores
    }

    /// Whether so many batches with so many keys together may have asked this: how the keys were spread is not known, and
    /// each batch rounds up by less than a call.
    pub(super) fn may_come_from(&self, batches: f64, keys: f64) -> bool {
        let within = |calls: f64, at_once: f64| {
            let full = keys / at_once;
            (full.max(batches)..=full + batches).contains(&calls)
        };
        within(self.loads, LOADED_AT_ONCE) && within(self.stores, STORED_AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_rounds_its_calls_up() {
        let calls = |keys: f64, unknown: f64| {
            let calls = StateCalls::of(keys, unknown);
            (calls.loads, calls.stores, calls.turns)
        };
        assert_eq!(calls(1.0, 1.0), (1.0, 1.0, 2.0));
        assert_eq!(calls(25.4, 25.4), (1.0, 2.0, 2.0));
        // as docs/performance.md counted them: 8 with the three of progress and window, and 7
        assert_eq!(calls(100.0, 100.0), (1.0, 4.0, 2.0));
        assert_eq!(calls(100.0, 0.0), (0.0, 4.0, 1.0));
        assert_eq!(calls(101.0, 101.0), (2.0, 5.0, 2.0));
        // five hundreds, two at a time, each a load and a store
        assert_eq!(calls(500.0, 500.0), (5.0, 20.0, 6.0));
        // three keys that are not remembered may each be in a hundred of its own
        assert_eq!(calls(500.0, 3.0), (3.0, 20.0, 5.0));
    }

    #[test]
    fn a_call_for_each_state_is_not_of_this_kind() {
        let counted = |loads, stores| StateCalls { loads, stores, turns: 0.0 };
        assert!(counted(5.0, 20.0).may_come_from(1.0, 500.0));
        assert!(counted(33.0, 123.0).may_come_from(9.0, 3000.0));
        assert!(!counted(3000.0, 3000.0).may_come_from(9.0, 3000.0));
        assert!(!counted(33.0, 60.0).may_come_from(9.0, 3000.0));
        assert!(!counted(7.0, 8.0).may_come_from(8.0, 20.0));
    }
}
