//! The variables that point other tools at the services: the AWS CLI, boto3, a debugger's environment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use crate::private;

/// Writes them as lines that a shell can read (`. FILE`).
pub(super) fn write(file: &Path, environment: &BTreeMap<String, String>) -> anyhow::Result<()> {
    private::write(file, lines(environment).as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// A line for each, and one for boto3, which looks for the region under another name.
pub(super) fn lines(environment: &BTreeMap<String, String>) -> String {
    let line = |(name, value): (&str, &String)| format!("export {name}='{}'\n", value.replace('\'', r"'\''"));
    let region = environment.get("AWS_REGION").map(|region| ("AWS_DEFAULT_REGION", region));
    environment.iter().map(|(name, value)| (name.as_str(), value)).chain(region).map(line).collect()
}

/// Whether the credentials are ones that an emulator takes from anybody.
pub(super) fn are_made_up(environment: &BTreeMap<String, String>) -> bool {
    let get = |name: &str| environment.get(name).map(String::as_str);
    let pair = (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"));
    matches!(pair, (Some("local"), Some("local")) | (Some("test"), Some("test")))
}
