//! Whose services `penstock dev` uses: some of its own, or those that somebody else runs.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use penstock_admin::account::Account;
use penstock_aws::config::process_environment;
use penstock_local::Endpoints;
use penstock_local::services::Ports;

/// Where emulators are, unless somebody says otherwise.
const REGION: &str = "us-east-1";
/// The services that have an endpoint of their own.
const SERVICES: [&str; 3] = ["kinesis", "dynamodb", "sqs"];

/// Functions have at most 64 characters in their names, a group's up to 40.
const STACK_NAME_MAX: usize = 23;

/// Whose services are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Services {
    /// Use the Kinesis, DynamoDB and SQS of an emulator at this URL, or of an account (`aws`), in place of services started
    /// here. `kinesis=URL`, `dynamodb=URL` and `sqs=URL` name them one by one
    #[arg(long = "services", value_name = "URL", conflicts_with = "state")]
    urls: Vec<String>,
    /// What the stack is called: its streams, tables and queues have names that begin with it
    #[arg(long, value_name = "NAME", default_value = penstock_local::STACK_NAME, value_parser = stack_name)]
    pub(crate) stack: String,
    /// With --services: delete the stack's streams, tables and queues there before the start, and again at the end
    #[arg(long, requires = "urls")]
    pub(crate) clean: bool,
    /// With --services: a profile of the AWS configuration
    #[arg(long, value_name = "NAME", requires = "urls")]
    profile: Option<String>,
    /// With --services: the region
    #[arg(long, value_name = "REGION", requires = "urls")]
    region: Option<String>,
    /// The port of a service that is started here: `kinesis=4567`, `dynamodb=...`, `sqs=...`, `cloudformation=...`
    #[arg(long = "service-port", value_name = "SERVICE=PORT", conflicts_with = "urls")]
    ports: Vec<String>,
}

impl Services {
    /// Where somebody else's services are; `None` starts some here.
    pub(crate) async fn endpoints(&self) -> anyhow::Result<Option<Endpoints>> {
        if self.urls.is_empty() {
            return Ok(None);
        }
        let Some(urls) = urls(&self.urls)? else {
            let account = Account { profile: self.profile.clone(), region: self.region.clone(), endpoint: None };
            let mut credentials = account.environment().await?;
            let region = credentials.remove("AWS_REGION").unwrap_or_default();
            return Ok(Some(Endpoints { kinesis: None, dynamodb: None, sqs: None, region, credentials }));
        };
        let region =
            self.region.clone().or_else(|| process_environment("AWS_REGION").filter(|region| !region.is_empty()));
        let region = region.unwrap_or_else(|| REGION.to_owned());
        let account = Account { profile: self.profile.clone(), region: Some(region.clone()), endpoint: None };
        let credentials = match account.environment().await {
            Ok(mut found) => {
                found.remove("AWS_REGION");
                found
            }
            // an emulator asks nobody who they are
            Err(_) if self.profile.is_none() => Endpoints::emulated("").credentials,
            Err(error) => return Err(error.into()),
        };
        let [kinesis, dynamodb, sqs] = SERVICES.map(|service| urls.get(service).cloned());
        Ok(Some(Endpoints { kinesis, dynamodb, sqs, region, credentials }))
    }

    /// The ports of services that are started here.
    pub(crate) fn ports(&self) -> anyhow::Result<Ports> {
        let mut ports = Ports::default();
        for text in &self.ports {
            let (service, port) = text.split_once('=').with_context(|| format!("`{text}`: write SERVICE=PORT"))?;
            let port: u16 =
                port.parse().with_context(|| format!("`{port}` is no port: give a number from 1 to 65535"))?;
            *match service {
                "kinesis" => &mut ports.kinesis,
                "dynamodb" => &mut ports.dynamodb,
                "sqs" => &mut ports.sqs,
                "cloudformation" => &mut ports.cloudformation,
                _ => bail!("`{service}` is no service here; they are kinesis, dynamodb, sqs and cloudformation"),
            } = port;
        }
        Ok(ports)
    }
}

/// A name that CloudFormation would take, short enough for what is called after it.
fn stack_name(text: &str) -> Result<String, String> {
    let fits = (1..=STACK_NAME_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("a stack is called by 1 to {STACK_NAME_MAX} letters, digits and hyphens, and begins with a letter"))
    }
}

/// The URL of each service; `None` is an account's.
fn urls(texts: &[String]) -> anyhow::Result<Option<BTreeMap<&'static str, String>>> {
    let mut found = BTreeMap::new();
    for text in texts {
        if text == "aws" {
            if texts.len() > 1 {
                bail!("--services aws takes all services of the account; leave the other --services out");
            }
            return Ok(None);
        }
        let named =
            SERVICES.into_iter().find_map(|service| Some((service, text.strip_prefix(service)?.strip_prefix('=')?)));
        match named {
            Some((service, text)) => drop(found.insert(service, url(text)?)),
            None => {
                let url = url(text)?;
                for service in SERVICES {
                    found.entry(service).or_insert_with(|| url.clone());
                }
            }
        }
    }
    let missing: Vec<_> = SERVICES.into_iter().filter(|service| !found.contains_key(service)).collect();
    if !missing.is_empty() {
        bail!(
            "--services says nothing about {}: give one URL for all, or `SERVICE=URL` for each",
            missing.join(" and ")
        );
    }
    Ok(Some(found))
}

fn url(text: &str) -> anyhow::Result<String> {
    let url = reqwest::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none());
    match url {
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
        None => bail!("`{text}` is no URL of a service: write it as http://127.0.0.1:4566, or `aws` for an account"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Option<BTreeMap<&'static str, String>>, String> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        urls(&texts).map_err(|error| error.to_string())
    }

    #[test]
    fn one_url_is_for_all_and_named_ones_are_for_theirs() {
        let all = read(&["http://127.0.0.1:4566/"]).unwrap().unwrap();
        assert!(all.len() == 3 && all.values().all(|url| url == "http://127.0.0.1:4566"), "{all:?}");
        let mixed = read(&["kinesis=http://a:1", "http://b:2"]).unwrap().unwrap();
        assert_eq!((mixed["kinesis"].as_str(), mixed["sqs"].as_str()), ("http://a:1", "http://b:2"));
        assert_eq!(read(&["aws"]), Ok(None));
    }

    #[test]
    fn what_is_missing_or_no_url_is_said() {
        assert!(read(&["kinesis=http://a:1"]).unwrap_err().contains("says nothing about dynamodb and sqs"));
        for text in ["localhost:4566", "4566", "ftp://a", "http://", "s3=http://a", ""] {
            assert!(read(&[text]).unwrap_err().contains("is no URL of a service"), "{text}");
        }
        assert!(read(&["aws", "sqs=http://a:1"]).unwrap_err().contains("leave the other"));
    }
}
