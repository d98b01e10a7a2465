//! What a stack is started with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Profile;
use crate::count::Counter;
use crate::elsewhere::Endpoints;
use crate::gateway::Edge;
use crate::lambda::OnTimeout;
use crate::metrics::OnAlarm;
use crate::services::Ports;

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
    /// What the stack is called; physical names begin with it.
    pub stack_name: String,
    /// Template parameters that are not left at their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Where state outlives the process; `None` keeps it in memory.
    pub state: Option<PathBuf>,
    /// Services that somebody else runs; `None` starts some here.
    pub services: Option<Endpoints>,
    /// On somebody else's services: have what the template names removed before the start and after the end.
    pub clean: bool,
    /// The ports of the services that are started here; 0 takes a free one.
    pub service_ports: Ports,
    /// The port of the HTTP API on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// What the HTTP API hands requests on as.
    pub edge: Edge,
    /// How the functions are built.
    pub profile: Profile,
    /// Binaries that are built already; `None` builds them.
    pub binaries: Option<PathBuf>,
    /// No invocation of a function takes longer, whatever the template allows; `None` leaves it at the template's.
    pub timeout_max: Option<Duration>,
    /// What becomes of a process whose invocation timed out.
    pub on_timeout: OnTimeout,
    /// How many times faster than on AWS the alarms' periods pass, 1 to 60.
    pub alarm_speed: u32,
    /// `OTEL_` variables for the functions, before those of the template. Unless one of both names an endpoint, it is the
    /// stack, which keeps the spans for `penstock trace`. `None` leaves all to the template.
    pub telemetry: Option<BTreeMap<String, String>>,
    /// Counts what the functions ask of the services that are started here; `None` leaves nothing in their way.
    pub count: Option<Counter>,
    /// Where the functions' logs go.
    pub log: LogLine,
    /// Where changes of the alarms' states are told.
    pub on_alarm: OnAlarm,
    /// Where the steps of the start are told.
    pub progress: Progress,
}
