//! `penstock new group`: a consumer group that works at once, written into the project.
//!
//! All or nothing: what is wrong is found before anything is written, and a write that fails takes back those before it.
//! A refused name comes with one that would do.

mod block;
mod cdk;
mod changes;
mod kind;
mod name;
mod project;
mod source;
mod template;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;

use crate::terminal::{harmless, say};
use block::Block;
use changes::{Change, write};
use kind::Kind;
use name::Name;
use project::Project;

/// Options of `penstock new group`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The group's name, order-receipts for example
    name: String,
    /// Write a projection, which keeps a state for each partition key, instead of a handler
    #[arg(long)]
    projection: bool,
    /// Set a parameter of the template that has no default, for the check that the template reads
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = crate::dev::parameter)]
    parameters: Vec<(String, String)>,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let kind = if options.projection { Kind::Projection } else { Kind::Handler };
    let parameters: BTreeMap<_, _> = options.parameters.iter().cloned().collect();
    let project = Project::read(crate::project()?, parameters)?;
    let group = plan(&project, &options.name, kind)?;
    write(&project.root, &group.changes)?;
    tell(&group, kind);
    Ok(ExitCode::SUCCESS)
}

/// A group that can be written.
#[derive(Debug)]
struct Group {
    name: Name,
    /// The template last: until it names the function, nothing else knows of the group.
    changes: Vec<Change>,
    cdk: cdk::Added,
}

/// What has to be written for a group called `text`; the error names another that would do.
fn plan(project: &Project, text: &str, kind: Kind) -> anyhow::Result<Group> {
    let fault = match Name::parse(text).map_err(anyhow::Error::from).and_then(|name| group(project, name, kind)) {
        Ok(group) => return Ok(group),
        Err(fault) => fault,
    };
    let other = name::like(text).find(|name| group(project, name.clone(), kind).is_ok());
    match other {
        Some(other) => bail!("{fault:#}; say `{}`", other.kebab()),
        None => Err(fault),
    }
}

fn group(project: &Project, name: Name, kind: Kind) -> anyhow::Result<Group> {
    project.refuse_taken(&name)?;
    source::refuse_spoken_for(&name, kind)?;
    let block = Block::of(&name, kind);
    let template = project.template_with(&name, &block)?;
    let folder = Change::folder(project.function(&name), source::files(&name, kind));
    let (app, cdk) = cdk::add(project.cdk.as_deref(), &name, kind)?;
    let app = app.map(|text| Change::file(project.cdk_path(), text));
    let template = Change::file(project.template_path(), template);
    let changes = [folder].into_iter().chain(app).chain([template]).collect();
    Ok(Group { name, changes, cdk })
}

fn tell(group: &Group, kind: Kind) {
    let name = group.name.kebab();
    let what = match kind {
        Kind::Handler => "what it does with an event",
        Kind::Projection => "what it keeps of a key's events",
    };
    say(&format!("made the consumer group {name}, a {kind}:"));
    say(&format!("  functions/{name}/src/lib.rs   {what}; write yours here"));
    say(&format!("  functions/{name}/src/main.rs  and Cargo.toml: the function around it"));
    say("  template.yaml  its function, role, queues, alarms and output");
    match &group.cdk {
        cdk::Added::Line(line) => say(&format!("  {}  {}", cdk::FILE, harmless(line))),
        cdk::Added::Unclear(line) => {
            say(&format!("  {} adds no group that this command could follow; write there: {line}", cdk::FILE));
        }
        cdk::Added::NoApp => {}
    }
    say("");
    say("test it, and watch it settle the sample orders:");
    say(&format!("  cargo test -p {name}"));
    say("  cargo penstock dev --demo");
}

#[cfg(test)]
mod tests;
