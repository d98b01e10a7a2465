//! A folder as it was at a commit. Git is asked as a process.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, bail};

/// The files below `folder` at `reference`, by their path from it; none if it was not there then.
pub(super) fn files(folder: &Path, reference: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let commit = format!("{reference}^{{commit}}");
    let found = git(folder, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])?;
    if !found.status.success() {
        let inside = git(folder, &["rev-parse", "--git-dir"])?;
        if !inside.status.success() {
            bail!(
                "{} is not in a git repository, so that nothing can be compared with `{reference}`",
                folder.display()
            );
        }
        bail!(
            "git knows no commit `{reference}`: name a branch, a tag or a commit; in CI, fetch it first (a shallow clone \
             has none but its own)"
        );
    }
    let commit = text(found.stdout)?;
    let listed = ok(git(folder, &["ls-tree", "-r", "-z", commit.trim()])?)?;
    let mut files = BTreeMap::new();
    for line in text(listed)?.split_terminator('\0') {
        // mode, type and object, a tab, the path from here
        let (object, path) = line.split_once('\t').context("git ls-tree cannot be understood")?;
        let mut object = object.split(' ').skip(1);
        if let (Some("blob"), Some(id)) = (object.next(), object.next()) {
            files.insert(path.to_owned(), ok(git(folder, &["cat-file", "blob", id])?)?);
        }
    }
    Ok(files)
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output();
    output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("there is no `git` here, which --against asks"),
        _ => anyhow::Error::from(error).context("cannot run git"),
    })
}

fn ok(output: Output) -> anyhow::Result<Vec<u8>> {
    if !output.status.success() {
        bail!("git: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).context("git names a file that is not UTF-8")
}
