//! Reads a SAM `template.yaml` into what this machine has to run.
//!
//! Guarantees: every resource and property is honoured, or named in a warning, or refused with its line and the way to
//! mend it; every problem of a template is told at once. No I/O but [`read_file`]; no size or nesting of the text takes
//! more than a bounded amount of memory and stack.
//! Not imitated: nested stacks, macros, `Fn::ImportValue`, `Fn::ForEach`, YAML aliases.

mod alarms;
mod conditions;
mod events;
mod functions;
mod identity;
mod mappings;
pub mod model;
mod names;
mod node;
mod parameters;
mod problem;
mod properties;
mod resolve;
mod resources;
mod sections;
mod storage;
mod substitution;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

pub use model::Pipeline;
pub use problem::{Error, Problem};

/// Where a template is read for.
#[derive(Debug, Clone)]
pub struct Context {
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::AccountId`.
    pub account_id: String,
    /// `AWS::StackName`; physical names begin with it.
    pub stack_name: String,
    /// Where SQS listens: a queue's URL is below it.
    pub sqs_endpoint: String,
    /// Parameters that are not left at their defaults.
    pub parameters: BTreeMap<String, String>,
}

impl Context {
    /// `AWS::StackId`. On AWS it ends in an id; here one stack of a name is the same at every start.
    pub fn stack_id(&self) -> String {
        let Self { region, account_id, stack_name, .. } = self;
        format!("arn:aws:cloudformation:{region}:{account_id}:stack/{stack_name}/local")
    }
}

/// Reads the template at `path`.
///
/// # Errors
/// When the file cannot be read, or whatever [`parse`] finds.
pub fn read_file(path: &Path, context: &Context) -> Result<Pipeline, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &name, context),
        Err(error) => Err(Error::unreadable(&path.display().to_string(), &error)),
    }
}

/// Reads a template. `file` is what errors call it.
///
/// # Errors
/// Everything in it that cannot be honoured.
pub fn parse(text: &str, file: &str, context: &Context) -> Result<Pipeline, Error> {
    let (pipeline, problems) = match node::parse(text) {
        Ok(root) => resources::read(&root, context),
        Err(problem) => (Pipeline::default(), vec![problem]),
    };
    if problems.is_empty() { Ok(pipeline) } else { Err(Error::new(file, problems)) }
}
