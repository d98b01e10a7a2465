//! SDK clients for whoever looks at a pipeline from outside: an operator's commands, tests.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::Credentials;

/// Clients of one pipeline's services.
#[derive(Debug, Clone)]
pub struct Clients {
    /// CloudFormation.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// Kinesis.
    pub kinesis: aws_sdk_kinesis::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
}

macro_rules! client {
    ($service:ident, $variable:literal, $environment:expr) => {{
        let get = |name: &str| $environment.get(name).cloned();
        let credentials = Credentials::new(
            get("AWS_ACCESS_KEY_ID").unwrap_or_default(),
            get("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
            get("AWS_SESSION_TOKEN"),
            None,
            "penstock",
        );
        let mut config = $service::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(get("AWS_REGION").map(Region::new))
            .credentials_provider(credentials);
        config.set_endpoint_url(get($variable));
        $service::Client::from_conf(config.build())
    }};
}

impl Clients {
    /// Clients for the services that `environment` points at, as a function's does. No profile and no variable of the
    /// user's reaches them.
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        Self {
            cloudformation: client!(aws_sdk_cloudformation, "AWS_ENDPOINT_URL_CLOUDFORMATION", environment),
            kinesis: client!(aws_sdk_kinesis, "AWS_ENDPOINT_URL_KINESIS", environment),
            dynamodb: client!(aws_sdk_dynamodb, "AWS_ENDPOINT_URL_DYNAMODB", environment),
            sqs: client!(aws_sdk_sqs, "AWS_ENDPOINT_URL_SQS", environment),
        }
    }

    /// Clients of one configuration: an account, a region, an endpoint.
    pub fn from_config(config: &SdkConfig) -> Self {
        Self {
            cloudformation: aws_sdk_cloudformation::Client::new(config),
            kinesis: aws_sdk_kinesis::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
        }
    }
}
