//! `penstock dlq`: looking at dead letters, and sending them back.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use penstock::dead_letter::Message;
use penstock_admin::Operator;
use penstock_admin::redrive::{Fate, SentBack};
use penstock_aws::deployment::GroupParts;
use serde::Serialize;
use serde_json::json;

use crate::target::Target;
use crate::terminal::{harmless, json_line, many, note, say};

/// Between two looks at how many are under way.
const PAUSE: Duration = Duration::from_secs(1);
/// SQS's counts can be some seconds late: so many in a row have to say that nothing is under way.
const QUIET: u32 = 3;
/// After a look at the letters that did not tell of all: a look hides them from a move that is under way.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// Between two lines that say how far it is.
const TELL: Duration = Duration::from_secs(15);

/// What is done with dead letters.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List a group's dead letters; they stay in the queue
    List {
        /// The consumer group
        #[arg(long)]
        group: String,
        /// List so many at most; while it looks, nobody else sees those
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print each letter as one line of JSON, its bytes included
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Send a group's dead letters back to it, all of them, and say what became of each.
    ///
    /// `settled`: handled, or found to be a duplicate. `back`: in the dead letters again, with the new reason. `unchanged`: in
    /// the dead letters as it was. `waiting`: it could not be tried, or not yet, and comes again within six minutes. `unknown`:
    /// settled or waiting. The exit code is 0 when all are settled, and 1 when some are not or when it cannot be told.
    Redrive {
        /// The consumer group
        #[arg(long)]
        group: String,
        /// Wait so long for what becomes of them; 0 does not wait
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(0..=86_400))]
        wait: u32,
        /// Print what became of each letter as one line of JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { group, limit, json, target } => list(&group, limit as usize, json, &target).await,
        Command::Redrive { group, wait: 0, json, target } => start(&group, json, &target).await,
        Command::Redrive { group, wait, json, target } => {
            redrive(&group, Duration::from_secs(wait.into()), json, &target).await
        }
    }
}

async fn list(group: &str, limit: usize, json: bool, target: &Target) -> anyhow::Result<ExitCode> {
    let operator = target.operator().await?;
    let found = operator.dead_letters(operator.group(group)?, limit).await?;
    for letter in &found.letters {
        say(&if json { json_line(letter)? } else { line(letter) });
    }
    for other in &found.others {
        note(&harmless(&format!("message {} is no dead letter ({}): {}", other.message_id, other.why, other.begins)));
    }
    let more = if found.more { ", and there are more: see --limit" } else { "" };
    note(&format!("{} of {group}{more}", many(found.letters.len(), "dead letter")));
    Ok(ExitCode::SUCCESS)
}

fn line(letter: &Message) -> String {
    harmless(&format!("{}  {}", place(letter), reason(letter)))
}

fn place(letter: &Message) -> String {
    format!("{} {}.{}  key {}", letter.shard, letter.sequence, letter.index, letter.partition_key)
}

fn reason(letter: &Message) -> String {
    let part = if letter.parts > 1 { format!(" (part {} of {})", letter.part, letter.parts) } else { String::new() };
    format!("{}: {}{part}", letter.code.as_str(), letter.reason)
}

