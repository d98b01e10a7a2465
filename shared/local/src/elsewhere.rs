//! Services that somebody else runs: an emulator, or an account.
//!
//! A template's streams, tables and queues are made there if they are missing, under the stack's name, and are left there
//! unless somebody asks for their removal. The stack itself is not deployed there: what describes it runs here.

mod clean;
mod probes;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;
use penstock_aws::Clients;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::services::create::{create, queues};
use crate::services::{CloudFormation, LocalStack, server};
use crate::template::Pipeline;

/// How long a service may take to say that it is there.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Where somebody else's services are, and who asks.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Kinesis; `None` is AWS's own endpoint, as for the others.
    pub kinesis: Option<String>,
    /// DynamoDB.
    pub dynamodb: Option<String>,
    /// SQS.
    pub sqs: Option<String>,
    /// The region.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where there is one, `AWS_SESSION_TOKEN`.
    pub credentials: BTreeMap<String, String>,
}

impl Endpoints {
    /// All services of an emulator at one URL, which asks nobody who they are.
    pub fn emulated(url: &str) -> Self {
        let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
        Self {
            kinesis: Some(url.to_owned()),
            dynamodb: Some(url.to_owned()),
            sqs: Some(url.to_owned()),
            region: "us-east-1".to_owned(),
            credentials: credentials.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }

    /// The variables that point an SDK there.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.credentials.clone();
        environment.insert("AWS_REGION".to_owned(), self.region.clone());
        for (name, url) in [("KINESIS", &self.kinesis), ("DYNAMODB", &self.dynamodb), ("SQS", &self.sqs)] {
            environment.extend(url.clone().map(|url| (format!("AWS_ENDPOINT_URL_{name}"), url)));
        }
        environment
    }
}

/// Services that somebody else runs.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    endpoints: Endpoints,
    environment: BTreeMap<String, String>,
    clients: Clients,
    cloudformation: CloudFormation,
    /// Whether its DynamoDB has `BatchExecuteStatement`, once that was tried.
    has_statements: OnceLock<bool>,
    _stop: DropGuard,
}

impl Elsewhere {
    /// Looks whether each service answers, and starts what describes the stack.
    pub(crate) async fn start(endpoints: Endpoints) -> anyhow::Result<Self> {
        let (listener, url) = server::listen("CloudFormation", 0).await?;
        let (cloudformation, token) = (CloudFormation::default(), CancellationToken::new());
        drop(server::serve(listener, cloudformation.router(), token.clone()));
        let mut environment = endpoints.environment();
        environment.insert("AWS_ENDPOINT_URL_CLOUDFORMATION".to_owned(), url);
        let clients = Clients::from_environment(&environment);
        let (has_statements, stop) = (OnceLock::new(), token.drop_guard());
        let elsewhere = Self { endpoints, environment, clients, cloudformation, has_statements, _stop: stop };
        Box::pin(elsewhere.answers()).await?;
        Ok(elsewhere)
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let Clients { kinesis, dynamodb, sqs, .. } = &self.clients;
        let at = |url: &Option<String>| url.clone().unwrap_or_else(|| format!("AWS in {}", self.endpoints.region));
        let kinesis = asked("Kinesis", at(&self.endpoints.kinesis), kinesis.list_streams().limit(1).send());
        let dynamodb = asked("DynamoDB", at(&self.endpoints.dynamodb), dynamodb.list_tables().limit(1).send());
        let sqs = asked("SQS", at(&self.endpoints.sqs), sqs.list_queues().max_results(1).send());
        tokio::try_join!(kinesis, dynamodb, sqs)?;
        Ok(())
    }

    /// The account's number, and what every queue's URL begins with: asked of the first queue, which is made if it is not
    /// there.
    pub(crate) async fn identity(&self, pipeline: &Pipeline) -> anyhow::Result<(String, String)> {
        let first = pipeline.queues.iter().find(|queue| queue.redrive.is_none());
        let Some(queue) = first else { return Ok(("000000000000".to_owned(), String::new())) };
        queues::ensure(&self.clients.sqs, queue).await?;
        let url = self.clients.sqs.get_queue_url().queue_name(&queue.name).send().await;
        let url = url.with_context(|| format!("cannot find the queue {}", queue.name))?.queue_url.unwrap_or_default();
        let names = QueueAttributeName::QueueArn;
        let asked = self.clients.sqs.get_queue_attributes().queue_url(&url).attribute_names(names.clone()).send().await;
        let attributes = asked.with_context(|| format!("cannot ask about {url}"))?.attributes.unwrap_or_default();
        let arn = attributes.get(&names).cloned().unwrap_or_default();
        let account = arn.split(':').nth(4).filter(|account| account.len() == 12);
        let account =
            account.with_context(|| format!("the queue {url} has the ARN `{arn}`, which names no account"))?;
        let base = url.strip_suffix(&format!("/{account}/{}", queue.name));
        let base = base.with_context(|| format!("the URL {url} is not made of an account and a queue's name"))?;
        Ok((account.to_owned(), base.to_owned()))
    }

    /// Makes what is missing of the resources, and checks what is there.
    pub(crate) async fn create(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let remedy = "give the stack another name with --stack, have it removed with --clean, or revert the template";
        create(&self.clients, remedy, (&pipeline.streams, &pipeline.tables, &pipeline.queues)).await?;
        if let Some(table) = pipeline.tables.iter().find(|table| table.range_key.is_none()) {
            _ = self.has_statements.set(probes::has_statements(&self.clients, &table.name).await);
        }
        Ok(())
    }

    /// What CloudFormation says from now on.
    pub(crate) fn describe(&self, stack: LocalStack) {
        self.cloudformation.create(stack);
    }

    /// Clients for them.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The variables that point an SDK in another process at them.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.environment.clone();
        if self.has_statements.get() == Some(&false) {
            environment.insert("PENSTOCK_STATE_WRITES".to_owned(), "single".to_owned());
        }
        environment
    }

    /// The region.
    pub(crate) fn region(&self) -> &str {
        &self.endpoints.region
    }
}

/// What a service says to a first question, as one line if it is no answer.
async fn asked<T, E, R>(
    service: &str,
    place: String,
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
) -> anyhow::Result<()>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let answer = tokio::time::timeout(ANSWER_MAX, call).await;
    let error = match answer {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => anyhow::bail!("{service} at {place} does not answer within {} s", ANSWER_MAX.as_secs()),
    };
    let said = error.as_service_error().map(|error| {
        format!("{}: {}", error.code().unwrap_or("an error without a code"), error.message().unwrap_or("no message"))
    });
    match said {
        Some(said) => anyhow::bail!("{service} at {place} refuses to list what it has: {said}"),
        None => {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(next) = cause.source() {
                cause = next;
            }
            match &error {
                SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                    anyhow::bail!("{service} at {place} does not answer: {cause}")
                }
                _ => anyhow::bail!("what is at {place} does not answer as {service} does ({cause})"),
            }
        }
    }
}
