//! A journal: what happened, one JSON value a line, appended as it happens and read back at the next start.
//!
//! Guarantees: what [`Journal::append`] returned `Ok` for is read back after the process dies at any moment, in order,
//! and an append that failed leaves no half line behind. A last line that was cut short was never acknowledged and is
//! dropped. Not guaranteed: surviving the loss of power before [`Journal::sync`]. The file grows until it is rewritten.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A whole line is not an entry.
    #[error("{} line {line}: {source}", path.display())]
    Corrupt { path: PathBuf, line: usize, source: serde_json::Error },
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Where the last whole line ends.
    end: u64,
    /// Half a line may stand there, which would swallow the next one.
    torn: bool,
}

/// Hands every entry at `path` to `apply`, oldest first. A file that is not there holds none.
pub(crate) fn replay<E: DeserializeOwned>(path: &Path, mut apply: impl FnMut(E)) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        reader.read_until(b'\n', &mut bytes).map_err(failed)?;
        if bytes.last() != Some(&b'\n') {
            break;
        }
        let entry = serde_json::from_slice(&bytes).map_err(|source| OpenError::Corrupt {
            path: path.to_owned(),
            line,
            source,
        })?;
        apply(entry);
    }
    Ok(())
}

impl Journal {
    /// Replaces the file at `path` by `entries`, in one step: a crash leaves the old file or the new one.
    pub(crate) fn rewrite<E: Serialize>(path: &Path, entries: impl Iterator<Item = E>) -> Result<Self, OpenError> {
        let fresh = path.with_extension("new");
        let write = || {
            let mut writer = BufWriter::new(File::create(&fresh)?);
            for entry in entries {
                serde_json::to_writer(&mut writer, &entry)?;
                writer.write_all(b"\n")?;
            }
            writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&fresh, path)?;
            let file = OpenOptions::new().append(true).open(path)?;
            let end = file.metadata()?.len();
            Ok(Self { file, end, torn: false })
        };
        write().map_err(|source| OpenError::Io { path: path.to_owned(), source })
    }

    /// Appends `entries`, all or none.
    pub(crate) fn append<E: Serialize>(&mut self, entries: &[E]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        if self.torn {
            self.cut()?;
        }
        if let Err(error) = self.file.write_all(&lines) {
            // a half line would swallow the next whole one; if it cannot be cut off, nothing is written until it can
            _ = self.cut();
            return Err(error);
        }
        self.end += lines.len() as u64;
        Ok(())
    }

    /// Ends the file behind the last whole line.
    fn cut(&mut self) -> io::Result<()> {
        self.torn = true;
        if self.file.metadata()?.len() != self.end {
            self.file.set_len(self.end)?;
        }
        self.torn = false;
        Ok(())
    }

    /// Writes elsewhere, and gives where it wrote: a file that takes nothing stands for a full disk.
    #[cfg(test)]
    pub(crate) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    /// Waits until the disk has all of it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<Vec<u32>, OpenError> {
        let mut seen = Vec::new();
        replay(path, |entry| seen.push(entry))?;
        Ok(seen)
    }

    #[test]
    fn entries_come_back_in_order_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::rewrite(&path, [1, 2].iter()).unwrap();
        journal.append(&[3, 4]).unwrap();
        drop(journal);
        assert_eq!(read(&path).unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn an_append_that_failed_leaves_nothing_and_the_next_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::rewrite(&path, [1].iter()).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = journal.replace_file(full);
        assert!(journal.append(&[2]).is_err());
        journal.replace_file(file);
        // what a write that came half way leaves
        journal.file.write_all(b"2").unwrap();
        journal.torn = true;
        journal.append(&[3]).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 3]);
    }

    #[test]
    fn a_last_line_cut_short_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        std::fs::write(&path, "1\n2\n34").unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2]);
    }

    #[test]
    fn a_damaged_whole_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        std::fs::write(&path, "1\nx\n3\n").unwrap();
        assert!(matches!(read(&path), Err(OpenError::Corrupt { line: 2, .. })));
    }
}
