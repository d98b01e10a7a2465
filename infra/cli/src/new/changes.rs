//! Changes to files: all of them, or none.
//!
//! Everything is written into a folder beside the files first, and renamed into its place when all of it is there. A rename
//! that fails takes back those before it. A crash in between is not undone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What is to stand at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// A file, perhaps instead of another.
    File(String),
    /// A folder that is not there yet.
    Folder(Vec<(PathBuf, String)>),
}

impl Change {
    /// This text in this file.
    pub(super) fn file(path: PathBuf, text: String) -> Self {
        Self { path, content: Content::File(text) }
    }

    /// A new folder with these files.
    pub(super) fn folder(path: PathBuf, files: Vec<(PathBuf, String)>) -> Self {
        Self { path, content: Content::Folder(files) }
    }

    /// Writes it to `to`, and what is at its path now to `before`.
    fn prepare(&self, to: &Path, before: &Path) -> io::Result<()> {
        match &self.content {
            Content::Folder(files) => {
                fs::create_dir(to)?;
                for (path, text) in files {
                    let path = to.join(path);
                    fs::create_dir_all(path.parent().unwrap_or(to))?;
                    fs::write(path, text)?;
                }
            }
            Content::File(text) => {
                fs::write(to, text)?;
                if self.path.exists() {
                    fs::copy(&self.path, before)?;
                    fs::set_permissions(to, fs::metadata(&self.path)?.permissions())?;
                }
            }
        }
        Ok(())
    }

    /// Puts what [`prepare`](Self::prepare) has written into its place.
    fn apply(&self, from: &Path) -> io::Result<()> {
        // renaming over an empty folder would succeed
        if matches!(self.content, Content::Folder(_)) && self.path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(from, &self.path)
    }

    fn undo(&self, before: &Path) -> io::Result<()> {
        match &self.content {
            Content::File(_) if before.exists() => fs::rename(before, &self.path),
            Content::File(_) => fs::remove_file(&self.path),
            Content::Folder(_) => fs::remove_dir_all(&self.path),
        }
    }
}

/// Makes all `changes`, in their order. `root` is a folder of the file system that they are on.
///
/// # Errors
/// When one cannot be made; then none is.
pub(super) fn write(root: &Path, changes: &[Change]) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix(".penstock-new-").tempdir_in(root);
    let folder = folder.with_context(|| format!("cannot write into {}", root.display()))?;
    let place = |n: usize| (folder.path().join(n.to_string()), folder.path().join(format!("{n}.before")));
    for (n, change) in changes.iter().enumerate() {
        let (to, before) = place(n);
        change.prepare(&to, &before).with_context(|| format!("cannot write {}", change.path.display()))?;
    }
    for (n, change) in changes.iter().enumerate() {
        let Err(error) = change.apply(&place(n).0) else { continue };
        let mut told = format!("cannot write {}; nothing was changed", change.path.display());
        for (n, done) in changes.iter().enumerate().take(n).rev() {
            if let Err(error) = done.undo(&place(n).1) {
                told = format!("{told} but {}, which cannot be put back: {error}", done.path.display());
            }
        }
        return Err(anyhow::Error::from(error).context(told));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file below, with its text.
    fn all(folder: &Path) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.push((path.clone(), String::new()));
                found.extend(all(&path));
            } else {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_change_that_fails_takes_back_those_before_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::write(at("old"), "before").unwrap();
        fs::create_dir_all(at("folder/full")).unwrap();
        let before = all(root.path());
        let files = vec![("src/lib.rs".into(), "text".to_owned())];
        let mut changes = vec![
            Change::folder(at("made"), files.clone()),
            Change::file(at("old"), "after".to_owned()),
            Change::file(at("new"), "text".to_owned()),
            Change::folder(at("folder"), files),
        ];
        let error = format!("{:#}", write(root.path(), &changes).unwrap_err());
        assert!(error.contains("folder; nothing was changed: "), "{error}");
        assert_eq!(all(root.path()), before);

        changes.pop();
        write(root.path(), &changes).unwrap();
        assert_eq!(fs::read_to_string(at("made/src/lib.rs")).unwrap(), "text");
        assert_eq!(
            (fs::read_to_string(at("old")).unwrap(), fs::read_to_string(at("new")).unwrap()),
            ("after".into(), "text".into())
        );
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 4, "nothing else is left");
    }
}
