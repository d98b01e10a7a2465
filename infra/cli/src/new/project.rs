//! The project that a group is added to: what it is made of, and which names it has given.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use penstock_local::template::{self as reader, Pipeline};

use super::block::Block;
use super::name::Name;
use super::{cdk, template};

const TEMPLATE: &str = "template.yaml";

/// How the workspace says that every folder of functions is a member.
const MEMBERS: &str = "\"functions/*\"";

/// A project that can take a group.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) root: PathBuf,
    /// The text of the CDK app, where there is one.
    pub(super) cdk: Option<String>,
    template: String,
    pipeline: Pipeline,
    parameters: BTreeMap<String, String>,
    /// Packages and binaries of the workspace, and the packages that it is built from.
    packages: BTreeSet<String>,
}

impl Project {
    /// The project at `root`.
    ///
    /// # Errors
    /// Whatever would keep any group from it.
    pub(super) fn read(root: PathBuf, parameters: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let manifest = text(&root.join("Cargo.toml"))?;
        ensure!(manifest.contains(MEMBERS), "Cargo.toml does not have {MEMBERS} among the members of its workspace");
        let template = text(&root.join(TEMPLATE))?;
        let pipeline = read_template(&template, &parameters).context("mend the template first")?;
        let app = root.join(cdk::FILE);
        let cdk = if app.exists() { Some(text(&app)?) } else { None };
        let mut packages = targets(&root)?;
        let lock = root.join("Cargo.lock");
        if lock.exists() {
            packages.extend(locked(&text(&lock)?));
        }
        Ok(Self { root, cdk, template, pipeline, parameters, packages })
    }

    /// A project of nothing but a template and packages.
    #[cfg(test)]
    pub(super) fn of(template: &str, packages: &[&str]) -> Self {
        let packages = packages.iter().map(|&name| name.to_owned()).collect();
        let pipeline = read_template(template, &BTreeMap::new()).unwrap();
        let (root, cdk, parameters) = (PathBuf::from("/nowhere"), None, BTreeMap::new());
        Self { root, cdk, template: template.to_owned(), pipeline, parameters, packages }
    }

    /// The folder of a group.
    pub(super) fn function(&self, name: &Name) -> PathBuf {
        self.root.join("functions").join(name.kebab())
    }

    /// The file that a link leads to, so that the link stays one.
    pub(super) fn template_path(&self) -> PathBuf {
        resolved(self.root.join(TEMPLATE))
    }

    /// As above, of the CDK app.
    pub(super) fn cdk_path(&self) -> PathBuf {
        resolved(self.root.join(cdk::FILE))
    }

    /// Refuses a name that a group, a folder or a package has.
    pub(super) fn refuse_taken(&self, name: &Name) -> anyhow::Result<()> {
        let kebab = name.kebab();
        let mut groups =
            self.pipeline.functions.iter().filter_map(|function| function.environment.get("PENSTOCK_GROUP"));
        if groups.any(|group| group == kebab) {
            bail!("`{kebab}` is a consumer group of {TEMPLATE} already");
        }
        // a link that leads nowhere is there too
        if fs::symlink_metadata(self.function(name)).is_ok() {
            bail!("functions/{kebab} is there already");
        }
        // crates know no difference between hyphens and underscores
        if self.packages.iter().any(|package| package.replace('_', "-") == kebab) {
            bail!("`{kebab}` is a package that this workspace has or is built from");
        }
        Ok(())
    }

    /// The template with a group.
    ///
    /// # Errors
    /// When it has a name of the group's already, or does not read with it.
    pub(super) fn template_with(&self, name: &Name, block: &Block) -> anyhow::Result<String> {
        let kebab = name.kebab();
        let mut taken = template::ids(&self.template)?;
        // SAM makes these of a function's events
        taken.extend(self.pipeline.kinesis_mappings.iter().map(|mapping| &*mapping.logical_id));
        taken.extend(self.pipeline.sqs_mappings.iter().map(|mapping| &*mapping.logical_id));
        if let Some(id) = template::names(&block.resources).find(|id| taken.contains(id)) {
            bail!("`{kebab}` would make a resource `{id}`, and {TEMPLATE} has that name already");
        }
        let outputs = template::outputs(&self.template)?;
        if let Some(id) = template::names(&block.outputs).find(|id| outputs.contains(id)) {
            bail!("`{kebab}` would make an output `{id}`, and {TEMPLATE} has that already");
        }
        let text = template::with(&self.template, block)?;
        let pipeline = read_template(&text, &self.parameters)
            .with_context(|| format!("with `{kebab}` in it the template would not read, and nothing was changed"))?;
        let made = pipeline.functions.iter().any(|function| {
            function.environment.get("PENSTOCK_GROUP").is_some_and(|group| group == kebab) && function.binary == kebab
        });
        ensure!(made, "`{kebab}` did not become a part of {TEMPLATE}, and nothing was changed");
        Ok(text)
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn resolved(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

/// The template as `penstock dev` reads it.
fn read_template(text: &str, parameters: &BTreeMap<String, String>) -> Result<Pipeline, reader::Error> {
    let context = reader::Context {
        region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        stack_name: "penstock".to_owned(),
        sqs_endpoint: "http://127.0.0.1:1".to_owned(),
        parameters: parameters.clone(),
    };
    reader::parse(text, TEMPLATE, &context)
}

/// Packages of the workspace, and the names of what is built from them.
fn targets(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root).stdin(Stdio::null());
    let output = cargo.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo cannot read this workspace: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let things =
        packages.iter().flat_map(|package| package["targets"].as_array().into_iter().flatten().chain([package]));
    Ok(things.filter_map(|thing| Some(thing["name"].as_str()?.to_owned())).collect())
}

/// The packages of a `Cargo.lock`: with one of these names, `cargo test -p` would not know which is meant.
fn locked(lock: &str) -> impl Iterator<Item = String> {
    lock.lines().filter_map(|line| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned()))
}
