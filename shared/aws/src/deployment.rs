//! A deployed stack: where its parts are, and which consumer groups it has.
//!
//! The stack's CloudFormation outputs are the one registry of groups: each group's block in the template adds an output of
//! its own, and `recover` and the operator's commands find it there. An environment variable would not do: Lambda allows a
//! function 4 KB of them in all, 18 groups. A template may have 200 outputs.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::Stack;
use penstock::ports;
use serde::Deserialize;

use crate::error::classify;

/// The format of the outputs that this code understands, as the output `FormatVersion` says it.
const FORMAT: &str = "1";

/// How the name of an output ends that describes a consumer group, in a JSON object; other outputs may end so too, with a
/// name of a log group for example.
const GROUP: &str = "Group";

/// How the name of an output ends that is the URL of a queue.
const QUEUE: &str = "QueueUrl";

/// A deployed stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The stack's name.
    pub stack: String,
    /// The stream's name.
    pub stream: String,
    /// The name of the progress table.
    pub progress_table: String,
    /// The name of the window table.
    pub window_table: String,
    /// The name of the table of schemas; none in a stack of before there was one.
    pub schema_table: Option<String>,
    /// The URL of the queue of what mappings gave up.
    pub give_ups: String,
    /// The URL of the queue of what could not be recovered.
    pub failed_give_ups: String,
    /// The URLs of its queues that have an output, by its name without `QueueUrl`.
    pub queues: BTreeMap<String, String>,
    /// Its consumer groups, by name.
    pub groups: BTreeMap<String, GroupParts>,
}

/// Where the parts of a consumer group are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupParts {
    /// The group's name.
    pub group: String,
    /// The name of its function.
    pub function: String,
    /// The URL of its dead-letter queue.
    pub dead_letters: String,
    /// The URL of the queue that dead letters are sent back through.
    pub redrive: String,
    /// The name of the table of a projection's states.
    pub states: Option<String>,
}

/// Why a deployment cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such stack.
    #[error("there is no stack `{0}` in this account and region")]
    Missing(String),
    /// A stack without outputs that can be relied on.
    #[error("the stack `{stack}` is {status}: its outputs cannot be relied on until it is created")]
    NotCreated {
        /// The stack.
        stack: String,
        /// What CloudFormation says of it.
        status: String,
    },
    /// Somebody else's stack.
    #[error("`{stack}` is no Penstock stack: it has no output `{output}`")]
    NotOurs {
        /// The stack.
        stack: String,
        /// What is missing.
        output: &'static str,
    },
    /// A stack of another version.
    #[error(
        "`{stack}` has outputs of format {found}, and this version reads format {FORMAT}: use the one that deployed it"
    )]
    Format {
        /// The stack.
        stack: String,
        /// Its format.
        found: String,
    },
    /// An output of a group that cannot be used.
    #[error("the output `{output}` of `{stack}` does not describe a consumer group: {detail}")]
    Group {
        /// The stack.
        stack: String,
        /// The output.
        output: String,
        /// What is wrong with it.
        detail: String,
    },
    /// CloudFormation did not say.
    #[error(transparent)]
    Service(#[from] ports::Error),
}

impl Deployment {
    /// The stack that has this name or id.
    ///
    /// # Errors
    /// When there is none, it is not ours or not ready, or CloudFormation refuses.
    pub async fn find(client: &Client, stack: &str) -> Result<Self, Error> {
        let described = client.describe_stacks().stack_name(stack).send().await;
        let described = described.map_err(|error| {
            // the code of every bad argument; a name that cannot be one is no stack's either
            let unknown = error.as_service_error().is_some_and(|error| {
                error.code() == Some("ValidationError")
                    && error.message().is_some_and(|text| text.contains("not exist"))
            });
            if unknown { Error::Missing(stack.to_owned()) } else { classify("DescribeStacks", error).into() }
        })?;
        let [stack_found] = described.stacks() else { return Err(Error::Missing(stack.to_owned())) };
        Self::of(stack_found)
    }

