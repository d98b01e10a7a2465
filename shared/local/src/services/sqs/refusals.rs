//! Requests that SQS refuses before it looks at a queue, and winterbaume does not.
//!
//! Codes: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html> and the page of
//! each action.

use std::collections::HashSet;

use serde_json::Value;

use super::MESSAGE_MAX;

/// Entries in one batch.
const BATCH_MAX: usize = 10;

/// An error of SQS, in both of the names it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The name of the JSON protocol.
    pub(super) shape: &'static str,
    /// The code of the query protocol, which SDKs match on.
    pub(super) code: &'static str,
    /// The sentence for people.
    pub(super) message: String,
}

impl Refusal {
    fn batch(shape: &'static str, code: &'static str, message: String) -> Self {
        Self { shape, code, message }
    }

    pub(super) fn invalid_value(message: String) -> Self {
        Self { shape: "InvalidParameterValueException", code: "InvalidParameterValue", message }
    }

    pub(super) fn not_found(message: String) -> Self {
        Self { shape: "ResourceNotFoundException", code: "ResourceNotFoundException", message }
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self {
            shape: "MissingRequiredParameterException",
            code: "MissingParameter",
            message: format!("The request must contain the parameter {parameter}."),
        }
    }

    pub(super) fn message_too_long() -> Self {
        Self::invalid_value(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {MESSAGE_MAX} bytes."
        ))
    }
}

/// Refuses what `action` may not be asked.
pub(super) fn check(action: &str, input: &Value) -> Result<(), Refusal> {
    match action {
        "SendMessage" => check_message(input).and_then(|size| {
            if size > MESSAGE_MAX {
                return Err(Refusal::message_too_long());
            }
            Ok(())
        }),
        "SendMessageBatch" => {
            let entries = batch(input)?;
            let mut size = 0;
            for entry in entries {
                size += check_message(entry)?;
            }
            if size > MESSAGE_MAX {
                return Err(Refusal::batch(
                    "BatchRequestTooLong",
                    "AWS.SimpleQueueService.BatchRequestTooLong",
                    format!("Batch requests cannot be longer than {MESSAGE_MAX} bytes. You have sent {size} bytes."),
                ));
            }
            Ok(())
        }
        "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => batch(input).map(|_| ()),
        "ReceiveMessage" => match input["MaxNumberOfMessages"].as_i64() {
            Some(count) if !(1..=10).contains(&count) => Err(Refusal::invalid_value(format!(
                "Value {count} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
            ))),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn batch(input: &Value) -> Result<&[Value], Refusal> {
    let entries = input["Entries"].as_array().map_or(&[][..], Vec::as_slice);
    if entries.is_empty() {
        return Err(Refusal::batch(
            "EmptyBatchRequest",
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one entry in the request.".to_owned(),
        ));
    }
    if entries.len() > BATCH_MAX {
        return Err(Refusal::batch(
            "TooManyEntriesInBatchRequest",
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            format!("Maximum number of entries per request are {BATCH_MAX}. You have sent {}.", entries.len()),
        ));
    }
    let mut seen = HashSet::new();
    for id in entries.iter().filter_map(|entry| entry["Id"].as_str()) {
        if !seen.insert(id) {
            return Err(Refusal::batch(
                "BatchEntryIdsNotDistinct",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                format!("Id {id} repeated."),
            ));
        }
    }
    Ok(entries)
}

/// Checks one message; gives its size as SQS counts it: body, and names, types and values of attributes.
fn check_message(message: &Value) -> Result<usize, Refusal> {
    let body = message["MessageBody"].as_str().unwrap_or("");
    if body.is_empty() {
        return Err(Refusal::missing("MessageBody"));
    }
    let mut size = body.len();
    for (name, attribute) in message["MessageAttributes"].as_object().into_iter().flatten() {
        if !attribute["BinaryValue"].is_null() {
            return Err(Refusal {
                shape: "UnsupportedOperation",
                code: "AWS.SimpleQueueService.UnsupportedOperation",
                message: format!("The local SQS keeps no binary message attribute ({name})."),
            });
        }
        let len = |field: &str| attribute[field].as_str().map_or(0, str::len);
        size += name.len() + len("DataType") + len("StringValue");
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        let fits = json!({ "MessageBody": "x".repeat(MESSAGE_MAX) });
        assert_eq!(check("SendMessage", &fits), Ok(()));
        let over = json!({ "MessageBody": "x".repeat(MESSAGE_MAX + 1) });
        assert_eq!(check("SendMessage", &over).unwrap_err().code, "InvalidParameterValue");
    }

    #[test]
    fn attributes_count_towards_the_size() {
        let over = json!({
            "MessageBody": "x".repeat(MESSAGE_MAX - 10),
            "MessageAttributes": { "name": { "DataType": "String", "StringValue": "y" } },
        });
        assert_eq!(check("SendMessage", &over), Err(Refusal::message_too_long()));
    }

    #[test]
    fn an_entry_without_a_body_is_refused_and_not_passed_over() {
        let input = json!({ "Entries": [{ "Id": "a", "MessageBody": "" }] });
        assert_eq!(check("SendMessageBatch", &input), Err(Refusal::missing("MessageBody")));
    }
}
