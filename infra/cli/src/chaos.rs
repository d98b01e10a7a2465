//! `penstock chaos`: the pipeline of `template.yaml` under load and faults, and a proof afterwards that it held.
//!
//! Faults it makes: `kill -9` of the edge's and the consumers' processes; consumers that hang past their time-out and
//! write on as zombies while another run does their work; splits and merges of shards. Clients send events again whose
//! answers were lost, send copies, illegal steps and what is no event.
//! Faults it does not make: services that fail, throttle or lose data, clocks that are wrong, lost dead-letter queues.
//!
//! The seed draws the orders and the faults. When they meet depends on the machine, so a seed repeats the kind of a run
//! and not its every step.

mod faults;
mod found;
mod load;
mod model;
mod orders;
mod reshard;
mod screen;
mod verdict;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use penstock_local::lambda::OnTimeout;
use penstock_local::{Profile, Stack};
use tokio_util::sync::CancellationToken;

use crate::terminal::{note, say};
use found::Found;
use screen::Screen;
use verdict::Violation;

/// How long an invocation may take here: short, so that many time out.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long the groups may go on without settling anything before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(45);

/// Violations that are printed.
const SHOWN: usize = 40;

/// Lines that the functions logged last, kept for when something is wrong.
const LOG_LINES: usize = 200_000;

/// Options of `penstock chaos`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long load and faults last
    #[arg(long, default_value_t = 1, conflicts_with = "seconds")]
    minutes: u64,
    /// The same in seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// What orders and faults are drawn from; without it, chance
    #[arg(long)]
    seed: Option<u64>,
    /// Events a second, as far as the faults let them through
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// The port of the HTTP API on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The template
    #[arg(long, default_value = "template.yaml")]
    template: PathBuf,
    /// Write what the functions logged to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// What load and faults came to so far.
#[derive(Debug, Default)]
struct Shared {
    tally: Arc<load::Tally>,
    faults: Mutex<faults::Figures>,
    shards: Mutex<reshard::Figures>,
}

/// Runs the command.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let root = crate::project()?;
    let logs = Arc::new(Mutex::new(std::collections::VecDeque::new()));
    let sink = Arc::clone(&logs);
    let began = Instant::now();
    let stack = penstock_local::Options {
        template: root.join(&options.template),
        root,
        parameters: Default::default(),
        state: None,
        stack_name: penstock_local::STACK_NAME.to_owned(),
        services: None,
        clean: false,
        service_ports: Default::default(),
        edge: Default::default(),
        port: options.port,
        profile: Profile::Dev,
        binaries: None,
        timeout_max: Some(TIMEOUT),
        on_timeout: OnTimeout::Abandon,
        alarm_speed: 1,
        telemetry: None,
        count: None,
        on_alarm: Arc::new(|_: &penstock_local::metrics::StateChange| {}),
        log: Arc::new(move |function: &str, line: &str| {
            let mut lines = sink.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push_back(format!("{:9.3} {function:<14} | {line}", began.elapsed().as_secs_f64()));
            if lines.len() > LOG_LINES {
                lines.pop_front();
            }
        }),
        progress: Arc::new(|step: &str| note(step)),
    };
    let stack = tokio::select! {
        stack = Stack::start(stack) => stack?,
        result = crate::dev::interrupted() => return result.map(|()| ExitCode::FAILURE),
    };
    note(&format!("seed {seed}; the functions time out after {} s and live on", TIMEOUT.as_secs()));
    let result = tokio::select! {
        result = Box::pin(chaos(&stack, &options, seed)) => result,
        result = crate::dev::interrupted() => result.map(|()| {
            note("stopped; nothing was checked");
            ExitCode::FAILURE
        }),
    };
    let stopped = stack.shutdown().await;
    if let Some(file) = &options.log {
        let lines: Vec<_> = logs.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        std::fs::write(file, lines.join("\n")).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let lasts = options.seconds.map_or(format!("--minutes {}", options.minutes), |s| format!("--seconds {s}"));
    say(&format!("again: cargo penstock chaos {lasts} --seed {seed} --rate {}", options.rate));
    let code = result?;
    stopped?;
    Ok(code)
}

