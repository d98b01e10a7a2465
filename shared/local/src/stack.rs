//! The whole pipeline of one template, up and running.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use penstock::window::Counts;
use penstock_event_source::{Backoff, EventSource, MappingStatus, Pacing, Settings, StartingPosition};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::event_source::{self, FileCheckpoints, MemoryCheckpoints};
use crate::gateway::Gateway;
use crate::lambda::{Function, FunctionConfig, Invocation, OnTimeout};
use crate::ledger::group_counts;
use crate::services::{self, Services};
use crate::template::{self, Context as TemplateContext, Pipeline};
use crate::{Clients, Profile, StreamReader, build_functions, dead_letters};

/// The account that everything here belongs to.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";
const STACK_NAME: &str = "penstock";

/// Environments of one function at once, unless it reserves fewer: each is a process. AWS's default is 1,000 an account.
const CONCURRENCY_MAX: u32 = 50;

/// How long a stop waits for what is under way.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Hears each line that a function logs: its name and the line.
pub type LogLine = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Hears what is being done while the stack comes up.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// What a stack is started with.
#[derive(Clone)]
pub struct Options {
    /// The workspace that the functions are built in.
    pub root: PathBuf,
    /// The template.
    pub template: PathBuf,
    /// Template parameters that are not left at their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Where state outlives the process; `None` keeps it in memory.
    pub state: Option<PathBuf>,
    /// The port of the HTTP API on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// How the functions are built.
    pub profile: Profile,
    /// Binaries that are built already; `None` builds them.
    pub binaries: Option<PathBuf>,
    /// No invocation of a function takes longer, whatever the template allows; `None` leaves it at the template's.
    pub timeout_max: Option<Duration>,
    /// What becomes of a process whose invocation timed out.
    pub on_timeout: OnTimeout,
    /// Where the functions' logs go.
    pub log: LogLine,
    /// Where the steps of the start are told.
    pub progress: Progress,
}

/// A consumer group of the template: a function with `PENSTOCK_GROUP` in its environment.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The logical id of its function.
    pub function: String,
    /// The environment of its function.
    pub environment: BTreeMap<String, String>,
    stream: String,
    window_table: String,
    dead_letter_queue: String,
}

/// A pipeline that is up. Dropping it stops everything without waiting; [`shutdown`](Self::shutdown) waits.
pub struct Stack {
    pipeline: Pipeline,
    services: Services,
    clients: Clients,
    functions: BTreeMap<String, Function>,
    groups: Vec<Group>,
    statuses: Vec<(String, watch::Receiver<MappingStatus>)>,
    endpoint: String,
    port: u16,
    cancel: CancellationToken,
    /// Cancels when the stack is dropped.
    stop: DropGuard,
    tasks: Vec<(String, JoinHandle<anyhow::Result<()>>)>,
}

impl Stack {
    /// Brings a template up.
    ///
    /// # Errors
    /// Whatever keeps it from coming up, in one line: a port in use, a template that cannot be honoured, a function
    /// that does not build, state that another process uses.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let listener = listen(options.port).await?;
        let port = listener.local_addr()?.port();
        let services = Services::start(services::Options {
            state_dir: options.state.clone(),
            account_id: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            ports: services::Ports::default(),
        })
        .await?;
        let context = TemplateContext {
            region: REGION.to_owned(),
            account_id: ACCOUNT.to_owned(),
            stack_name: STACK_NAME.to_owned(),
            sqs_endpoint: services.sqs_url().to_owned(),
            parameters: options.parameters.clone(),
        };
        let pipeline = template::read_file(&options.template, &context)?;
        let (streams, tables, queues) = (&pipeline.streams, &pipeline.tables, &pipeline.queues);
        services.create(streams, tables, queues).await?;
        (options.progress)(&format!(
            "services are up: {} streams, {} tables, {} queues",
            streams.len(),
            tables.len(),
            queues.len()
        ));

