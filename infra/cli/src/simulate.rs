//! `penstock simulate`: the whole pipeline under virtual time, with faults, seed by seed.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use simulation::{Found, Small};

use crate::terminal::say;

/// What to simulate.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many schedules
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Tell what happens in the first schedule, and nothing else
    #[arg(long)]
    history: bool,
}

/// Runs the schedules; fails with the first broken invariant, made small.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.history {
        say(simulation::history(options.from).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let bar = ProgressBar::new(options.seeds);
    bar.set_style(ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} schedules, {per_sec}, {eta} to go")?);
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    let (faults, events, began) = (AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    let found = simulation::run_many(options.from, options.seeds, |outcome| {
        faults.fetch_add(outcome.faults as u64, Ordering::Relaxed);
        events.fetch_add(outcome.events as u64, Ordering::Relaxed);
        bar.inc(1);
    });
    bar.finish_and_clear();
    let Some(Found { seed, broken }) = found else {
        say(&format!(
            "{} schedules hold, from seed {}: {} events, {} faults, {:.0} s",
            options.seeds,
            options.from,
            events.into_inner(),
            faults.into_inner(),
            began.elapsed().as_secs_f64()
        ));
        return Ok(ExitCode::SUCCESS);
    };
    say(&format!("seed {seed} breaks {}: {}", broken.invariant, broken.what));
    if broken.invariant != "assertion"
        && let Some(Small { broken, operations, faults, history }) = simulation::minimise(seed)
    {
        say(&format!("\nthe smallest schedule found that does: {operations} operations, {faults} faults\n"));
        say(history.trim_end());
        say(&format!("\n{}: {}", broken.invariant, broken.what));
    }
    say(&format!("\nagain: cargo penstock simulate --from {seed} --seeds 1"));
    Ok(ExitCode::FAILURE)
}