async fn chaos(stack: &Stack, options: &Options, seed: u64) -> anyhow::Result<ExitCode> {
    let lasts = Duration::from_secs(options.seconds.unwrap_or(options.minutes * 60));
    let shared = Shared::default();
    let screen = Screen::new(lasts)?;
    let began = Instant::now();
    let log = storm(stack, options.rate, seed, lasts, &shared, &screen).await?;
    let (found, wrong) = settle(stack, &log, &shared, &screen).await?;
    screen.close();
    screen::summary(&shared, &found, &wrong, began.elapsed());
    for violation in wrong.iter().take(SHOWN) {
        say(&screen::line(violation));
    }
    if wrong.len() > SHOWN {
        say(&format!("... and {} more", wrong.len() - SHOWN));
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Load and faults side by side for as long as they last. The faults stop first, so that the load can end.
async fn storm(
    stack: &Stack,
    rate: u32,
    seed: u64,
    lasts: Duration,
    shared: &Shared,
    screen: &Screen,
) -> anyhow::Result<load::Log> {
    let group = stack.groups().first().context("the template has no consumer group")?;
    let stream = group.environment.get("PENSTOCK_STREAM").context("the first group names no stream")?;
    let over = CancellationToken::new();
    // dropped early, by Ctrl-C, the load ends too
    let load = AbortOnDrop(tokio::spawn({
        let (endpoint, tally, over) = (stack.endpoint().to_owned(), Arc::clone(&shared.tally), over.clone());
        async move { load::run(&endpoint, seed, rate, tally, over).await }
    }));
    let mut random = fastrand::Rng::with_seed(seed);
    let faults = faults::run(stack, random.fork(), TIMEOUT, &shared.faults, &over);
    let shards = reshard::run(&stack.clients().kinesis, stream, random.fork(), &shared.shards, &over);
    let time = async {
        let began = Instant::now();
        while began.elapsed() < lasts && stack.stopped().is_none() {
            screen.show(began.elapsed(), shared);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        over.cancel();
    };
    tokio::join!(faults, shards, time);
    if let Some(name) = stack.stopped() {
        anyhow::bail!("{name} has stopped; `cargo penstock dev` says why");
    }
    screen.say("the faults are over; waiting for what is under way");
    load.join().await
}

struct AbortOnDrop(tokio::task::JoinHandle<load::Log>);

impl AbortOnDrop {
    async fn join(mut self) -> anyhow::Result<load::Log> {
        (&mut self.0).await.context("the load failed")
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until everything adds up, or nothing has moved for too long; what there is then, and what is wrong with it.
async fn settle(
    stack: &Stack,
    log: &load::Log,
    shared: &Shared,
    screen: &Screen,
) -> anyhow::Result<(Found, BTreeSet<Violation>)> {
    let (mut effects, mut last, mut moved) = (Vec::new(), None, Instant::now());
    loop {
        let found = Found::read(stack, &mut effects).await?;
        let wrong = verdict::judge(log, &found, shared.faults().zombies);
        let settled: Vec<_> = found.groups.iter().map(|group| group.counts.total()).collect();
        screen.say(&format!("{} on the stream, settled {settled:?}, {} wrong", found.stream.count, wrong.len()));
        let now = Some((settled, wrong.len()));
        if now != last {
            (last, moved) = (now, Instant::now());
        }
        if wrong.is_empty() || moved.elapsed() > PATIENCE {
            return Ok((found, wrong));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

impl Shared {
    fn requests(&self) -> [u64; 4] {
        let load::Tally { requests, again, accepted, refused } = &*self.tally;
        [requests, again, accepted, refused].map(|counter| counter.load(Ordering::Relaxed))
    }

    fn faults(&self) -> faults::Figures {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shards(&self) -> reshard::Figures {
        *self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
