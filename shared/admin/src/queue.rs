//! What a queue says of itself.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use penstock::ports::Error;
use penstock_aws::error::classify;

/// A queue's attributes that matter here.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) arn: String,
    /// Messages that can be received now, about.
    pub(crate) visible: u64,
    /// Messages that somebody has received and not deleted, about.
    pub(crate) in_flight: u64,
}

/// Asks the queue at `url`.
pub(crate) async fn attributes(sqs: &Client, url: &str) -> Result<Attributes, Error> {
    let (visible, in_flight) =
        (QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
    let names = [QueueAttributeName::QueueArn, visible.clone(), in_flight.clone()];
    let asked = sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.into())).send().await;
    let asked = asked.map_err(|error| classify("GetQueueAttributes", error))?.attributes.unwrap_or_default();
    let number = |name| asked.get(&name).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Ok(Attributes {
        arn: asked.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default(),
        visible: number(visible),
        in_flight: number(in_flight),
    })
}
