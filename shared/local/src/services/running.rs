//! The services, up and running.
//!
//! They live as long as this value. [`Services::shutdown`] ends them cleanly and syncs the state; dropping the value
//! stops them too, but neither waits nor syncs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use penstock_aws::Clients;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::event_source::Puts;
use crate::metrics::MetricStore;
use crate::metrics::Sample;
use crate::services::cloudformation::{CloudFormation, LocalStack};
use crate::services::kinesis::Kinesis;
use crate::services::sqs::Sqs;
use crate::services::state_dir::{StateDir, remedy};
use crate::services::{CreateError, Created, StartError, create, dynamodb, server};
use crate::template::model::{Queue, Stream, Table};

/// What the services are started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where state outlives the process. `None` keeps everything in memory.
    pub state_dir: Option<PathBuf>,
    /// The AWS account, 12 digits.
    pub account_id: String,
    /// The AWS region.
    pub region: String,
    /// Where to listen.
    pub ports: Ports,
    /// What they report to.
    pub metrics: MetricStore,
}

/// The ports on 127.0.0.1; 0 takes a free one.
///
/// A queue's URL contains the port of SQS. It is made anew from the current port at every start and is never stored,
/// so a state directory does not tie a port; only a client that noted a URL itself is left with an old one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    /// Kinesis.
    pub kinesis: u16,
    /// DynamoDB.
    pub dynamodb: u16,
    /// SQS.
    pub sqs: u16,
    /// CloudFormation.
    pub cloudformation: u16,
}

/// Kinesis, DynamoDB, SQS and CloudFormation on loopback.
#[derive(Debug)]
pub struct Services {
    sqs_url: String,
    environment: BTreeMap<String, String>,
    clients: Clients,
    cloudformation: CloudFormation,
    kinesis: Kinesis,
    sqs: Sqs,
    tasks: Vec<JoinHandle<()>>,
    stop: DropGuard,
    // last, so that the directory is let go of after everything that writes to it
    state: Option<StateDir>,
}

impl Services {
    /// Starts the services and reads back what an earlier run left in the state directory.
    ///
    /// # Errors
    ///
    /// A [`StartError`] when the directory is in use, not writable, damaged or incomplete, or a port is taken.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options { state_dir, account_id, region, ports, metrics } = options;
        let state = state_dir.as_deref().map(StateDir::open).transpose()?;
        let (kinesis_listener, kinesis_url) = server::listen("Kinesis", ports.kinesis).await?;
        let (dynamodb_listener, dynamodb_url) = server::listen("DynamoDB", ports.dynamodb).await?;
        let (sqs_listener, sqs_url) = server::listen("SQS", ports.sqs).await?;
        let (cloudformation_listener, cloudformation_url) =
            server::listen("CloudFormation", ports.cloudformation).await?;

        let kinesis = Kinesis::open(state.as_ref(), &account_id, &region, metrics).await?;
        let database = dynamodb::open(state.as_ref())?;
        let sqs = Sqs::open(state.as_ref(), &sqs_url, &account_id, &region)?;

        let cloudformation = CloudFormation::default();
        let token = CancellationToken::new();
        let mut tasks = kinesis.background(&token);
        tasks.push(server::serve(kinesis_listener, kinesis.router(), token.clone()));
        tasks.push(dynamodb::serve(dynamodb_listener, database, token.clone()));
        tasks.push(server::serve(sqs_listener, sqs.router(), token.clone()));
        tasks.push(server::serve(cloudformation_listener, cloudformation.router(), token.clone()));
        let environment = [
            ("AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation_url.as_str()),
            ("AWS_ENDPOINT_URL_KINESIS", &kinesis_url),
            ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb_url),
            ("AWS_ENDPOINT_URL_SQS", &sqs_url),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", &region),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Ok(Self {
            clients: Clients::from_environment(&environment),
            environment,
            sqs_url,
            cloudformation,
            kinesis,
            sqs,
            tasks,
            stop: token.drop_guard(),
            state,
        })
    }

    /// Where SQS listens. A queue's URL is `{sqs_url}/{account}/{name}`.
    pub fn sqs_url(&self) -> &str {
        &self.sqs_url
    }

    /// What reports the state of every queue when it is called.
    pub(crate) fn sampler(&self) -> Sample {
        let sqs = self.sqs.clone();
        Box::new(move |metrics, at_ms| sqs.report(metrics, at_ms))
    }

    /// Makes what is missing of the resources, and checks what an earlier run has left.
    ///
    /// # Errors
    ///
    /// A [`CreateError`] for the first resource that cannot be had; those before it are made.
    pub async fn create(&self, streams: &[Stream], tables: &[Table], queues: &[Queue]) -> Result<Created, CreateError> {
        let mend = match self.state_dir() {
            Some(dir) => {
                format!("remove the state directory {} to start afresh, or revert the template", dir.display())
            }
            None => "start again, or revert the template".to_owned(),
        };
        for stream in streams {
            self.check_not_lost(stream).await?;
        }
        create::create(&self.clients, &mend, (streams, tables, queues)).await
    }

    /// Refuses to make a stream anew beside what is left of an earlier one.
    async fn check_not_lost(&self, stream: &Stream) -> Result<(), CreateError> {
        let Some(state) = self.state.as_ref() else { return Ok(()) };
        if self.kinesis.has_stream(&stream.name).await {
            return Ok(());
        }
        let checkpoint = state.checkpoint_of(&stream.arn).map(|file| file.display().to_string());
        let witness = match checkpoint {
            Some(file) => Some(file),
            // streams are made before tables: with no stream at all, a table is of one that was there
            None if !self.kinesis.has_streams().await => {
                let tables = self.clients.dynamodb.list_tables().limit(1).send().await;
                let tables = tables.map_err(create::refused("ListTables", &stream.name))?;
                tables.table_names().first().map(|table| format!("the table {table}"))
            }
            None => None,
        };
        let lost = |witness| CreateError::Lost { stream: stream.name.clone(), witness, remedy: remedy(state.path()) };
        witness.map_or(Ok(()), |witness| Err(lost(witness)))
    }

    /// What changes with each put on a stream.
    pub(crate) fn puts(&self) -> Puts {
        self.kinesis.puts()
    }

    /// What CloudFormation says from now on.
    pub(crate) fn describe(&self, stack: LocalStack) {
        self.cloudformation.create(stack);
    }

    /// Clients for them.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The variables that point an SDK in another process at these services. What the services check of a signature is
    /// that there is one.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    /// The state directory, where there is one.
    pub fn state_dir(&self) -> Option<&Path> {
        self.state.as_ref().map(StateDir::path)
    }

    /// Stops the services, waits for them at most five seconds each, and syncs the state.
    ///
    /// # Errors
    ///
    /// What the disk says when it does not take the state. The services have ended all the same.
    pub async fn shutdown(self) -> std::io::Result<()> {
        self.stop.disarm().cancel();
        for task in self.tasks {
            if tokio::time::timeout(server::STOP_PATIENCE, task).await.is_err() {
                tracing::warn!("a local service still has an open request and is left behind");
            }
        }
        self.kinesis.close().await?;
        self.sqs.close()
    }
}