        let binaries = match &options.binaries {
            Some(folder) => folder.clone(),
            None => {
                let names: Vec<_> = pipeline.functions.iter().map(|function| function.binary.as_str()).collect();
                (options.progress)(&format!("building {}", names.join(", ")));
                build_functions(&options.root, &names, options.profile).await?
            }
        };
        let functions = start_functions(&pipeline, &services, &binaries, &options)?;
        let cancel = CancellationToken::new();
        let mut stack = Self {
            groups: groups(&pipeline)?,
            clients: services.clients().clone(),
            pipeline,
            services,
            functions,
            statuses: Vec::new(),
            endpoint: format!("http://127.0.0.1:{port}"),
            port,
            stop: cancel.clone().drop_guard(),
            cancel,
            tasks: Vec::new(),
        };
        stack.serve_http(listener)?;
        stack.poll_streams(options.state.as_deref())?;
        stack.poll_queues()?;
        (options.progress)(&format!(
            "functions are up: {}",
            stack.functions.keys().cloned().collect::<Vec<_>>().join(", ")
        ));
        Ok(stack)
    }

    fn serve_http(&mut self, listener: TcpListener) -> anyhow::Result<()> {
        let mut routes = Vec::new();
        for route in &self.pipeline.routes {
            routes.push((route.method.clone(), route.path.clone(), self.function(&route.function)?.clone()));
        }
        let gateway = Gateway::new(routes)?;
        let cancel = self.cancel.clone();
        self.tasks
            .push(("the HTTP API".to_owned(), tokio::spawn(async move { Ok(gateway.serve(listener, cancel).await?) })));
        Ok(())
    }

    fn poll_streams(&mut self, state: Option<&std::path::Path>) -> anyhow::Result<()> {
        for mapping in &self.pipeline.kinesis_mappings {
            let function = self.pipeline.functions.iter().find(|function| function.logical_id == mapping.function);
            let function = function.with_context(|| format!("{} names no function", mapping.logical_id))?;
            let stream = self.pipeline.streams.iter().find(|stream| stream.logical_id == mapping.stream);
            let stream = stream.with_context(|| format!("{} names no stream", mapping.logical_id))?;
            let on_failure = mapping.on_failure.as_ref().and_then(|arn| {
                let queue = self.pipeline.queues.iter().find(|queue| queue.arn == *arn)?;
                Some(queue.url.clone())
            });
            let config = event_source::KinesisMapping {
                stream_name: stream.name.clone(),
                source: EventSource {
                    stream_arn: stream.arn.clone(),
                    region: REGION.to_owned(),
                    role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{}", function.name),
                },
                function_arn: function.arn.clone(),
                settings: Settings {
                    starting_position: match mapping.start {
                        template::model::Start::TrimHorizon => StartingPosition::TrimHorizon,
                        template::model::Start::Latest => StartingPosition::Latest,
                    },
                    batch_size: mapping.batch_size as usize,
                    batching_window: mapping.batching_window,
                    report_batch_item_failures: mapping.report_batch_item_failures,
                    bisect_batch_on_function_error: mapping.bisect_on_error,
                    maximum_retry_attempts: mapping.max_retries,
                    maximum_record_age: mapping.max_record_age,
                    pacing: Pacing::default(),
                },
                on_failure_queue_url: on_failure,
                grace: STOP_WITHIN,
            };
            let (sender, status) = watch::channel(MappingStatus::default());
            self.statuses.push((mapping.function.clone(), status));
            let (kinesis, sqs) = (self.clients.kinesis.clone(), self.clients.sqs.clone());
            let invoker = self.function(&mapping.function)?.clone();
            let cancel = self.cancel.clone();
            let name = format!("the mapping {}", mapping.logical_id);
            let task = match state {
                Some(folder) => {
                    let file = folder.join("mappings").join(format!("{}.json", mapping.logical_id));
                    let checkpoints = FileCheckpoints::new(file);
                    tokio::spawn(async move {
                        Ok(event_source::run_kinesis(config, kinesis, sqs, invoker, checkpoints, sender, cancel)
                            .await?)
                    })
                }
                None => tokio::spawn(async move {
                    let checkpoints = MemoryCheckpoints::default();
                    Ok(event_source::run_kinesis(config, kinesis, sqs, invoker, checkpoints, sender, cancel).await?)
                }),
            };
            self.tasks.push((name, task));
        }
        Ok(())
    }

    fn poll_queues(&mut self) -> anyhow::Result<()> {
        for mapping in &self.pipeline.sqs_mappings {
            let queue = self.pipeline.queues.iter().find(|queue| queue.logical_id == mapping.queue);
            let queue = queue.with_context(|| format!("{} names no queue", mapping.logical_id))?;
            let config = event_source::SqsMapping {
                queue_url: queue.url.clone(),
                queue_arn: queue.arn.clone(),
                region: REGION.to_owned(),
                batch_size: mapping.batch_size as usize,
                report_batch_item_failures: mapping.report_batch_item_failures,
                concurrency: 1,
                long_poll: Duration::from_secs(1),
                backoff: Backoff::default(),
                grace: STOP_WITHIN,
            };
            let invoker = self.function(&mapping.function)?.clone();
            let (sqs, cancel) = (self.clients.sqs.clone(), self.cancel.clone());
            self.tasks.push((
                format!("the mapping {}", mapping.logical_id),
                tokio::spawn(async move { Ok(event_source::run_sqs(config, sqs, invoker, cancel).await?) }),
            ));
        }
        Ok(())
    }

    fn function(&self, logical_id: &str) -> anyhow::Result<&Function> {
        self.functions.get(logical_id).with_context(|| format!("the template has no function {logical_id}"))
    }

    /// What the template asked for.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Where the HTTP API listens: `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The port of the HTTP API.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The variables that point an SDK at the services.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.services.environment()
    }

    /// Clients for the services.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The functions by logical id.
    pub fn functions(&self) -> &BTreeMap<String, Function> {
        &self.functions
    }

    /// The consumer groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group called `name`.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// What a group has settled.
    ///
    /// # Errors
    /// When its window table cannot be read.
    pub async fn settled(&self, group: &Group) -> anyhow::Result<Counts> {
        group_counts(&self.clients, &group.stream, &group.name, &group.window_table).await
    }

    /// A reader of the stream that a group reads, independent of it.
    pub fn reader(&self, group: &Group) -> StreamReader {
        StreamReader::new(self.clients.kinesis.clone(), group.stream.clone())
    }

    /// The dead letters in a group's queue.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn dead_letters(&self, group: &Group) -> anyhow::Result<Vec<penstock::dead_letter::Message>> {
        dead_letters::peek(&self.clients.sqs, &group.dead_letter_queue).await
    }

    /// How far a group is behind: the largest age over its shards.
    pub fn iterator_age(&self, group: &Group) -> Duration {
        let shards = self.statuses.iter().filter(|(function, _)| *function == group.function);
        let ages = shards.flat_map(|(_, status)| {
            status.borrow().shards.values().map(|shard| shard.iterator_age).collect::<Vec<_>>()
        });
        ages.max().unwrap_or_default()
    }

    /// A part of the stack that has stopped by itself, which none should.
    pub fn stopped(&self) -> Option<&str> {
        self.tasks.iter().find(|(_, task)| task.is_finished()).map(|(name, _)| name.as_str())
    }

    /// Waits until a part of the stack stops by itself, which none should; the error says which and why.
    pub async fn failed(&mut self) -> anyhow::Error {
        let ended = self.tasks.iter_mut().map(|(name, task)| {
            Box::pin(async move {
                let result = task.await;
                match result {
                    Ok(Ok(())) => anyhow::anyhow!("{name} stopped"),
                    Ok(Err(error)) => error.context(format!("{name} failed")),
                    Err(error) => anyhow::Error::from(error).context(format!("{name} panicked")),
                }
            })
        });
        let (error, index, _) = futures_util::future::select_all(ended.collect::<Vec<_>>()).await;
        drop(self.tasks.remove(index));
        error
    }

    /// Stops everything: no new work, what is under way ends, state is written.
    ///
    /// # Errors
    /// When a part did not stop cleanly.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        drop(self.stop);
        let mut failures = Vec::new();
        for (name, mut task) in self.tasks {
            match tokio::time::timeout(STOP_WITHIN + Duration::from_secs(2), &mut task).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => failures.push(format!("{name}: {error:#}")),
                Ok(Err(error)) => failures.push(format!("{name}: {error}")),
                Err(_) => {
                    task.abort();
                    failures.push(format!("{name} did not stop in time"));
                }
            }
        }
        for function in self.functions.values() {
            function.shutdown().await;
        }
        self.services.shutdown().await.context("the services did not stop cleanly")?;
        if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("; ")) }
    }
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("port {port} is in use on 127.0.0.1; stop what uses it, or choose another with --port")
        }
        _ => anyhow::Error::from(error).context(format!("cannot listen on 127.0.0.1:{port}")),
    })
}

