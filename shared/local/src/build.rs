//! Building the functions' binaries.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, anyhow, bail};

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
    cargo.current_dir(root).arg("build").stdin(Stdio::null()).kill_on_drop(true);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    for name in names {
        cargo.args(["--bin", name]);
    }
    let status = cargo.status().await.map_err(cannot_run)?;
    if !status.success() {
        bail!("cargo could not build {}", names.join(", "));
    }
    Ok(target_folder(root).await?.join(profile.folder()))
}

fn cannot_run(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!(
            "Rust is missing: there is no `cargo` to build the functions with; https://rustup.rs installs it, and a new \
             terminal finds it"
        ),
        _ => anyhow::Error::from(error).context("cannot run cargo"),
    }
}

/// Where cargo puts things: it depends on the user's configuration, so cargo is asked.
async fn target_folder(root: &Path) -> anyhow::Result<PathBuf> {
    let mut cargo = tokio::process::Command::new("cargo");
    cargo.current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]).stdin(Stdio::null());
    let output = cargo.output().await.map_err(cannot_run)?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(folder))
}
