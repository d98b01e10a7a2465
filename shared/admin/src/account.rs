//! The account that a stack is in: profile, region, endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{Credentials, ProvideCredentials};
use penstock_aws::Clients;

/// An answer that takes longer is none.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Which account, as somebody names it; what is left open comes from the usual sources of the AWS SDK.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// A region.
    pub region: Option<String>,
    /// One endpoint for all services, as emulators have it.
    pub endpoint: Option<String>,
}

/// Why an account cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody says which region.
    #[error("no region is known: give --region, or set AWS_REGION, or a region in the profile")]
    Region,
    /// No region is called so.
    #[error("`{0}` is no region: regions are called like eu-west-1")]
    RegionName(String),
    /// Nobody says who asks.
    #[error(
        "there are no AWS credentials: {0}. Name a profile with --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY{1}"
    )]
    Credentials(String, &'static str),
}

impl Account {
    /// Clients for it. Credentials are asked for here, so that their lack is told as what it is and not as a service that
    /// does not answer.
    ///
    /// # Errors
    /// When there is no region or there are no credentials.
    pub async fn clients(&self) -> Result<Clients, Error> {
        let config = self.config().await?;
        self.credentials(&config).await?;
        Ok(Clients::from_config(&config))
    }

    async fn config(&self) -> Result<SdkConfig, Error> {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build();
        let is_region = |name: &str| name.len() > 1 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if let Some(region) = self.region.as_ref().filter(|region| !is_region(region)) {
            return Err(Error::RegionName(region.clone()));
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(Error::Region);
        }
        Ok(config)
    }

    /// Who asks, and in which region, as variables for processes that cannot read profiles. Credentials that expire are not
    /// renewed there.
    ///
    /// # Errors
    /// When there is no region or there are no credentials.
    pub async fn environment(&self) -> Result<BTreeMap<String, String>, Error> {
        let config = self.config().await?;
        let credentials = self.credentials(&config).await?;
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let variables = [
            ("AWS_REGION", Some(region.as_str())),
            ("AWS_ACCESS_KEY_ID", Some(credentials.access_key_id())),
            ("AWS_SECRET_ACCESS_KEY", Some(credentials.secret_access_key())),
            ("AWS_SESSION_TOKEN", credentials.session_token()),
        ];
        let given = variables.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        Ok(given.collect())
    }

    async fn credentials(&self, config: &SdkConfig) -> Result<Credentials, Error> {
        let sso = "; of a profile with SSO, `aws configure export-credentials --format env` gives them";
        let hint = if self.profile.is_some() { sso } else { "" };
        let Some(provider) = config.credentials_provider() else {
            return Err(Error::Credentials("none are configured".to_owned(), hint));
        };
        match provider.provide_credentials().await {
            Ok(credentials) => Ok(credentials),
            Err(error) => {
                let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                // what is below the first line are all the places that were looked at
                let cause = cause
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(" Attempted:")
                    .trim_end_matches('.')
                    .to_owned();
                Err(Error::Credentials(cause, hint))
            }
        }
    }
}