fn start_functions(
    pipeline: &Pipeline,
    services: &Services,
    binaries: &std::path::Path,
    options: &Options,
) -> anyhow::Result<BTreeMap<String, Function>> {
    let mut functions = BTreeMap::new();
    for function in &pipeline.functions {
        let mut environment = services.environment();
        // people read it here, and not CloudWatch
        environment.insert("AWS_LAMBDA_LOG_FORMAT".to_owned(), "Text".to_owned());
        environment.extend(function.environment.clone());
        let config = FunctionConfig {
            name: function.name.clone(),
            arn: function.arn.clone(),
            binary: binaries.join(&function.binary),
            timeout: options.timeout_max.map_or(function.timeout, |max| max.min(function.timeout)),
            memory_mb: function.memory_mb,
            environment,
            max_concurrency: function.reserved_concurrency.unwrap_or(CONCURRENCY_MAX) as usize,
            on_timeout: options.on_timeout,
        };
        let (name, log) = (function.binary.clone(), options.log.clone());
        let started = Function::new(config, Arc::new(move |line: &str| log(&name, line)))?;
        functions.insert(function.logical_id.clone(), started);
    }
    Ok(functions)
}

fn groups(pipeline: &Pipeline) -> anyhow::Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for function in &pipeline.functions {
        let Some(name) = function.environment.get("PENSTOCK_GROUP") else {
            continue;
        };
        let get = |variable: &str| {
            let value = function.environment.get(variable).cloned();
            value.with_context(|| {
                format!("{}, of group {name}, has no {variable} in its environment", function.logical_id)
            })
        };
        if groups.iter().any(|group| group.name == *name) {
            bail!("two functions say that they are the consumer group `{name}`; a group is one function");
        }
        groups.push(Group {
            name: name.clone(),
            function: function.logical_id.clone(),
            stream: get("PENSTOCK_STREAM")?,
            window_table: get("PENSTOCK_WINDOW_TABLE")?,
            dead_letter_queue: get("PENSTOCK_DEAD_LETTER_QUEUE_URL")?,
            environment: function.environment.clone(),
        });
    }
    Ok(groups)
}

impl event_source::Invoke for Function {
    async fn invoke(&self, payload: bytes::Bytes) -> Invocation {
        Self::invoke(self, payload).await
    }
}
