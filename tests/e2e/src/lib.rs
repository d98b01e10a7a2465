//! The harness of the end-to-end suite: a pipeline in this process with the real function binaries as processes of
//! their own, and the `penstock` command as a user runs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use penstock::dead_letter::Message;
use penstock::window::Counts;
use penstock_admin::{Operator, dead_letters};
use penstock_local::gateway::Edge;
use penstock_local::lambda::OnTimeout;
use penstock_local::metrics::{State, StateChange};
use penstock_local::{Endpoints, Options, Profile, STACK_NAME, Stack, build_functions};
pub use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// Pipelines at once: each is several busy processes.
static ROOM: Semaphore = Semaphore::const_new(2);

/// The workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// The folder with the binaries, built once for the whole suite.
pub async fn binaries() -> &'static Path {
    static BINARIES: OnceCell<PathBuf> = OnceCell::const_new();
    BINARIES
        .get_or_init(|| async {
            let names = ["penstock", "ingest", "order-status", "order-alerts", "recover", "obedient"];
            build_functions(&root(), &names, Profile::Dev).await.expect("the binaries build")
        })
        .await
}

/// A pipeline that is up, and what its functions logged.
pub struct Pipeline {
    /// The stack.
    pub stack: Stack,
    /// A client.
    pub http: reqwest::Client,
    logs: Arc<Mutex<Vec<String>>>,
    alarms: Arc<Mutex<Vec<StateChange>>>,
    _room: SemaphorePermit<'static>,
}

/// Services that somebody else runs, in place of those that each pipeline starts: `PENSTOCK_ENDPOINT`.
pub fn endpoint() -> Option<String> {
    penstock_aws::config::process_environment("PENSTOCK_ENDPOINT")
}

/// Whether this test can run on the services that there are; says so if it cannot. Other services report no metrics and keep no
/// state of ours.
pub fn has_own_services(test: &str) -> bool {
    let other = endpoint();
    if let Some(url) = &other {
        // to standard error, so that a passing test shows it with --nocapture
        _ = writeln!(std::io::stderr(), "{test}: not run on {url}");
    }
    other.is_none()
}

/// The name of a stack that nobody else has.
fn unique_name() -> String {
    format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

/// What a pipeline of a test is started with.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The template, from the workspace's root; `template.yaml` unless set.
    pub template: Option<PathBuf>,
    /// What the HTTP API hands requests on as.
    pub edge: Edge,
    /// Template parameters.
    pub parameters: BTreeMap<String, String>,
    /// Where state is kept.
    pub state: Option<PathBuf>,
    /// How many times faster the alarms' periods pass; 1 unless set.
    pub alarm_speed: Option<u32>,
    /// No invocation takes longer.
    pub timeout_max: Option<Duration>,
}

impl Setup {
    /// The pipeline whose one group does what each event says.
    pub fn obedient() -> Self {
        Self { template: Some("tests/e2e/obedient.yaml".into()), ..Self::default() }
    }

    /// Sets a template parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.insert(name.to_owned(), value.to_string());
        self
    }

    /// Starts it with the workspace's binaries.
    pub async fn start(self) -> Pipeline {
        let folder = binaries().await;
        self.start_with(folder).await
    }

    /// Starts it with the binaries in `folder`.
    pub async fn start_with(self, folder: &Path) -> Pipeline {
        let room = ROOM.acquire().await.expect("the semaphore is never closed");
        let logs = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&logs);
        let alarms = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&alarms);
        let elsewhere = endpoint().map(|url| Endpoints::emulated(&url));
        let options = Options {
            template: root().join(self.template.unwrap_or_else(|| "template.yaml".into())),
            root: root(),
            parameters: self.parameters,
            state: self.state,
            stack_name: elsewhere.as_ref().map_or(STACK_NAME.to_owned(), |_| unique_name()),
            clean: elsewhere.is_some(),
            services: elsewhere,
            service_ports: Default::default(),
            edge: self.edge,
            port: 0,
            profile: Profile::Dev,
            binaries: Some(folder.to_path_buf()),
            timeout_max: self.timeout_max,
            on_timeout: OnTimeout::Kill,
            alarm_speed: self.alarm_speed.unwrap_or(1),
            telemetry: None,
            count: None,
            on_alarm: Arc::new(move |change: &StateChange| {
                told.lock().expect("no test panics while it hears").push(change.clone());
            }),
            log: Arc::new(move |function: &str, line: &str| {
                log.lock().expect("no test panics while it logs").push(format!("{function} | {line}"));
            }),
            progress: Arc::new(|_: &str| {}),
        };
        let stack = Stack::start(options).await.expect("the pipeline comes up");
        Pipeline { stack, http: reqwest::Client::new(), logs, alarms, _room: room }
    }
}

