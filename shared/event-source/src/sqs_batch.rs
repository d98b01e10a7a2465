//! Batches of an SQS mapping: the event that the function gets, and what its answer does to each message.
//!
//! Pure: receiving, invoking and deleting are the driver's. A message that is not deleted is not touched either: it
//! becomes visible again when its visibility timeout ends, as in AWS.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;

use crate::Invocation;
use crate::event::PAYLOAD_MAX;
use crate::response::{Failure, ResponseError, reported};

/// A received message, in the shape of the event.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What an answer names it by.
    pub message_id: String,
    /// What it is deleted with.
    pub receipt_handle: String,
    /// The body.
    pub body: String,
    /// System attributes, such as `ApproximateReceiveCount`.
    pub attributes: BTreeMap<String, String>,
    /// The sender's attributes.
    pub message_attributes: BTreeMap<String, MessageAttribute>,
    /// The body's MD5, in hex.
    pub md5_of_body: String,
    /// `aws:sqs`.
    pub event_source: &'static str,
    /// The queue's ARN.
    #[serde(rename = "eventSourceARN")]
    pub event_source_arn: String,
    /// The queue's region.
    pub aws_region: String,
}

/// An attribute that the sender gave a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageAttribute {
    /// For `String` and `Number`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// For `Binary`, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
    /// Always empty: SQS reserves it.
    pub string_list_values: [String; 0],
    /// Always empty: SQS reserves it.
    pub binary_list_values: [String; 0],
    /// `String`, `Number` or `Binary`, with a label perhaps.
    pub data_type: String,
}

/// Messages for one invocation, with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsBatch {
    /// The messages, at least one.
    pub messages: Vec<Message>,
    /// The event.
    pub payload: Bytes,
}

/// What an answer does to the messages of its batch. Every message is in one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsEnd {
    /// Receipt handles of the messages to delete.
    pub delete: Vec<String>,
    /// How many stay and become visible again.
    pub kept: usize,
    /// Why they stay.
    pub failure: Option<Failure>,
}

/// Cuts messages into batches of `batch_size` whose payloads keep to 6 MB. A larger message goes alone.
pub fn cut(messages: Vec<Message>, batch_size: usize) -> Vec<SqsBatch> {
    let mut batches = Vec::new();
    let mut gathered: Vec<Message> = Vec::new();
    let mut records = String::new();
    for message in messages {
        let record = serde_json::to_string(&message).expect("strings are written to memory");
        let size = ENVELOPE + records.len() + 1 + record.len();
        if !gathered.is_empty() && (gathered.len() >= batch_size || size > PAYLOAD_MAX) {
            batches.push(close(&mut gathered, &mut records));
        }
        if !gathered.is_empty() {
            records.push(',');
        }
        records.push_str(&record);
        gathered.push(message);
    }
    if !gathered.is_empty() {
        batches.push(close(&mut gathered, &mut records));
    }
    batches
}

const ENVELOPE: usize = r#"{"Records":[]}"#.len();

