//! SQS, as the core's [`DeadLetters`].

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry};
use futures_util::stream::{self, StreamExt};
use penstock::dead_letter::DeadLetter;
use penstock::ports::{DeadLetters, Error};

use crate::error::{classify, is_throttle};

/// Bytes of a message, and of all messages of a call, attributes included:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Messages of a call:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>.
const ENTRIES_MAX: usize = 10;

/// Calls side by side.
const CALLS_AT_ONCE: usize = 8;

/// Kept back for each message's attributes.
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
    async fn send(&self, letters: &[DeadLetter]) -> Vec<Result<(), Error>> {
        let mut results = vec![Ok(()); letters.len()];
        let (calls, refused) = calls(letters);
        let mut ends: Vec<(usize, Error)> = refused;
        let sent = stream::iter(calls).map(|call| self.send_some(call)).buffer_unordered(CALLS_AT_ONCE);
        for failed in sent.collect::<Vec<_>>().await {
            ends.extend(failed);
        }
        for (letter, error) in ends {
            results[letter] = Err(error);
        }
        results
    }
}

/// A message, and the letter that it is (a part of).
struct Entry {
    letter: usize,
    group: String,
    code: &'static str,
    body: String,
}

/// The calls that letters take, and the letters that cannot be written down.
fn calls(letters: &[DeadLetter]) -> (Vec<Vec<Entry>>, Vec<(usize, Error)>) {
    let (mut calls, mut refused) = (Vec::new(), Vec::new());
    let (mut call, mut bytes): (Vec<Entry>, usize) = (Vec::new(), 0);
    for (index, letter) in letters.iter().enumerate() {
        for message in letter.messages(MESSAGE_BYTES_MAX - ATTRIBUTE_BYTES) {
            let body = match serde_json::to_string(&message) {
                Ok(body) => escape_what_sqs_refuses(body),
                Err(error) => {
                    refused.push((index, Error::Refused(error.to_string())));
                    continue;
                }
            };
            let size = body.len() + ATTRIBUTE_BYTES;
            if call.len() == ENTRIES_MAX || bytes + size > MESSAGE_BYTES_MAX {
                calls.push(std::mem::take(&mut call));
                bytes = 0;
            }
            bytes += size;
            call.push(Entry { letter: index, group: letter.group.clone(), code: letter.code.as_str(), body });
        }
    }
    calls.push(call);
    calls.retain(|call| !call.is_empty());
    (calls, refused)
}

impl DeadLetterQueue {
    /// One call; the letters that it did not send.
    async fn send_some(&self, entries: Vec<Entry>) -> Vec<(usize, Error)> {
        let letters: Vec<usize> = entries.iter().map(|entry| entry.letter).collect();
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (number, entry) in entries.into_iter().enumerate() {
            let built = SendMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .message_body(entry.body)
                .message_attributes("group", text(&entry.group))
                .message_attributes("code", text(entry.code))
                .build();
            match built {
                Ok(entry) => request = request.entries(entry),
                Err(error) => {
                    let error = Error::Refused(format!("SendMessageBatch: {error}"));
                    return letters.into_iter().map(|letter| (letter, error.clone())).collect();
                }
            }
        }
        match request.send().await {
            // what is in neither list was not sent
            Ok(answer) => {
                let mut errors =
                    vec![Some(Error::Unavailable("SendMessageBatch: no answer for it".to_owned())); letters.len()];
                for sent in answer.successful() {
                    if let Some(error) = sent.id().parse::<usize>().ok().and_then(|number| errors.get_mut(number)) {
                        *error = None;
                    }
                }
                for failed in answer.failed() {
                    if let Some(error) = failed.id().parse::<usize>().ok().and_then(|number| errors.get_mut(number)) {
                        *error = Some(of_entry(failed));
                    }
                }
                letters.into_iter().zip(errors).filter_map(|(letter, error)| Some((letter, error?))).collect()
            }
            Err(error) => {
                let error = classify("SendMessageBatch", error);
                letters.into_iter().map(|letter| (letter, error.clone())).collect()
            }
        }
    }
}

fn of_entry(failed: &BatchResultErrorEntry) -> Error {
    let detail = format!("SendMessageBatch: {}: {}", failed.code(), failed.message().unwrap_or("no message"));
    if is_throttle(failed.code()) {
        Error::Throttled(detail)
    } else if failed.sender_fault() {
        Error::Refused(detail)
    } else {
        Error::Unavailable(detail)
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

#[expect(clippy::expect_used, reason = "its one required field is set")]
fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("a type is set")
}

#[cfg(test)]
mod tests {
    use penstock::dead_letter::Code;
    use penstock::time::Timestamp;
    use penstock::{Position, ShardId};

    use super::*;

    #[test]
    fn a_call_takes_ten_messages_and_a_mebibyte() {
        let letter = |bytes: usize| DeadLetter {
            group: "g".to_owned(),
            stream: "s".to_owned(),
            shard: ShardId::new("shardId-000000000000"),
            position: Position::start(),
            partition_key: "k".to_owned(),
            arrival: Timestamp(0),
            at: Timestamp(0),
            attempts: 1,
            code: Code::Refused,
            reason: String::new(),
            overtaken: false,
            data: vec![7; bytes].into(),
        };
        let letters: Vec<_> = [100; 25].into_iter().chain([300_000, 300_000, 300_000, 3_000_000]).map(letter).collect();
        let (calls, refused) = calls(&letters);
        assert!(refused.is_empty());
        let told: Vec<Vec<usize>> = calls.iter().map(|call| call.iter().map(|entry| entry.letter).collect()).collect();
        assert_eq!(told[..2], [(0..10).collect::<Vec<_>>(), (10..20).collect()]);
        assert_eq!(told[2..], [vec![20, 21, 22, 23, 24, 25, 26], vec![27], vec![28], vec![28], vec![28], vec![28]]);
        for call in calls {
            assert!(call.iter().map(|entry| entry.body.len() + ATTRIBUTE_BYTES).sum::<usize>() <= MESSAGE_BYTES_MAX);
        }
    }

    #[test]
    fn what_sqs_refuses_is_escaped_and_reads_back_as_it_was() {
        let reason = "a\u{FFFE}b\u{FFFF}\u{1}".to_owned();
        let body = escape_what_sqs_refuses(serde_json::to_string(&reason).unwrap());
        assert!(body.chars().all(|c| matches!(c, ' '..='~')), "{body}");
        assert_eq!(serde_json::from_str::<String>(&body).unwrap(), reason);
    }
}