impl Pipeline {
    /// Posts a body; status and answer.
    pub async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, serde_json::Value) {
        self.send(self.http.post(self.url()).header("content-type", content_type).body(body)).await
    }

    /// Where events go.
    pub fn url(&self) -> String {
        format!("{}/v1/events", self.stack.endpoint())
    }

    /// Sends a request; status and answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> (u16, serde_json::Value) {
        let response = request.send().await.expect("the gateway answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("the answer is whole");
        (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
    }

    /// What a group has settled.
    pub async fn settled(&self, group: &str) -> Counts {
        let group = self.stack.group(group).expect("the group is in the template");
        self.stack.settled(group).await.expect("the window table can be read")
    }

    /// Waits until a group has settled `events` events; panics with its figures and logs when it does not.
    pub async fn wait_for(&self, group: &str, events: u64) -> Counts {
        self.wait_at_most(group, events, Duration::from_secs(90)).await
    }

    /// As [`wait_for`](Self::wait_for), with a limit.
    pub async fn wait_at_most(&self, group: &str, events: u64, limit: Duration) -> Counts {
        let began = Instant::now();
        loop {
            let counts = self.settled(group).await;
            if counts.total() >= events {
                assert_eq!(counts.total(), events, "{group} settled more than there is: {counts:?}");
                return counts;
            }
            assert!(began.elapsed() < limit, "{group} is stuck at {counts:?} of {events}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Events on the stream.
    pub async fn on_stream(&self) -> u64 {
        let group = self.stack.groups().first().expect("every template here has a group");
        self.stack.reader(group).read().await.expect("the stream can be read").events
    }

    /// A group's dead letters.
    pub async fn dead_letters(&self, group: &str) -> Vec<Message> {
        let group = self.stack.group(group).expect("the group is in the template");
        let (sqs, url) = (&self.stack.clients().sqs, &group.dead_letter_queue);
        dead_letters::peek(sqs, url, usize::MAX).await.expect("the queue can be read").letters
    }

    /// The stack as an operator's commands see it.
    pub async fn operator(&self) -> Operator {
        Operator::find(self.stack.clients().clone(), self.stack.name()).await.expect("the stack describes itself")
    }

    /// Sends a group's dead letters back; how many there were.
    pub async fn redrive(&self, group: &str) -> u64 {
        let operator = self.operator().await;
        operator.redrive(operator.group(group).expect("the stack has the group")).await.expect("they can be moved")
    }

    /// The bodies of the messages in the queue with this logical id; they are taken out.
    pub async fn drain(&self, queue: &str) -> Vec<String> {
        let queue = self.stack.pipeline().queues.iter().find(|q| q.logical_id == queue).expect("the queue is there");
        let sqs = &self.stack.clients().sqs;
        let mut bodies = Vec::new();
        loop {
            let page = sqs.receive_message().queue_url(&queue.url).max_number_of_messages(10).send().await;
            let messages = page.expect("the queue can be read").messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            bodies.extend(messages.into_iter().filter_map(|message| message.body));
        }
    }

    /// What the functions of a binary have logged.
    pub fn lines(&self, binary: &str) -> Vec<String> {
        let logs = self.logs.lock().expect("no test panics while it logs");
        let of = |line: &String| Some(line.strip_prefix(binary)?.strip_prefix(" | ")?.to_owned());
        logs.iter().filter_map(of).collect()
    }

    /// What the functions logged last.
    pub fn logs(&self) -> String {
        let logs = self.logs.lock().expect("no test panics while it logs");
        logs[logs.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until an alarm changes to `state`, and gives the first such change.
    pub async fn alarm(&self, name: &str, state: State) -> StateChange {
        self.change(name, &format!("was not {state}"), |change| change.to == state).await
    }

    /// Waits until an alarm has rung and does not any more.
    pub async fn alarm_over(&self, name: &str) -> StateChange {
        self.change(name, "is not over", |change| change.from == State::Alarm).await
    }

    async fn change(&self, name: &str, missing: &str, is_it: impl Fn(&StateChange) -> bool) -> StateChange {
        let began = Instant::now();
        loop {
            let told = self.alarms.lock().expect("no test panics while it hears").clone();
            if let Some(change) = told.iter().find(|change| change.name == name && is_it(change)) {
                return change.clone();
            }
            assert!(began.elapsed() < Duration::from_secs(90), "{name} {missing}: {told:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops it.
    pub async fn stop(self) {
        self.stack.shutdown().await.expect("the pipeline stops cleanly");
    }
}

/// Runs the `penstock` command in the workspace, with this on its standard input.
pub async fn penstock(arguments: &[&str], input: &str) -> Output {
    let mut child = tokio::process::Command::new(binaries().await.join("penstock"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    let feed = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    let output = tokio::time::timeout(Duration::from_secs(300), child.wait_with_output()).await;
    // a command that reads no input closes it
    drop(feed.await);
    output.expect("the command ends").expect("the command can be waited for")
}

/// What a command wrote, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An event in JSON.
pub fn event(id: &str, key: &str, kind: &str, data: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"e2e","type":"{kind}","subject":"{key}","data":{data}}}"#)
}

/// A process that another one has started.
#[derive(Debug, Clone)]
pub struct Child {
    /// Its id.
    pub pid: u32,
    /// Its program.
    pub name: String,
}

/// The processes that `parent` has started and that run now (Linux).
pub fn children(parent: u32) -> Vec<Child> {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name can hold blanks and brackets; what follows it cannot
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut rest = rest.split(' ');
        let running = rest.next()? != "Z";
        let of = rest.next()?.parse::<u32>().ok()?;
        (running && of == parent).then(|| Child { pid, name: name.to_owned() })
    });
    processes.collect()
}

/// The processes of functions that `parent` runs: neither cargo, which builds them, nor the shell that ends them.
pub fn functions(parent: u32) -> Vec<Child> {
    children(parent).into_iter().filter(|child| !["cargo", "sh"].contains(&child.name.as_str())).collect()
}

/// `kill -9`; false if the process had ended already.
pub fn kill(pid: u32) -> bool {
    signal(pid, Signal::KILL)
}

/// Sends a signal; false if the process had ended already.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
}