/// Sends them back and does not wait.
async fn start(group: &str, json: bool, target: &Target) -> anyhow::Result<ExitCode> {
    let operator = target.operator().await?;
    let moved = operator.redrive(operator.group(group)?).await?;
    if json {
        say(&json_line(&json!({"group": group, "messages": moved}))?);
    }
    note(&format!(
        "{} on their way back to {group}; what is refused again is in the dead letters at once, and what could not be tried \
         comes again within six minutes, three times at most ({})",
        many(usize::try_from(moved)?, "message"),
        list_again(group, target)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Sends them back and says what became of each.
async fn redrive(group: &str, wait: Duration, json: bool, target: &Target) -> anyhow::Result<ExitCode> {
    let operator = target.operator().await?;
    let parts = operator.group(group)?;
    let sent = operator.send_back(parts).await?;
    if sent.hidden > 0 {
        note(&format!("about {} more were in somebody's hands and stay where they are", sent.hidden));
    }
    if sent.others > 0 {
        let others = many(sent.others, "message");
        note(&format!("{others} that can be no dead letter are moved too; nobody takes them, and SQS moves them back"));
    }
    if sent.count() == 0 {
        let redrive = usize::try_from(operator.underway(parts).await?.redrive)?;
        let waiting = if redrive == 0 {
            String::new()
        } else {
            format!("; {} in the redrive queue from before, on the way back to it", many(redrive, "message"))
        };
        note(&format!("no dead letters of {group}{waiting}"));
        return Ok(if redrive == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    note(&format!(
        "{} sent back to {group}; waiting {} s at most for what becomes of each: Ctrl-C ends the waiting and nothing \
         else ({})",
        many(sent.count(), "dead letter"),
        wait.as_secs(),
        list_again(group, target)
    ));
    let fates = wait_for(&operator, parts, &sent, Instant::now() + wait).await?;
    let mut tally = Tally::default();
    for (letter, fate) in &fates {
        say(&if json { json_line(&Became::of(letter, fate))? } else { became(letter, fate) });
        tally.add(fate);
    }
    note(&format!("{tally} of {group}"));
    Ok(if tally.settled == fates.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list_again(group: &str, target: &Target) -> String {
    format!("`penstock dlq list --group {group}{}` shows what came back", target.flags())
}

/// Waits until it is known of each letter what became of it, or until `end`.
async fn wait_for<'a>(
    operator: &Operator,
    group: &GroupParts,
    sent: &'a SentBack,
    end: Instant,
) -> anyhow::Result<Vec<(&'a Message, Fate)>> {
    let (mut quiet, mut look_at, mut tell_at) = (0, Instant::now(), Instant::now() + TELL);
    loop {
        let now = Instant::now();
        tokio::time::sleep(PAUSE.min(end.saturating_duration_since(now))).await;
        let is_last = Instant::now() >= end;
        let underway = match operator.underway(group).await {
            Ok(underway) => underway,
            Err(error) if is_last => return Err(error.into()),
            // the next one may come through
            Err(_) => continue,
        };
        quiet = if underway.is_over(sent) { quiet + 1 } else { 0 };
        if is_last || quiet >= QUIET && now >= look_at {
            let found = operator.dead_letters(group, usize::MAX).await?;
            let fates = sent.fates(&found, underway);
            let is_open = |(_, fate): &(&Message, Fate)| match fate {
                Fate::Settled | Fate::Back(_) => false,
                // it does not change any more, if it is known that nothing is being moved
                Fate::Unchanged => underway.moving.is_none(),
                Fate::Waiting | Fate::Unknown => true,
            };
            if is_last || !fates.iter().any(is_open) {
                return Ok(fates);
            }
            (quiet, look_at) = (0, now + LOOK_AGAIN);
        }
        if now >= tell_at {
            note(&format!("{} in the redrive queue", many(usize::try_from(underway.redrive)?, "message")));
            tell_at = now + TELL;
        }
    }
}

fn word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Settled => "settled",
        Fate::Back(_) => "back",
        Fate::Unchanged => "unchanged",
        Fate::Waiting => "waiting",
        Fate::Unknown => "unknown",
    }
}

fn became(letter: &Message, fate: &Fate) -> String {
    let why = match fate {
        Fate::Settled => String::new(),
        Fate::Back(new) => format!("  {}: {}", new.code.as_str(), new.reason),
        Fate::Unchanged => "  not moved, or moved back untried".to_owned(),
        Fate::Waiting => "  in the redrive queue: it comes again within six minutes".to_owned(),
        Fate::Unknown => "  settled, or in the redrive queue".to_owned(),
    };
    harmless(&format!("{:<9}  {}{why}", word(fate), place(letter)))
}

/// What became of a letter, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Became<'a> {
    became: &'static str,
    shard: &'a str,
    sequence: &'a str,
    index: u32,
    partition_key: &'a str,
    /// Of one that came back.
    #[serde(flatten)]
    again: Option<Again<'a>>,
}

#[derive(Debug, Serialize)]
struct Again<'a> {
    code: &'static str,
    reason: &'a str,
    dead_lettered_ms: u64,
    attempts: u32,
}

impl<'a> Became<'a> {
    fn of(letter: &'a Message, fate: &'a Fate) -> Self {
        let again = match fate {
            Fate::Back(new) => Some(Again {
                code: new.code.as_str(),
                reason: &new.reason,
                dead_lettered_ms: new.dead_lettered_ms,
                attempts: new.attempts,
            }),
            _ => None,
        };
        Self {
            became: word(fate),
            shard: letter.shard.as_str(),
            sequence: letter.sequence.as_str(),
            index: letter.index,
            partition_key: &letter.partition_key,
            again,
        }
    }
}

/// How many letters ended in which way.
#[derive(Debug, Default)]
struct Tally {
    settled: usize,
    back: usize,
    unchanged: usize,
    waiting: usize,
    unknown: usize,
}

impl Tally {
    fn add(&mut self, fate: &Fate) {
        *match fate {
            Fate::Settled => &mut self.settled,
            Fate::Back(_) => &mut self.back,
            Fate::Unchanged => &mut self.unchanged,
            Fate::Waiting => &mut self.waiting,
            Fate::Unknown => &mut self.unknown,
        } += 1;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} settled, {} back, {} waiting", self.settled, self.back, self.waiting)?;
        for (count, word) in [(self.unchanged, "unchanged"), (self.unknown, "unknown")] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use penstock::text::is_harmful;

    use super::*;

    #[test]
    fn a_letter_steers_no_terminal_whatever_its_key_and_its_reason_are() -> anyhow::Result<()> {
        let foreign = "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}b\nc";
        let mut letter: Message = serde_json::from_str(include_str!("../../../events/golden/dead-letter-1.json"))?;
        letter.partition_key = foreign.to_owned();
        letter.reason = foreign.to_owned();
        let back = Fate::Back(letter.clone());
        let lines =
            [line(&letter), became(&letter, &back), json_line(&letter)?, json_line(&Became::of(&letter, &back))?];
        for line in &lines {
            assert!(!line.contains(is_harmful), "{line:?}");
        }
        let shown = "a\\u{1b}[2J\\u{9b}31m\\u{7f}\\u{202e}b\\nc";
        assert!(lines[..2].iter().all(|line| line.matches(shown).count() == 2), "{lines:?}");
        let json: serde_json::Value = serde_json::from_str(&lines[3])?;
        assert_eq!((&json["partition_key"], &json["reason"]), (&foreign.into(), &foreign.into()));
        Ok(())
    }

    #[test]
    fn each_end_is_counted_and_those_that_are_rare_are_not_named_when_there_are_none() {
        let mut tally = Tally::default();
        [Fate::Settled, Fate::Settled, Fate::Waiting].iter().for_each(|fate| tally.add(fate));
        assert_eq!(tally.to_string(), "2 settled, 0 back, 1 waiting");
        tally.add(&Fate::Unknown);
        assert_eq!(tally.to_string(), "2 settled, 0 back, 1 waiting, 1 unknown");
    }
}
