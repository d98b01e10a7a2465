//! The SDK's clients, built once a process.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// A call that takes longer is given up and, where the SDK retries, tried again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// All attempts of a call together.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Clients made from the usual sources: environment, profile, `AWS_ENDPOINT_URL_KINESIS` and its like.
#[derive(Debug, Clone)]
pub struct Sdk {
    config: SdkConfig,
}

impl Sdk {
    /// Reads the environment. No request is made yet.
    pub async fn from_env() -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
        Self { config }
    }

    /// Kinesis for putting: without the SDK's retries, because the producer retries what failed of a call and not
    /// the call.
    pub fn kinesis_for_puts(&self) -> aws_sdk_kinesis::Client {
        let config = aws_sdk_kinesis::config::Builder::from(&self.config).retry_config(RetryConfig::disabled()).build();
        aws_sdk_kinesis::Client::from_conf(config)
    }

    /// CloudFormation.
    pub fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(&self.config)
    }

    /// Kinesis.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.config)
    }

    /// DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }
}
