//! The whole pipeline of one template, up and running.

mod alarms;
mod functions;
mod groups;
mod mappings;
mod options;
mod telemetry;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use penstock_aws::Clients;
use penstock_event_source::MappingStatus;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::build_functions;
use crate::gateway::{Edge, Gateway};
use crate::lambda::Function;
use crate::metrics::{MetricStore, Watch};
use crate::operator::Operator;
use crate::platform::Platform;
use crate::template::{self, Context as TemplateContext, Pipeline};
pub use groups::Group;
pub use options::{LogLine, Options, Progress};
use telemetry::Telemetry;

/// The name of a stack that is given no other.
pub const STACK_NAME: &str = "penstock";

/// How long a stop waits for what is under way.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A pipeline that is up. Dropping it stops everything without waiting; [`shutdown`](Self::shutdown) waits.
pub struct Stack {
    pipeline: Pipeline,
    platform: Platform,
    /// Where it is: region, account, name.
    place: TemplateContext,
    /// What was made elsewhere is removed at the end.
    clean: bool,
    clients: Clients,
    functions: BTreeMap<String, Function>,
    groups: Vec<Group>,
    statuses: Vec<(String, watch::Receiver<MappingStatus>)>,
    metrics: MetricStore,
    alarms: Watch,
    endpoint: String,
    /// What tells this run from every other.
    id: String,
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
        let metrics = MetricStore::new(options.alarm_speed);
        let platform = Platform::start(&options, &metrics).await?;
        let place = platform.context(&options).await?;
        let mut pipeline = template::read_file(&options.template, &place)?;
        platform.create(&pipeline, &place).await?;
        let (streams, tables, queues) = (&pipeline.streams, &pipeline.tables, &pipeline.queues);
        (options.progress)(&format!(
            "services are up: {} streams, {} tables, {} queues",
            streams.len(),
            tables.len(),
            queues.len()
        ));

        let building = async {
            if let Some(folder) = &options.binaries {
                return Ok(folder.clone());
            }
            let names: Vec<_> = pipeline.functions.iter().map(|function| function.binary.as_str()).collect();
            (options.progress)(&format!("building {}", names.join(", ")));
            build_functions(&options.root, &names, options.profile).await
        };
        let (binaries, limits) = tokio::join!(building, platform.limits(&place.stack_name));
        let binaries = binaries?;
        pipeline.warnings.extend(limits);
        let endpoint = format!("http://127.0.0.1:{port}");
        let telemetry = Telemetry::new(options.telemetry.as_ref(), &endpoint);
        let cancel = CancellationToken::new();
        let relays = functions::relays(&pipeline, &platform, &options, &cancel).await?;
        let functions = functions::start(&pipeline, &platform, &binaries, &options, &telemetry, &metrics, &relays)?;
        let alarms = Watch::new(metrics.clone(), pipeline.alarms.clone(), options.on_alarm.clone());
        let operator = Operator::new(metrics.clone(), alarms.clone(), telemetry.elsewhere(&pipeline));
        let mut stack = Self {
            groups: groups::of(&pipeline)?,
            clients: platform.clients().clone(),
            pipeline,
            platform,
            place,
            clean: options.clean,
            functions,
            statuses: Vec::new(),
            metrics,
            alarms,
            endpoint,
            id: operator.id().to_owned(),
            port,
            stop: cancel.clone().drop_guard(),
            cancel,
            tasks: Vec::new(),
        };
        stack.serve_http(listener, operator, options.edge)?;
        stack.poll_streams(options.state.as_deref())?;
        stack.poll_queues()?;
        stack.watch_alarms();
        (options.progress)(&format!(
            "functions are up: {}",
            stack.functions.keys().cloned().collect::<Vec<_>>().join(", ")
        ));
        Ok(stack)
    }

    fn serve_http(&mut self, listener: TcpListener, operator: Operator, edge: Edge) -> anyhow::Result<()> {
        let mut routes = Vec::new();
        for route in &self.pipeline.routes {
            routes.push((route.method.clone(), route.path.clone(), self.function(&route.function)?.clone()));
        }
        let gateway = Gateway::new(routes)?.beside(operator).speaking(edge);
        let cancel = self.cancel.clone();
        self.tasks
            .push(("the HTTP API".to_owned(), tokio::spawn(async move { Ok(gateway.serve(listener, cancel).await?) })));
        Ok(())
    }

    fn function(&self, logical_id: &str) -> anyhow::Result<&Function> {
        self.functions.get(logical_id).with_context(|| format!("the template has no function {logical_id}"))
    }

    /// What the template asked for.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.place.stack_name
    }

    /// Where the HTTP API listens: `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What tells this run from every other; `GET /_penstock/id` says it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The port of the HTTP API.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The variables that point an SDK at the services.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.platform.environment()
    }

    /// Clients for the services.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The functions by logical id.
    pub fn functions(&self) -> &BTreeMap<String, Function> {
        &self.functions
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
        let remove = self.clean.then_some(&self.pipeline);
        self.platform.shutdown(remove).await.context("the services did not stop cleanly")?;
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
