//! SDK clients for the local services, built from nothing but their URLs: no profile or variable of the user's reaches them.

use aws_sdk_dynamodb as dynamodb;
use aws_sdk_kinesis as kinesis;
use aws_sdk_sqs as sqs;

/// What the local services accept; they check that a signature is there, not whose it is.
pub(crate) const ACCESS_KEY_ID: &str = "local";
/// See [`ACCESS_KEY_ID`].
pub(crate) const SECRET_ACCESS_KEY: &str = "local";

macro_rules! client {
    ($service:ident, $url:expr, $region:expr) => {
        $service::Client::from_conf(
            $service::Config::builder()
                .behavior_version($service::config::BehaviorVersion::latest())
                .region($service::config::Region::new($region.to_owned()))
                .credentials_provider($service::config::Credentials::new(
                    ACCESS_KEY_ID,
                    SECRET_ACCESS_KEY,
                    None,
                    None,
                    "local services",
                ))
                .retry_config($service::config::retry::RetryConfig::standard())
                .endpoint_url($url)
                .build(),
        )
    };
}

pub(crate) fn kinesis(url: &str, region: &str) -> kinesis::Client {
    client!(kinesis, url, region)
}

pub(crate) fn dynamodb(url: &str, region: &str) -> dynamodb::Client {
    client!(dynamodb, url, region)
}

pub(crate) fn sqs(url: &str, region: &str) -> sqs::Client {
    client!(sqs, url, region)
}
