//! Where a stack's streams, tables and queues are: on services of its own, or on somebody else's.

use std::collections::BTreeMap;

use penstock_aws::Clients;

use crate::elsewhere::Elsewhere;
use crate::event_source::Puts;
use crate::metrics::{MetricStore, Sample};
use crate::services::{self, LocalStack, Services};
use crate::stack::Options;
use crate::template::{Context, Pipeline};

/// The account that everything on services of our own belongs to.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// Either kind.
#[derive(Debug)]
pub(crate) enum Platform {
    /// Services that live as long as the stack.
    Here(Box<Services>),
    /// Services that were there before.
    There(Elsewhere),
}

impl Platform {
    /// Starts the services, or looks whether those that somebody else runs answer.
    pub(crate) async fn start(options: &Options, metrics: &MetricStore) -> anyhow::Result<Self> {
        if let Some(endpoints) = &options.services {
            return Ok(Self::There(Elsewhere::start(endpoints.clone()).await?));
        }
        let services = Services::start(services::Options {
            state_dir: options.state.clone(),
            account_id: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            ports: options.service_ports,
            metrics: metrics.clone(),
        });
        Ok(Self::Here(Box::new(services.await?)))
    }

    /// What the template's pseudo parameters and queue URLs come to.
    pub(crate) async fn context(&self, options: &Options) -> anyhow::Result<Context> {
        let context = |region: &str, account_id: &str, sqs_endpoint: &str| Context {
            region: region.to_owned(),
            account_id: account_id.to_owned(),
            stack_name: options.stack_name.clone(),
            sqs_endpoint: sqs_endpoint.to_owned(),
            parameters: options.parameters.clone(),
        };
        match self {
            Self::Here(services) => Ok(context(REGION, ACCOUNT, services.sqs_url())),
            // only the queues themselves say which account they are in and what their URLs begin with
            Self::There(elsewhere) => {
                let guess = context(elsewhere.region(), ACCOUNT, "http://queue");
                let pipeline = crate::template::read_file(&options.template, &guess)?;
                if options.clean {
                    elsewhere.clean(&pipeline).await?;
                }
                let (account, sqs) = elsewhere.identity(&pipeline).await?;
                Ok(context(elsewhere.region(), &account, &sqs))
            }
        }
    }

    /// Makes what is missing of a template's resources, and describes its stack from now on.
    pub(crate) async fn create(&self, pipeline: &Pipeline, context: &Context) -> anyhow::Result<()> {
        let (streams, tables, queues) = (&pipeline.streams, &pipeline.tables, &pipeline.queues);
        let (name, id, outputs) = (context.stack_name.clone(), context.stack_id(), pipeline.outputs.clone());
        let stack = LocalStack { name, id, outputs };
        match self {
            Self::Here(services) => {
                services.create(streams, tables, queues).await?;
                services.describe(stack);
            }
            Self::There(elsewhere) => {
                elsewhere.create(pipeline).await?;
                elsewhere.describe(stack);
            }
        }
        Ok(())
    }

    /// What the services cannot do, each a sentence.
    pub(crate) async fn limits(&self, stack: &str) -> Vec<String> {
        match self {
            // what these do not imitate is said where they are
            Self::Here(_) => Vec::new(),
            Self::There(elsewhere) => {
                let mut found = Box::pin(elsewhere.probe(stack)).await;
                found.push(
                    "alarms on metrics of AWS/Kinesis and AWS/SQS have no data: those of other services are not read"
                        .to_owned(),
                );
                found
            }
        }
    }

    /// Clients for the services.
    pub(crate) fn clients(&self) -> &Clients {
        match self {
            Self::Here(services) => services.clients(),
            Self::There(elsewhere) => elsewhere.clients(),
        }
    }

    /// The variables that point an SDK in another process at the services.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        match self {
            Self::Here(services) => services.environment(),
            Self::There(elsewhere) => elsewhere.environment(),
        }
    }

    /// What reports the state of every queue when it is called. Somebody else's say nothing.
    pub(crate) fn sampler(&self) -> Sample {
        match self {
            Self::Here(services) => services.sampler(),
            Self::There(_) => Box::new(|_, _| {}),
        }
    }

    /// What changes with each put on a stream. Somebody else's services tell of none.
    pub(crate) fn puts(&self) -> Option<Puts> {
        match self {
            Self::Here(services) => Some(services.puts()),
            Self::There(_) => None,
        }
    }

    /// Stops what was started; `remove` has what was made elsewhere deleted.
    pub(crate) async fn shutdown(self, remove: Option<&Pipeline>) -> anyhow::Result<()> {
        match (self, remove) {
            (Self::Here(services), _) => services.shutdown().await?,
            (Self::There(elsewhere), Some(pipeline)) => elsewhere.clean(pipeline).await?,
            (Self::There(_), None) => {}
        }
        Ok(())
    }
}
