//! The queue that alerts go to.

use aws_sdk_sqs::error::ProvideErrorMetadata;
use penstock::ports::Error;

use crate::{Alert, Alerts};

/// An SQS queue of [`Alert`]s, as JSON.
#[derive(Debug, Clone)]
pub struct AlertQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl AlertQueue {
    /// The queue at `url`.
    pub fn new(client: aws_sdk_sqs::Client, url: String) -> Self {
        Self { client, url }
    }
}

impl Alerts for AlertQueue {
    async fn send(&self, alert: &Alert) -> Result<(), Error> {
        let body = serde_json::to_string(alert).map_err(|error| Error::Refused(error.to_string()))?;
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(drop).map_err(|error| {
            let told = error.message().map_or_else(|| error.to_string(), str::to_owned);
            Error::Unavailable(format!("SendMessage: {told}"))
        })
    }
}
