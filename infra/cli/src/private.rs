//! Files that hold credentials: nobody else may read them.

use std::io::{Error, ErrorKind, Write};
use std::path::Path;

/// Writes a file that only its owner may read, in one step. A link is followed; what is neither a file nor missing is left.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = match std::fs::canonicalize(file) {
        Ok(found) if found.is_file() => found,
        Ok(_) => return Err(Error::new(ErrorKind::InvalidInput, "it is there and is no file")),
        Err(_) => file.to_owned(),
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // such a file can be read by its owner alone
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.persist(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_the_owner_reads_it_and_links_are_followed() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "before")?;
        symlink(&target, &link)?;
        write(&link, b"after")?;
        assert_eq!(std::fs::read_to_string(&target)?, "after");
        assert!(link.is_symlink());
        assert_eq!(std::fs::metadata(&target)?.permissions().mode() & 0o777, 0o600);
        assert!(write(folder.path(), b"x").unwrap_err().to_string().contains("no file"));
        Ok(())
    }
}