fn close(messages: &mut Vec<Message>, records: &mut String) -> SqsBatch {
    let payload = format!(r#"{{"Records":[{records}]}}"#).into();
    records.clear();
    SqsBatch { messages: std::mem::take(messages), payload }
}

/// What `invocation` does to the messages of its batch.
///
/// With `report_batch_item_failures` the reported messages stay and the others are deleted; an identifier that is empty,
/// missing or not in the batch, or an answer that cannot be read, keeps them all. Without it any answer deletes all.
/// A failed or throttled invocation deletes none.
pub fn settle(messages: &[Message], invocation: &Invocation, report_batch_item_failures: bool) -> SqsEnd {
    let failed = match invocation {
        Invocation::Throttled => Err(None),
        Invocation::Failed { error_type, message } => {
            Err(Some(Failure::Function { error_type: error_type.clone(), message: message.clone() }))
        }
        Invocation::Returned(_) if !report_batch_item_failures => Ok(BTreeSet::new()),
        Invocation::Returned(body) => failed_ids(body, messages).map_err(|error| Some(Failure::Response(error))),
    };
    match failed {
        Err(failure) => SqsEnd { delete: Vec::new(), kept: messages.len(), failure },
        Ok(failed) => {
            let settled = messages.iter().filter(|message| !failed.contains(&message.message_id));
            let delete: Vec<_> = settled.map(|message| message.receipt_handle.clone()).collect();
            SqsEnd { kept: messages.len() - delete.len(), delete, failure: None }
        }
    }
}

fn failed_ids(body: &[u8], messages: &[Message]) -> Result<BTreeSet<String>, ResponseError> {
    let failed = reported(body)?;
    let unknown = failed.iter().find(|id| !messages.iter().any(|message| message.message_id == **id));
    match unknown {
        Some(id) => Err(ResponseError::UnknownIdentifier(id.clone())),
        None => Ok(failed.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn message(id: &str, body: String) -> Message {
        Message {
            message_id: id.into(),
            receipt_handle: format!("receipt-{id}"),
            body,
            attributes: BTreeMap::from([("ApproximateReceiveCount".into(), "1".into())]),
            message_attributes: BTreeMap::new(),
            md5_of_body: "e4e68fb7bd0e697a0ae8f1bb342846b3".into(),
            event_source: "aws:sqs",
            event_source_arn: "arn:aws:sqs:us-east-2:123456789012:my-queue".into(),
            aws_region: "us-east-2".into(),
        }
    }

    fn settled(body: &str, report: bool) -> (usize, usize) {
        let messages = ["a", "b", "c"].map(|id| message(id, String::new()));
        let invocation = Invocation::Returned(Bytes::copy_from_slice(body.as_bytes()));
        let outcome = settle(&messages, &invocation, report);
        (outcome.delete.len(), outcome.kept)
    }

    #[test]
    fn the_event_has_the_documented_shape() {
        let batches = cut(vec![message("059f36b4", "test \"message\"".into())], 10);
        assert_eq!(batches.len(), 1);
        assert_eq!(
            serde_json::from_slice::<Value>(&batches[0].payload).unwrap(),
            json!({"Records": [{
                "messageId": "059f36b4",
                "receiptHandle": "receipt-059f36b4",
                "body": "test \"message\"",
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
                "awsRegion": "us-east-2"
            }]})
        );
    }

    #[test]
    fn reported_messages_stay_and_the_others_are_deleted() {
        let messages = ["a", "b", "c"].map(|id| message(id, String::new()));
        let answer = Invocation::Returned(Bytes::from_static(br#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#));
        let outcome = settle(&messages, &answer, true);
        assert_eq!(outcome.delete, ["receipt-a", "receipt-c"]);
        assert_eq!((outcome.kept, outcome.failure), (1, None));
    }

    #[test]
    fn an_empty_answer_deletes_all_and_an_unreadable_one_none() {
        for body in ["", "null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#] {
            assert_eq!(settled(body, true), (3, 0), "{body}");
        }
        for body in [
            "ok",
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"d"}]}"#,
            r#"{"batchItemFailures":[{"id":"a"}]}"#,
        ] {
            assert_eq!(settled(body, true), (0, 3), "{body}");
            assert_eq!(settled(body, false), (3, 0), "{body}");
        }
    }

    #[test]
    fn a_failed_or_throttled_invocation_deletes_none() {
        let messages = [message("a", String::new())];
        let failed = Invocation::Failed { error_type: "Error".into(), message: "no".into() };
        for invocation in [failed, Invocation::Throttled] {
            let outcome = settle(&messages, &invocation, true);
            assert_eq!((outcome.delete.len(), outcome.kept), (0, 1));
        }
    }

    #[test]
    fn a_batch_ends_at_its_size_and_at_6_mb() {
        let small: Vec<_> = (0..7).map(|id| message(&id.to_string(), String::new())).collect();
        let sizes = |messages, size| cut(messages, size).iter().map(|batch| batch.messages.len()).collect::<Vec<_>>();
        assert_eq!(sizes(small, 3), [3, 3, 1]);
        let large: Vec<_> = (0..10).map(|id| message(&id.to_string(), "x".repeat(1_000_000))).collect();
        assert_eq!(sizes(large.clone(), 10), [6, 4]);
        assert!(cut(large, 10).iter().all(|batch| batch.payload.len() <= PAYLOAD_MAX));
        let huge =
            vec![message("a", String::new()), message("b", "x".repeat(PAYLOAD_MAX)), message("c", String::new())];
        assert_eq!(sizes(huge, 10), [1, 1, 1]);
        assert_eq!(sizes(Vec::new(), 10), Vec::<usize>::new());
    }
}
