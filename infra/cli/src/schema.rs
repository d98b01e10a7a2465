//! `penstock schema`: schemas as files, what is wrong with them, what changes from one version to the next, and the registry.

mod check;
mod codegen;
mod consumers;
mod diff;
mod git;
mod publish;
mod published;
mod told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use penstock_admin::schemas::Folder;

use crate::target::Target;
use crate::terminal::{complain, harmless_lines, has_colours, say};

pub(crate) use publish::publish_own;

/// All is well.
const FINE: u8 = 0;
/// Something is refused, or breaks somebody.
const REFUSED: u8 = 1;
/// It could not be told, as after an argument that clap refuses.
const UNKNOWN: u8 = 2;

/// Where schemas are, below the project.
pub(crate) const FOLDER: &str = "events/schemas";

/// What is done with schemas. The exit code is 0 when all is well, 1 when something is refused, 2 when it could not be told.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Look for what is wrong with a folder of schemas, file by file
    Lint {
        #[command(flatten)]
        folder: At,
        /// Print what was found as JSON
        #[arg(long)]
        json: bool,
    },
    /// Lint, and check each version against those before it as the policy of its type wants it
    Check(check::Options),
    /// Show what changes between two schemas, and whose readers it breaks
    Diff(diff::Options),
    /// Add the versions of a folder to the registry of a stack; all of them, or none if one is refused
    Publish(publish::Options),
    /// Write the Rust types of all versions of a folder into one file, for handlers and projections
    ///
    /// For each type a module, as `shop_order_placed`, and in it one for each version, as `v1`, with the type `Data` of an
    /// event's data; `latest` is the last version. Members that a schema does not name are passed over; bounds, patterns and
    /// formats are not checked again; integers are i64, and 2.0 is one.
    ///
    /// What cannot be a type is a serde_json::Value: alternatives that cannot be told apart, lists whose items differ by their
    /// place, values of several JSON types. Each such place is told, and its documentation says why.
    ///
    /// The file needs serde and serde_json. The exit code is 0 when all is well, 1 when --check finds the file out of date, 2
    /// when it could not be told.
    Codegen(codegen::Options),
    /// List the types that are published
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Show a type that is published, or one of its versions
    Show {
        /// The type, as `shop.order.placed`, or a version of it, as `shop.order.placed:1`
        #[arg(value_name = "TYPE[:VERSION]")]
        name: String,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
}

/// A folder of schemas.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct At {
    /// The folder; without it, events/schemas of this project
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl At {
    /// Where it is, as a person would write it.
    fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let path = crate::project()?.join(FOLDER);
        let here = std::env::current_dir()?;
        Ok(path.strip_prefix(&here).map(Path::to_owned).unwrap_or(path))
    }

    /// The folder, and where it is.
    fn read(&self) -> anyhow::Result<(PathBuf, Folder)> {
        let path = self.path()?;
        let found = Folder::read(&path).with_context(|| format!("cannot read the schemas in {}", path.display()))?;
        Ok((path, found))
    }
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Lint { folder, json } => check::lint(&folder, json),
        Command::Check(options) => check::run(options).await,
        Command::Diff(options) => diff::run(&options),
        Command::Publish(options) => publish::run(options).await,
        Command::Codegen(options) => codegen::run(&options),
        Command::List { json, target } => published::list(json, &target).await,
        Command::Show { name, json, target } => published::show(&name, json, &target).await,
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        UNKNOWN
    }))
}

/// Prints lines, with colours if somebody sees them.
fn show(lines: &[String]) {
    let colours = has_colours();
    for line in lines {
        let line = harmless_lines(line);
        say(&if colours { painted(&line) } else { line });
    }
}

/// A line with its verdict in colour: red for what breaks, yellow for what may, green for what does not.
fn painted(line: &str) -> String {
    let verdicts = [
        ("BREAKS", 31),
        ("CANNOT", 31),
        (": refused", 31),
        ("  refused", 31),
        ("UNCERTAIN", 33),
        (": warning", 33),
        ("  fine", 32),
        ("  new", 32),
    ];
    for (word, colour) in verdicts {
        if let Some((before, after)) = line.split_once(word) {
            let sign = word.trim_start_matches([':', ' ']);
            let space = &word[..word.len() - sign.len()];
            return format!("{before}{space}\u{1b}[{colour}m{sign}\u{1b}[0m{after}");
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests;
