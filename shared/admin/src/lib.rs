//! What an operator asks of a pipeline, and does to it.
//!
//! [`Operator::find`] finds the parts of a stack by its CloudFormation outputs: of a deployed one, of one on an emulator, or
//! of a local run, which describes itself in the same way. Nothing here prints; the `penstock` command does.
//!
//! What it calls, for the policy of whoever may look: `cloudformation:DescribeStacks`; `kinesis:ListShards`,
//! `GetShardIterator` and `GetRecords` on the stream; `dynamodb:GetItem` and `BatchGetItem` on the tables;
//! `sqs:GetQueueAttributes` on the queues. Looking at dead letters takes `sqs:ReceiveMessage` and `ChangeMessageVisibility` too, and sending them back
//! `sqs:StartMessageMoveTask` with what that needs, and `ListMessageMoveTasks` to see when it is over:
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html>
//! Publishing schemas takes `dynamodb:PutItem` on their table.

pub mod account;
mod backlog;
pub mod catching_up;
pub mod dead_letters;
pub mod findings;
mod queue;
pub mod redrive;
pub mod schemas;
pub mod states;
pub mod status;
pub mod tail;

use penstock_aws::deployment::{self, GroupParts};
use penstock_aws::{Clients, Deployment};

/// A stack, and clients for where it is.
#[derive(Debug, Clone)]
pub struct Operator {
    clients: Clients,
    deployment: Deployment,
}

/// A group that the stack does not have.
#[derive(Debug, thiserror::Error)]
#[error("there is no consumer group `{group}`; {}", known.as_deref().map_or("the stack has none".to_owned(), |known| format!("the groups are: {known}")))]
pub struct UnknownGroup {
    group: String,
    known: Option<String>,
}

impl Operator {
    /// The stack called `stack`, as `clients` find it.
    ///
    /// # Errors
    /// When there is none, it is not ours or not ready, or CloudFormation refuses.
    pub async fn find(clients: Clients, stack: &str) -> Result<Self, deployment::Error> {
        let deployment = Deployment::find(&clients.cloudformation, stack).await?;
        Ok(Self { clients, deployment })
    }

    /// Where the parts of the stack are.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The parts of a group.
    ///
    /// # Errors
    /// When there is no such group; the error names those that there are.
    pub fn group(&self, name: &str) -> Result<&GroupParts, UnknownGroup> {
        let groups = &self.deployment.groups;
        groups.get(name).ok_or_else(|| {
            let known: Vec<_> = groups.keys().map(String::as_str).collect();
            UnknownGroup { group: name.to_owned(), known: (!known.is_empty()).then(|| known.join(", ")) }
        })
    }
}