    /// What a described stack's outputs say.
    fn of(stack: &Stack) -> Result<Self, Error> {
        let name = stack.stack_name().unwrap_or_default().to_owned();
        let status = stack.stack_status().map_or("in an unknown state", |status| status.as_str());
        // during an update the outputs are those of the version that is being replaced
        if !status.starts_with("UPDATE_") && !matches!(status, "CREATE_COMPLETE" | "IMPORT_COMPLETE") {
            return Err(Error::NotCreated { stack: name, status: status.to_owned() });
        }
        let outputs = stack.outputs().iter();
        let outputs =
            outputs.filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())));
        Self::read(name, &outputs.collect())
    }

    /// What the outputs of the stack called `stack` say.
    ///
    /// # Errors
    /// When it is not ours, or of another format.
    pub fn read(stack: String, outputs: &BTreeMap<String, String>) -> Result<Self, Error> {
        let output = |name: &'static str| {
            let value = outputs.get(name).cloned();
            value.ok_or_else(|| Error::NotOurs { stack: stack.clone(), output: name })
        };
        let found = output("FormatVersion")?;
        if found != FORMAT {
            return Err(Error::Format { stack, found });
        }
        let mut groups: BTreeMap<String, GroupParts> = BTreeMap::new();
        let described = |(key, value): &(&String, &String)| key.ends_with(GROUP) && value.starts_with('{');
        for (key, value) in outputs.iter().filter(described) {
            let broken = |detail| Error::Group { stack: stack.clone(), output: key.clone(), detail };
            let parts: GroupParts = serde_json::from_str(value).map_err(|error| broken(error.to_string()))?;
            let name = parts.group.clone();
            if let Some(other) = groups.insert(name.clone(), parts) {
                return Err(broken(format!("the function {} is the group `{name}` too", other.function)));
            }
        }
        let queue = |(key, url): (&String, &String)| Some((key.strip_suffix(QUEUE)?.to_owned(), url.clone()));
        let queues = outputs.iter().filter_map(queue).collect();
        Ok(Self {
            stream: output("StreamName")?,
            progress_table: output("ProgressTable")?,
            window_table: output("WindowTable")?,
            schema_table: outputs.get("SchemasTable").cloned(),
            give_ups: output("GiveUpsQueueUrl")?,
            failed_give_ups: output("FailedGiveUpsQueueUrl")?,
            queues,
            groups,
            stack,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::{Output, StackStatus};

    use super::*;

    const STATUS: &str =
        r#"{"group":"order-status","function":"f-1","deadLetters":"u/d","redrive":"u/r","states":"s"}"#;

    fn stack(status: StackStatus, more: &[(&str, &str)]) -> Stack {
        let ours = [
            ("FormatVersion", "1"),
            ("StreamName", "events"),
            ("ProgressTable", "progress"),
            ("WindowTable", "window"),
            ("GiveUpsQueueUrl", "u/g"),
            ("FailedGiveUpsQueueUrl", "u/f"),
            ("OrderStatusGroup", STATUS),
            ("ApiLogGroup", "/aws/api"),
        ];
        let outputs: BTreeMap<&str, &str> = ours.into_iter().chain(more.iter().copied()).collect();
        let outputs = outputs.into_iter().filter(|(_, value)| !value.is_empty());
        let outputs = outputs.map(|(key, value)| Output::builder().output_key(key).output_value(value).build());
        Stack::builder().stack_name("shop").stack_status(status).set_outputs(Some(outputs.collect())).build()
    }

    fn refused(stack: &Stack) -> String {
        Deployment::of(stack).unwrap_err().to_string()
    }

    #[test]
    fn each_output_of_a_group_is_a_group_and_no_other_output_is() {
        let alerts = r#"{"group":"order-alerts","function":"f-2","deadLetters":"u/2","redrive":"u/3"}"#;
        let more = [("OrderAlertsGroup", alerts), ("SchemasTable", "schemas")];
        let found = Deployment::of(&stack(StackStatus::UpdateInProgress, &more)).unwrap();
        assert_eq!(found.groups.keys().collect::<Vec<_>>(), ["order-alerts", "order-status"]);
        assert_eq!(found.queues.keys().collect::<Vec<_>>(), ["FailedGiveUps", "GiveUps"]);
        assert_eq!(found.groups["order-status"].states.as_deref(), Some("s"));
        assert_eq!(found.schema_table.as_deref(), Some("schemas"));
        assert_eq!(Deployment::of(&stack(StackStatus::CreateComplete, &[])).unwrap().schema_table, None);
        assert_eq!((found.stack.as_str(), found.stream.as_str()), ("shop", "events"));
    }

    #[test]
    fn a_stack_that_is_not_ours_or_half_created_or_of_another_format_is_refused_by_name() {
        let complete = StackStatus::CreateComplete;
        assert_eq!(
            refused(&stack(complete.clone(), &[("FormatVersion", "")])),
            "`shop` is no Penstock stack: it has no output `FormatVersion`"
        );
        assert!(refused(&stack(complete.clone(), &[("FormatVersion", "2")])).contains("outputs of format 2"));
        for status in [StackStatus::CreateInProgress, StackStatus::RollbackComplete, StackStatus::DeleteComplete] {
            assert!(refused(&stack(status.clone(), &[])).contains(status.as_str()));
        }
        let broken = refused(&stack(complete.clone(), &[("OrderAlertsGroup", "{}")]));
        assert!(
            broken.contains("`OrderAlertsGroup` of `shop`") && broken.contains("missing field `group`"),
            "{broken}"
        );
        let twice = refused(&stack(complete, &[("OtherGroup", STATUS)]));
        assert!(twice.contains("is the group `order-status` too"), "{twice}");
    }
}
