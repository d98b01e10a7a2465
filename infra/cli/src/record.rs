//! The record of a running `penstock dev`: where its services are, for the other commands.
//!
//! One file a port under `.penstock/` of the project. It is removed when the pipeline stops; one that a killed
//! pipeline left behind is found out by asking the pipeline, which answers even when its functions do not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::private;

/// How long an answer may take; a trace can have many spans.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a running pipeline says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which run it is of: another pipeline can have its port by now.
    pub(crate) id: String,
    /// The HTTP endpoint.
    pub(crate) endpoint: String,
    /// The SDK's variables: where the services are and with which credentials.
    pub(crate) environment: BTreeMap<String, String>,
    /// The name of its stack.
    pub(crate) stack: String,
}

fn file(port: u16) -> anyhow::Result<PathBuf> {
    Ok(crate::project()?.join(".penstock").join(format!("dev-{port}.json")))
}

impl Record {
    /// Writes the record; it is removed when what is returned is dropped.
    pub(crate) fn publish(&self, port: u16) -> anyhow::Result<Published> {
        let file = file(port)?;
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
            private::write(&file, &serde_json::to_vec_pretty(self)?)
        };
        write().with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Published(file))
    }

    /// The record of the pipeline that runs on `port`.
    pub(crate) async fn of_running(port: u16) -> anyhow::Result<Self> {
        let none = || {
            anyhow::anyhow!(
                "no pipeline is running on port {port} of this project; start one with `cargo penstock dev`, \
                 or name its port with --port"
            )
        };
        let bytes = std::fs::read(file(port)?).map_err(|_| none())?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|_| none())?;
        match record.ask("/id").await {
            Ok(id) if id == record.id => Ok(record),
            _ => Err(none()),
        }
    }

    /// The other pipelines of this project that run, by their ports.
    pub(crate) async fn others() -> Vec<(u16, Self)> {
        let folder = crate::project().map(|project| project.join(".penstock"));
        let Ok(entries) = folder.and_then(|folder| Ok(std::fs::read_dir(folder)?)) else { return Vec::new() };
        let port = |entry: std::fs::DirEntry| {
            entry.file_name().to_str()?.strip_prefix("dev-")?.strip_suffix(".json")?.parse::<u16>().ok()
        };
        let mut found = Vec::new();
        for port in entries.filter_map(Result::ok).filter_map(port) {
            if let Ok(record) = Self::of_running(port).await {
                found.push((port, record));
            }
        }
        found
    }

    /// What the pipeline answers below `/_penstock`.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("{}{}{path}", self.endpoint, penstock_local::operator::PREFIX);
        let ask = async || {
            let response = reqwest::Client::new().get(&url).timeout(ANSWER_MAX).send().await?;
            response.error_for_status()?.text().await
        };
        ask().await.with_context(|| format!("the pipeline does not answer {url}"))
    }
}

/// A record that is there until this is dropped.
#[derive(Debug)]
pub(crate) struct Published(PathBuf);

impl Drop for Published {
    fn drop(&mut self) {
        // a record that stays is told from a running pipeline by asking
        _ = std::fs::remove_file(&self.0);
    }
}
