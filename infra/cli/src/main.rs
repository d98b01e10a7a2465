//! The `penstock` command: runs the pipeline on this machine, sends events to it and shows what became of them.

mod alarm;
mod alarms;
mod chaos;
mod cost;
mod demo;
mod dev;
mod dlq;
mod new;
mod private;
mod queue;
mod record;
mod schema;
mod send;
mod simulate;
mod state;
mod status;
mod tail;
mod target;
mod terminal;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Event ingestion on AWS, and on this machine.
#[derive(Debug, Parser)]
#[command(name = "penstock", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipeline of template.yaml on this machine
    Dev(dev::Options),
    /// Run the pipeline under virtual time, with faults, and check what it promises
    Simulate(simulate::Options),
    /// Run the pipeline under load and faults, and check afterwards that nothing was lost, doubled or reordered
    Chaos(chaos::Options),
    /// Post a file of events, one CloudEvent in JSON a line
    Send(send::Options),
    /// Show the state that a projection keeps for a key
    State(state::Options),
    /// Show events as they arrive on the stream, until Ctrl-C
    Tail(tail::Options),
    /// Show how each group is doing on each shard, and what is wrong. The exit code is 0 when nothing is, 1 when something
    /// is, 2 when it cannot be told
    Status(status::Options),
    /// Show the alarms that ring, and why. The exit code is 0 when none does, 1 when one does, 2 when it cannot be told
    Alarms(alarms::Options),
    /// Show what was done about an event, step by step. The exit code is 1 when nothing is known of it
    Trace {
        /// The event's id
        event_id: String,
        /// Print the spans as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        running: Running,
    },
    /// Show the messages that wait in a queue of the stack, such as `Alerts`; they stay there
    Queue(queue::Options),
    /// Estimate what a month of a stack costs, item by item, beside the same stack with per-event idempotency
    Cost(cost::Options),
    /// Look at dead letters, or send them back
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Check schemas, see what changes between versions and whom it breaks, and publish them
    #[command(subcommand)]
    Schema(schema::Command),
    /// Add something to the project
    #[command(subcommand)]
    New(New),
}

#[derive(Debug, Subcommand)]
enum New {
    /// Write a consumer group that works at once: its function, its test and its part of template.yaml
    Group(new::Options),
}

/// Which running pipeline is meant.
#[derive(Debug, Clone, Args)]
struct Running {
    /// The port of the `penstock dev` that is meant
    #[arg(long, default_value_t = dev::PORT)]
    port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Simulate(_)) {
        // a simulation is all warnings, and says what matters itself
        penstock_aws::log::start_for_command();
    }
    let result = match command {
        Command::Dev(options) => dev::run(options).await,
        Command::Simulate(options) => simulate::run(&options),
        Command::Chaos(options) => Box::pin(chaos::run(options)).await,
        Command::Send(options) => send::run(options).await,
        Command::State(options) => state::run(options).await,
        Command::Tail(options) => tail::run(options).await,
        Command::Status(options) => Ok(status::run(options).await),
        Command::Alarms(options) => Ok(alarms::run(options).await),
        Command::Trace { event_id, json, running } => trace::run(running.port, &event_id, json).await,
        Command::Cost(options) => Box::pin(cost::run(options)).await,
        Command::New(New::Group(options)) => new::run(&options),
        Command::Queue(options) => queue::run(options).await,
        Command::Dlq(command) => dlq::run(command).await,
        Command::Schema(command) => Ok(schema::run(command).await),
    };
    result.unwrap_or_else(|error| {
        terminal::complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// The folder that `template.yaml` is in: this one or the nearest above it.
fn project() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|folder| folder.join("template.yaml").is_file());
    found.map(PathBuf::from).ok_or_else(|| {
        anyhow::anyhow!(
            "there is no template.yaml in {} or above it; run this inside a Penstock project",
            here.display()
        )
    })
}
