//! SQS, as the core's [`DeadLetters`].

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use penstock::dead_letter::DeadLetter;
use penstock::ports::{DeadLetters, Error};

use crate::error::classify;

/// Bytes of a message, attributes included:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Kept back for the message's attributes.
const ATTRIBUTE_BYTES: usize = 1024;

/// A group's dead-letter queue.
#[derive(Debug, Clone)]
pub struct DeadLetterQueue {
    client: Client,
    url: String,
}

impl DeadLetterQueue {
    /// The queue at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

impl DeadLetters for DeadLetterQueue {
    async fn send(&self, letter: &DeadLetter) -> Result<(), Error> {
        for message in letter.messages(MESSAGE_BYTES_MAX - ATTRIBUTE_BYTES) {
            let body = serde_json::to_string(&message).map_err(|error| Error::Refused(error.to_string()))?;
            let body = escape_what_sqs_refuses(body);
            self.client
                .send_message()
                .queue_url(&self.url)
                .message_body(body)
                .message_attributes("group", text(&letter.group)?)
                .message_attributes("code", text(letter.code.as_str())?)
                .send()
                .await
                .map_err(|error| classify("SendMessage", error))?;
        }
        Ok(())
    }
}

/// SQS takes the characters of XML 1.0; JSON can say the others as escapes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn escape_what_sqs_refuses(json: String) -> String {
    if json.contains(['\u{FFFE}', '\u{FFFF}']) {
        return json.replace('\u{FFFE}', "\\ufffe").replace('\u{FFFF}', "\\uffff");
    }
    json
}

fn text(value: &str) -> Result<MessageAttributeValue, Error> {
    let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
    value.map_err(|error| Error::Refused(format!("SendMessage: {error}")))
}

#[cfg(test)]
mod tests {
    use super::escape_what_sqs_refuses;

    #[test]
    fn what_sqs_refuses_is_escaped_and_reads_back_as_it_was() {
        let reason = "a\u{FFFE}b\u{FFFF}\u{1}".to_owned();
        let body = escape_what_sqs_refuses(serde_json::to_string(&reason).unwrap());
        assert!(body.chars().all(|c| matches!(c, ' '..='~')), "{body}");
        assert_eq!(serde_json::from_str::<String>(&body).unwrap(), reason);
    }
}
