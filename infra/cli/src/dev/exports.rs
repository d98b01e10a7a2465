//! The variables that point other tools at the services: the AWS CLI, boto3, a debugger's environment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

/// Writes them as lines that a shell can read (`. FILE`). Whoever else may read the file reads the credentials in it, so
/// nobody else may.
pub(super) fn write(file: &Path, environment: &BTreeMap<String, String>) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = || format!("cannot write {}", file.display());
    // one that is there may be open to others
    _ = std::fs::remove_file(file);
    let mut opened =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(failed)?;
    opened.write_all(lines(environment).as_bytes()).with_context(failed)
}

/// A line for each.
pub(super) fn lines(environment: &BTreeMap<String, String>) -> String {
    environment.iter().map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''"))).collect()
}
