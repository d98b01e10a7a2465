//! What chaos shows: a bar over time while it runs, a table at the end.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Shared;
use super::found::Found;
use super::verdict::{Kind, Violation};
use crate::terminal::{figures, note, say};

/// How often a line is written where there is no terminal.
const SPEAK_EVERY: Duration = Duration::from_secs(5);

/// The live line.
pub(super) struct Screen {
    bar: ProgressBar,
    live: bool,
    spoke: std::cell::Cell<Instant>,
}

impl Screen {
    pub(super) fn new(lasts: Duration) -> anyhow::Result<Self> {
        let bar = ProgressBar::new(lasts.as_secs());
        bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} s  {msg}")?);
        Ok(Self { bar, live: std::io::stderr().is_terminal(), spoke: std::cell::Cell::new(Instant::now()) })
    }

    /// Shows how far it is.
    pub(super) fn show(&self, elapsed: Duration, shared: &Shared) {
        let ([_, again, accepted, refused], faults, shards) = (shared.requests(), shared.faults(), shared.shards());
        let line = format!(
            "{accepted} accepted, {refused} refused, {again} requests again, {} kills, {} zombies, {} splits, {} merges",
            faults.edge_kills + faults.consumer_kills,
            faults.zombies,
            shards.splits,
            shards.merges,
        );
        self.bar.set_position(elapsed.as_secs());
        self.say(&line);
    }

    /// Says what is being done.
    pub(super) fn say(&self, line: &str) {
        if self.live {
            self.bar.set_message(line.to_owned());
        } else if self.spoke.get().elapsed() >= SPEAK_EVERY {
            self.spoke.set(Instant::now());
            note(line);
        }
    }

    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

/// Prints the table, and whether it held.
pub(super) fn summary(shared: &Shared, found: &Found, wrong: &BTreeSet<Violation>, took: Duration) {
    let [requests, again, accepted, refused] = shared.requests();
    let (faults, shards) = (shared.faults(), shared.shards());
    let of = |kind: Kind| wrong.iter().filter(|violation| violation.kind == kind).count() as u64;
    let counted = [
        ("requests", requests),
        ("requests sent again", again),
        ("events accepted", accepted),
        ("events refused", refused),
        ("events on the stream", found.stream.count),
        ("kills of the edge", faults.edge_kills),
        ("kills of consumers", faults.consumer_kills),
        ("consumers stopped", faults.stops),
        ("zombies", faults.zombies),
        ("splits", shards.splits),
        ("merges", shards.merges),
        ("orders checked", found.stream.events.len() as u64),
        ("alerts checked", found.effects.len() as u64),
        ("losses", of(Kind::Loss)),
        ("doubles", of(Kind::Double)),
        ("order violations", of(Kind::Order)),
        ("other violations", of(Kind::Other)),
    ];
    let mut rows = vec![vec!["minutes".to_owned(), format!("{:.1}", took.as_secs_f64() / 60.0)]];
    rows.extend(counted.map(|(name, count)| vec![name.to_owned(), count.to_string()]));
    say("");
    say(&figures(&["chaos", ""], &rows));
    say("");
    let mut rows = Vec::new();
    for group in &found.groups {
        let counts = &group.counts;
        let cells = [found.stream.count, counts.handled, counts.duplicates, counts.dead_letters, counts.total()];
        rows.push([vec![group.group.clone()], cells.map(|n| n.to_string()).to_vec()].concat());
    }
    say(&figures(&["group", "on stream", "handled", "duplicates", "dead letters", "sum"], &rows));
    say("");
    if faults.zombies > 0 {
        say("a zombie's late segment may count events that were counted already, so a sum may be above the stream's");
    }
    say(if wrong.is_empty() { "it held" } else { "IT DID NOT HOLD" });
}

/// A violation in one line.
pub(super) fn line(violation: &Violation) -> String {
    let Violation { kind, subject, event, what } = violation;
    let event = if event.is_empty() { String::new() } else { format!(", event {event}") };
    format!("{kind:?}: {subject}{event}: {what}").trim_start().to_owned()
}
