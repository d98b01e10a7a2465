//! Building the functions' binaries.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};

/// How the functions are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Fast to build.
    Dev,
    /// As deployed.
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds the binaries `names` of the workspace at `root` with cargo; the folder they are in.
///
/// # Errors
/// When cargo fails; what it says goes to standard error as it is.
pub async fn build_functions(root: &Path, names: &[&str], profile: Profile) -> anyhow::Result<PathBuf> {
    let mut cargo = tokio::process::Command::new("cargo");
    cargo.current_dir(root).arg("build").stdin(Stdio::null());
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    for name in names {
        cargo.args(["--bin", name]);
    }
    let status = cargo.status().await.context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo could not build {}", names.join(", "));
    }
    Ok(target_folder(root).await?.join(profile.folder()))
}

/// Where cargo puts things: it depends on the user's configuration, so cargo is asked.
async fn target_folder(root: &Path) -> anyhow::Result<PathBuf> {
    let mut cargo = tokio::process::Command::new("cargo");
    cargo.current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]).stdin(Stdio::null());
    let output = cargo.output().await.context("cannot run cargo")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(folder))
}
