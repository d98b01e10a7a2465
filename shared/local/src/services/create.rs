//! Makes a template's streams, tables and queues on the services.
//!
//! Guarantees: afterwards each is there, ready, and shaped as the template says. What is there already is kept with its
//! content. What AWS changes in place (retention, time to live, queue attributes) is changed; what it would replace
//! (shards of a stream, keys of a table) is refused, because replacing loses the content. Resources that are there and
//! that the template does not name are left alone.

pub(crate) mod queues;
mod streams;
pub(crate) mod tables;

use std::error::Error;

use crate::template::model::{Queue, Stream, Table};
use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata};

use penstock_aws::Clients;

/// What [`create`] found and made, by physical name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// Made now.
    pub made: Vec<String>,
    /// Kept, with its content, from an earlier run.
    pub kept: Vec<String>,
}

/// Why a resource could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// An earlier run made it with another shape.
    #[error("the {kind} {name} has {found} and the template says {wanted}: {mend}")]
    Shape {
        /// `stream` or `table`.
        kind: &'static str,
        /// Its physical name.
        name: String,
        /// What is there.
        found: String,
        /// What the template says.
        wanted: String,
        /// What to do about it.
        mend: String,
    },
    /// A redrive policy names a queue that is not there.
    #[error("the queue {name} redrives to {target}, which is no queue: declare that one in the template too")]
    NoDeadLetterQueue {
        /// The queue's physical name.
        name: String,
        /// The ARN of its redrive policy.
        target: String,
    },
    /// The stream or table did not become active in time.
    #[error("the {kind} {name} is still {status} after a minute")]
    NotActive {
        /// `stream` or `table`.
        kind: &'static str,
        /// Its physical name.
        name: String,
        /// Its state.
        status: String,
    },
    /// The stream is gone from a state directory that still tells how far it was read.
    #[error("the stream {stream} is gone from the state directory, and {witness} tells how far it was read: {remedy}")]
    Lost {
        /// The stream's physical name.
        stream: String,
        /// What is still there.
        witness: String,
        /// What to do about it.
        remedy: String,
    },
    /// A service refused the call.
    #[error("{action} {name}: {reason}")]
    Refused {
        /// The operation of the API.
        action: &'static str,
        /// The resource's physical name.
        name: String,
        /// The service's code and message.
        reason: String,
    },
}

/// Makes what is missing of the resources, in the order given, and checks what is there. `remedy` is what somebody can do who
/// wants the shape that the template has.
///
/// # Errors
///
/// A [`CreateError`] for the first resource that cannot be had; those before it are made.
pub async fn create(
    clients: &Clients,
    remedy: &str,
    (streams, tables, queues): (&[Stream], &[Table], &[Queue]),
) -> Result<Created, CreateError> {
    let mut created = Created::default();
    for stream in streams {
        let made = streams::ensure(&clients.kinesis, stream, remedy).await?;
        created.note(made, &stream.name);
    }
    for table in tables {
        let made = tables::ensure(&clients.dynamodb, table, remedy).await?;
        created.note(made, &table.name);
    }
    for queue in queues {
        let made = queues::ensure(&clients.sqs, queue).await?;
        created.note(made, &queue.name);
    }
    Ok(created)
}

impl Created {
    fn note(&mut self, made: bool, name: &str) {
        let list = if made { &mut self.made } else { &mut self.kept };
        list.push(name.to_owned());
    }
}

pub(crate) fn refused<E>(action: &'static str, name: &str) -> impl FnOnce(E) -> CreateError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    move |error| CreateError::Refused {
        action,
        name: name.to_owned(),
        reason: match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            // no answer at all: what matters is at the end of the chain
            (None, _) => DisplayErrorContext(&error).to_string(),
        },
    }
}
