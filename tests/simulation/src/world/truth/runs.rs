//! Runs: who suspected whom, and who ended without a word.

use super::*;

/// The runs of a group, and how they ended.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Those of each process that have not ended.
    pub(super) of: BTreeMap<Pid, Vec<(ShardId, u64)>>,
    /// Those that ended without a word.
    pub(super) silent: BTreeSet<(ShardId, u64)>,
    /// Whom each suspected.
    pub(super) suspects: BTreeMap<(ShardId, u64), BTreeSet<Position>>,
}

impl Runs {
    pub(super) fn ended(&mut self, pid: Pid, silently: bool) {
        let runs = self.of.remove(&pid).unwrap_or_default();
        self.silent.extend(runs.into_iter().filter(|_| silently));
    }

    /// Runs that suspected an event and ended without a word.
    pub(super) fn silent_with(&self, shard: &ShardId, position: &Position) -> usize {
        let on_shard = self.suspects.iter().filter(|(run, _)| run.0 == *shard);
        on_shard.filter(|(run, suspects)| suspects.contains(position) && self.silent.contains(run)).count()
    }
}
