//! The demo: the sample orders go in over HTTP, the groups settle them, and the sums have to add up.
//!
//! What is on the stream is counted by a reader of its own. It can be more than what was accepted: when a function dies
//! between storing events and saying so, the client sends them again. Each group must have settled exactly what is on
//! the stream, and its dead-letter queue must hold what it says it dead-lettered.

mod versions;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use penstock::dead_letter::Message;
use penstock::window::Counts;
use penstock_admin::Operator;
use penstock_admin::dead_letters::peek;
use penstock_local::{Stack, StreamReader};

use crate::dev::INTERRUPTED;
use crate::send::{Report, Sender};
use crate::terminal::{figures, note, say};
use versions::Versions;

const SAMPLES: &str = "events/samples/orders.ndjson";

/// How long the groups may go on without settling anything before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demo on a pipeline that is up, until it is over or `interrupted`.
pub(crate) async fn run(
    stack: &Stack,
    root: &Path,
    operator: &Operator,
    interrupted: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<ExitCode> {
    let file = root.join(SAMPLES);
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let first = stack.groups().first().context("the template has no consumer group")?;
    let mut reader = stack.reader(first);
    let (before, letters_before) = (Figures::read(stack, &mut reader).await?, letters(stack).await?);
    let lines = text.lines().count() as u64;
    let screen = Screen::new(stack, lines)?;
    let sender = Sender::new(stack.endpoint(), 50, 30)?;
    let versions = Versions::of(operator, root)?;
    let half = text.lines().count() / 2;
    let text = if versions.is_some() { versions::upgrade(&text, half) } else { text };
    if let Some(versions) = &versions {
        versions.first().await?;
    }
    let began = Instant::now();

    let mut report = Report::default();
    let mut figures = before.clone().since(&before);
    let ended = {
        let sending = async {
            let sent = |lines| screen.sent(lines as u64);
            let numbered = (1..).zip(text.lines());
            sender.send_lines(numbered.clone().take(half), &mut report, sent).await?;
            if let Some(versions) = &versions {
                versions.second().await?;
            }
            sender.send_lines(numbered.skip(half), &mut report, sent).await
        };
        let settling = settle(stack, &mut reader, &before, &screen, &mut figures, sending);
        tokio::select! {
            ended = settling => Some(ended?),
            result = interrupted => {
                result?;
                None
            }
        }
    };
    screen.close();
    let Some(answered) = ended else {
        note(&interruption(&report, &figures));
        return Ok(ExitCode::from(INTERRUPTED));
    };
    anyhow::ensure!(answered, "the edge stopped answering");
    let took = began.elapsed();
    let letters: Vec<_> = letters(stack).await?.iter().zip(letters_before).map(|(now, before)| now - before).collect();
    report.print();
    Ok(summary(&figures, &letters, report.accepted as u64, lines, took))
}

/// Sends, and waits until all is settled or nothing moves any more; `figures` is what was read last. Gives whether all
/// was sent.
async fn settle(
    stack: &Stack,
    reader: &mut StreamReader,
    before: &Figures,
    screen: &Screen,
    figures: &mut Figures,
    sending: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<bool> {
    let mut sending = std::pin::pin!(sending);
    let mut sent = false;
    let mut last = (Instant::now(), 0);
    loop {
        tokio::select! {
            result = &mut sending, if !sent => {
                result?;
                sent = true;
            }
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
        if let Some(name) = stack.stopped() {
            anyhow::bail!("{name} has stopped; `cargo penstock dev` says why");
        }
        *figures = Figures::read(stack, reader).await?.since(before);
        screen.show(stack, figures);
        let settled = figures.groups.iter().map(|(_, counts)| counts.total()).sum();
        if settled != last.1 {
            last = (Instant::now(), settled);
        }
        if (sent && figures.all_settled()) || last.0.elapsed() > PATIENCE {
            return Ok(sent);
        }
    }
}

/// What there was when somebody interrupted it. The last answers may have been on their way.
fn interruption(report: &Report, figures: &Figures) -> String {
    let settled = figures.groups.iter().map(|(name, counts)| format!(", {} settled by {name}", counts.total()));
    format!("interrupted: {} events accepted{}", report.accepted, settled.collect::<String>())
}

/// What the stream holds and the groups have settled.
#[derive(Debug, Clone, Default)]
struct Figures {
    on_stream: u64,
    groups: Vec<(String, Counts)>,
}

/// Dead letters in each group's queue.
async fn letters(stack: &Stack) -> anyhow::Result<Vec<u64>> {
    let mut found = Vec::new();
    for group in stack.groups() {
        found.push(distinct(&peek(&stack.clients().sqs, &group.dead_letter_queue, usize::MAX).await?.letters));
    }
    Ok(found)
}

impl Figures {
    async fn read(stack: &Stack, reader: &mut StreamReader) -> anyhow::Result<Self> {
        // the groups first: they can never have settled more than the stream then holds
        let mut groups = Vec::new();
        for group in stack.groups() {
            groups.push((group.name.clone(), stack.settled(group).await?));
        }
        Ok(Self { on_stream: reader.read().await?.events, groups })
    }

    fn since(mut self, before: &Self) -> Self {
        self.on_stream -= before.on_stream;
        for ((_, counts), (_, before)) in self.groups.iter_mut().zip(&before.groups) {
            counts.handled -= before.handled;
            counts.duplicates -= before.duplicates;
            counts.dead_letters -= before.dead_letters;
            counts.foreign -= before.foreign;
        }
        self
    }

    fn all_settled(&self) -> bool {
        self.groups.iter().all(|(_, counts)| counts.total() >= self.on_stream)
    }
}

fn summary(found: &Figures, letters: &[u64], accepted: u64, lines: u64, took: Duration) -> ExitCode {
    let on_stream = found.on_stream;
    let mut whole = on_stream >= accepted;
    let mut rows = Vec::new();
    for ((name, counts), letters) in found.groups.iter().zip(letters) {
        let adds_up = counts.total() == on_stream && *letters == counts.dead_letters;
        whole &= adds_up;
        let cells = [accepted, on_stream, counts.handled, counts.duplicates, counts.dead_letters, *letters];
        let mut row = vec![name.clone()];
        row.extend(cells.map(|n| n.to_string()));
        row.push(if adds_up { "yes" } else { "NO" }.to_owned());
        rows.push(row);
    }
    let header = ["group", "accepted", "on stream", "handled", "duplicates", "dead letters", "in queue", "adds up"];
    say("");
    say(&figures(&header, &rows));
    say("");
    let seconds = took.as_secs_f64();
    if whole {
        say(&format!(
            "{lines} lines in {seconds:.1} s; on stream = handled + duplicates + dead letters in every group"
        ));
        ExitCode::SUCCESS
    } else {
        say(&format!("{lines} lines in {seconds:.1} s; THE SUMS DO NOT ADD UP"));
        ExitCode::FAILURE
    }
}

/// Dead letters by place: one that was sent twice, because its sender died in between, is one.
fn distinct(letters: &[Message]) -> u64 {
    letters.iter().map(|letter| (&letter.shard, &letter.sequence, letter.index)).collect::<BTreeSet<_>>().len() as u64
}

/// The live table: a line a group on a terminal, now and then a plain line elsewhere.
struct Screen {
    sent: ProgressBar,
    groups: Vec<ProgressBar>,
    live: bool,
    spoke: std::cell::Cell<Instant>,
}

impl Screen {
    fn new(stack: &Stack, lines: u64) -> anyhow::Result<Self> {
        let screen = MultiProgress::new();
        let sent = screen.add(ProgressBar::new(lines));
        sent.set_style(ProgressStyle::with_template("sent            {bar:30} {pos}/{len} lines")?);
        let style = ProgressStyle::with_template("{msg}")?;
        let groups = stack.groups().iter().map(|_| screen.add(ProgressBar::new_spinner().with_style(style.clone())));
        let groups = groups.collect();
        let live = std::io::stderr().is_terminal();
        Ok(Self { sent, groups, live, spoke: std::cell::Cell::new(Instant::now()) })
    }

    fn sent(&self, lines: u64) {
        self.sent.inc(lines);
    }

    fn show(&self, stack: &Stack, figures: &Figures) {
        let lines: Vec<_> = figures.groups.iter().map(|(name, counts)| line(stack, name, *counts)).collect();
        if self.live {
            for (bar, line) in self.groups.iter().zip(lines) {
                bar.set_message(line);
            }
        } else if self.spoke.get().elapsed() >= Duration::from_secs(2) {
            self.spoke.set(Instant::now());
            lines.iter().for_each(|line| note(line));
        }
    }

    fn close(&self) {
        self.sent.finish_and_clear();
        self.groups.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn line(stack: &Stack, group: &str, counts: Counts) -> String {
    let age = stack.group(group).map(|group| stack.iterator_age(group)).unwrap_or_default().as_secs_f64();
    format!(
        "{group:<15} settled {:>5}   duplicates {:>4}   dead letters {:>3}   iterator age {age:.1} s",
        counts.total(),
        counts.duplicates,
        counts.dead_letters
    )
}
