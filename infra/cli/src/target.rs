//! Which pipeline a command is about: a deployed stack, or the `penstock dev` of this project.

use anyhow::Context;
use clap::Args;
use penstock_admin::Operator;
use penstock_admin::account::Account;
use penstock_aws::Clients;
use penstock_aws::deployment::Error;

use crate::record::Record;

/// Which pipeline is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// The stack as it was deployed; without it, the `penstock dev` of this project is meant
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// A profile of the AWS configuration, for --stack
    #[arg(long, value_name = "NAME", requires = "stack")]
    profile: Option<String>,
    /// The stack's region
    #[arg(long, value_name = "REGION", requires = "stack")]
    region: Option<String>,
    /// Where all services of an emulator are
    #[arg(long, value_name = "URL", requires = "stack")]
    endpoint: Option<String>,
    /// The port of the `penstock dev` that is meant
    #[arg(long, default_value_t = crate::dev::PORT, conflicts_with = "stack")]
    port: u16,
}

impl Target {
    /// The stack that is meant.
    pub(crate) async fn operator(&self) -> anyhow::Result<Operator> {
        let Some(stack) = &self.stack else {
            let record = Record::of_running(self.port).await?;
            let operator = Operator::find(Clients::from_environment(&record.environment), &record.stack).await;
            return operator.context("the pipeline does not describe itself");
        };
        let account =
            Account { profile: self.profile.clone(), region: self.region.clone(), endpoint: self.endpoint.clone() };
        let clients = account.clients().await?;
        let region = clients.kinesis.config().region().map(ToString::to_string).unwrap_or_default();
        Operator::find(clients, stack).await.map_err(|error| match error {
            Error::Missing(_) => {
                anyhow::anyhow!("there is no stack `{stack}` in {region}; name another with --region, or another account with --profile")
            }
            error => anyhow::Error::from(error),
        })
    }

    /// The flags that name this target again.
    pub(crate) fn flags(&self) -> String {
        let options = [
            ("stack", &self.stack),
            ("profile", &self.profile),
            ("region", &self.region),
            ("endpoint", &self.endpoint),
        ];
        let mut flags: String =
            options.into_iter().filter_map(|(name, value)| Some(format!(" --{name} {}", value.as_ref()?))).collect();
        if self.stack.is_none() && self.port != crate::dev::PORT {
            flags.push_str(&format!(" --port {}", self.port));
        }
        flags
    }
}
