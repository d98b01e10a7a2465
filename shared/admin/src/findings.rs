//! What a status says is wrong, and where the runbook goes on.

use std::time::Duration;

use serde::Serialize;

use crate::status::{GroupStatus, ShardStatus, Status};

/// Runs without a commit from which on something is wrong: one may just be under way, and one may have been cut off by a
/// deployment.
const ATTEMPTS: u32 = 3;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The group that has it; `None` for what all groups share.
    pub group: Option<String>,
    /// What it is, in a sentence without its end.
    pub what: String,
    /// The page of the runbook.
    pub page: &'static str,
}

/// What is wrong, the worst first: what may lose events, what stands still, what waits for somebody.
pub fn findings(status: &Status, age_max: Duration) -> Vec<Finding> {
    let mut found = Vec::new();
    if status.failed_give_ups > 0 {
        let what = format!("{} of given-up records could not be recovered", many(status.failed_give_ups, "notice"));
        found.push(Finding { group: None, what, page: "docs/runbook/failed-give-ups.md" });
    }
    if status.give_ups > 0 {
        let what = format!("`recover` has not worked off {} of given-up records", many(status.give_ups, "notice"));
        found.push(Finding { group: None, what, page: "docs/runbook/give-ups.md" });
    }
    let groups = &status.groups;
    found.extend(groups.iter().filter_map(stands));
    found.extend(groups.iter().filter_map(|group| is_late(group, age_max)));
    found.extend(groups.iter().filter_map(is_unknown));
    found.extend(groups.iter().filter(|group| group.dead_letters > 0).map(|group| Finding {
        group: Some(group.group.clone()),
        what: format!("{} in the dead-letter queue", many(group.dead_letters, "message")),
        page: "docs/runbook/dead-letters.md",
    }));
    found
}

/// `1 letter`, `2 letters`.
fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Runs begin and do not end.
fn stands(group: &GroupStatus) -> Option<Finding> {
    let worst = group.shards.iter().filter(|shard| shard.attempts >= ATTEMPTS).max_by_key(|shard| shard.attempts)?;
    let isolation =
        if worst.suspect.is_some() { "; it handles events one by one to find the one that crashes it" } else { "" };
    let what = format!("{} runs in a row on {} began and did not end{isolation}", worst.attempts, worst.shard);
    Some(Finding { group: Some(group.group.clone()), what, page: "docs/runbook/function-errors.md" })
}

fn is_late(group: &GroupStatus, age_max: Duration) -> Option<Finding> {
    let late = |shard: &&ShardStatus| shard.age() > age_max;
    let oldest = group.shards.iter().filter(late).max_by_key(|shard| shard.age())?;
    let shards = group.shards.iter().filter(late).count();
    let seconds = oldest.age().as_secs();
    let (why, page) = if oldest.retried > 0 {
        (format!(", where {} asked for retries", many(oldest.retried as u64, "event")), "docs/runbook/lag.md")
    } else {
        (String::new(), "docs/runbook/iterator-age.md")
    };
    let late = many(shards as u64, "late shard");
    let what = format!("{late}; the oldest event has waited {seconds} s on {}{why}", oldest.shard);
    Some(Finding { group: Some(group.group.clone()), what, page })
}

/// What is behind a position could not be told, so that nothing is known to be well either.
fn is_unknown(group: &GroupStatus) -> Option<Finding> {
    let shard = &group.shards.iter().find(|shard| shard.unknown)?.shard;
    let what = format!("it could not be told what is left on {shard}: the stream gave nothing and no end; ask again");
    Some(Finding { group: Some(group.group.clone()), what, page: "docs/runbook/iterator-age.md" })
}

impl ShardStatus {
    fn age(&self) -> Duration {
        Duration::from_millis(self.iterator_age_ms.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use penstock::ShardId;

    use super::*;

    fn status(change: impl FnOnce(&mut Status)) -> Status {
        let shard = ShardStatus {
            shard: ShardId::new("shardId-000000000000"),
            position: None,
            iterator_age_ms: Some(59_000),
            drained: false,
            unknown: false,
            epoch: 7,
            attempts: 2,
            retried: 0,
            failing: Vec::new(),
            suspect: None,
        };
        let (group, function) = ("orders".to_owned(), "orders-1".to_owned());
        let group = GroupStatus { group, function, shards: vec![shard], dead_letters: 0, redriven: 5 };
        let (stack, stream) = ("shop".to_owned(), "events".to_owned());
        let mut status = Status { stack, stream, groups: vec![group], give_ups: 0, failed_give_ups: 0 };
        change(&mut status);
        status
    }

    fn pages(change: impl FnOnce(&mut Status)) -> Vec<&'static str> {
        findings(&status(change), Duration::from_secs(60)).into_iter().map(|finding| finding.page).collect()
    }

    #[test]
    fn what_is_under_way_is_not_wrong() {
        assert_eq!(pages(|_| {}), [] as [&str; 0]);
    }

    #[test]
    fn each_trouble_names_its_page_of_the_runbook() {
        let late = |shard: &mut ShardStatus| shard.iterator_age_ms = Some(61_000);
        assert_eq!(pages(|status| late(&mut status.groups[0].shards[0])), ["docs/runbook/iterator-age.md"]);
        let blocked = |status: &mut Status| {
            late(&mut status.groups[0].shards[0]);
            status.groups[0].shards[0].retried = 2;
        };
        assert_eq!(pages(blocked), ["docs/runbook/lag.md"]);
        assert_eq!(pages(|status| status.groups[0].shards[0].attempts = 3), ["docs/runbook/function-errors.md"]);
        assert_eq!(pages(|status| status.groups[0].shards[0].unknown = true), ["docs/runbook/iterator-age.md"]);
        assert_eq!(pages(|status| status.groups[0].dead_letters = 1), ["docs/runbook/dead-letters.md"]);
        let gone = |status: &mut Status| (status.give_ups, status.failed_give_ups) = (1, 1);
        assert_eq!(pages(gone), ["docs/runbook/failed-give-ups.md", "docs/runbook/give-ups.md"]);
    }

    #[test]
    fn every_page_that_is_named_is_there() {
        let all = findings(
            &status(|status| {
                (status.give_ups, status.failed_give_ups) = (1, 1);
                status.groups[0].dead_letters = 1;
                let mut blocked = status.groups[0].clone();
                blocked.shards[0].iterator_age_ms = Some(600_000);
                blocked.shards[0].attempts = 3;
                let mut retried = blocked.clone();
                retried.shards[0].retried = 1;
                status.groups.extend([blocked, retried]);
            }),
            Duration::from_secs(60),
        );
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for finding in &all {
            assert!(root.join(finding.page).is_file(), "{}", finding.page);
        }
        assert_eq!(all.iter().map(|finding| finding.page).collect::<std::collections::BTreeSet<_>>().len(), 6);
    }
}
