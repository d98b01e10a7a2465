//! The faults: function processes that die or hang at random moments.
//!
//! - `kill -9` of a process, busy or idle.
//! - A consumer's process is stopped, its invocation times out, another one takes over; then the stopped one goes on, a
//!   zombie that finishes its writes against the real services. [`OnTimeout::Abandon`] leaves it alive for that.
//!
//! The moments and the victims are drawn from the seed; what they meet depends on the machine's timing. Only processes
//! that the stack says are its own are ever signalled.
//!
//! [`OnTimeout::Abandon`]: penstock_local::lambda::OnTimeout::Abandon

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use penstock_local::Stack;
use penstock_local::lambda::Function;
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

/// Processes that are stopped at once, at most.
const ASLEEP_MAX: usize = 2;

/// How long a zombie may write before it is killed.
const ZOMBIE_LIFE: Duration = Duration::from_secs(4);

/// How often processes are looked at.
const TICK: Duration = Duration::from_millis(20);

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// Processes of the edge that were killed.
    pub(super) edge_kills: u64,
    /// Processes of consumers that were killed.
    pub(super) consumer_kills: u64,
    /// Processes that were stopped.
    pub(super) stops: u64,
    /// Processes that went on after their time-out.
    pub(super) zombies: u64,
}

/// A process that is stopped.
struct Sleeper<'a> {
    function: &'a Function,
    pid: u32,
    /// When it goes on, if its invocation has timed out by then.
    wake_at: Instant,
    /// When it goes on whatever became of it.
    wake_by: Instant,
}

/// A process that has outlived its time-out and runs.
struct Zombie<'a> {
    function: &'a Function,
    pid: u32,
    kill_at: Instant,
}

/// Makes faults until `over`; then lets every stopped process go on and every zombie end.
pub(super) async fn run(
    stack: &Stack,
    random: fastrand::Rng,
    timeout: Duration,
    figures: &Mutex<Figures>,
    over: &CancellationToken,
) {
    let consumers: BTreeSet<_> = stack.groups().iter().map(|group| group.function.as_str()).collect();
    let mut faults = Faults { stack, consumers, random, timeout, figures, asleep: Vec::new(), zombies: Vec::new() };
    let mut next = Instant::now() + Duration::from_millis(500);
    while !over.is_cancelled() {
        if Instant::now() >= next {
            faults.one();
            next = Instant::now() + Duration::from_millis(faults.random.u64(150..1200));
        }
        faults.look(false);
        over.run_until_cancelled(tokio::time::sleep(TICK)).await;
    }
    while faults.look(true) {
        tokio::time::sleep(TICK).await;
    }
}

struct Faults<'a> {
    stack: &'a Stack,
    consumers: BTreeSet<&'a str>,
    random: fastrand::Rng,
    timeout: Duration,
    figures: &'a Mutex<Figures>,
    asleep: Vec<Sleeper<'a>>,
    zombies: Vec<Zombie<'a>>,
}

impl<'a> Faults<'a> {
    fn one(&mut self) {
        let stop = self.random.u8(..100) < 30 && self.asleep.len() < ASLEEP_MAX;
        let functions = self.stack.functions().iter();
        let functions: Vec<_> = functions.filter(|(name, _)| !stop || self.consumers.contains(name.as_str())).collect();
        let Some((name, function)) = self.random.choice(functions) else { return };
        let mut processes = function.processes();
        processes.retain(|process| !self.asleep.iter().any(|sleeper| sleeper.pid == process.pid));
        // one that is in the middle of something is worth more
        let busy: Vec<_> = processes.iter().filter(|process| process.busy).copied().collect();
        if !busy.is_empty() && (stop || self.random.u8(..100) < 70) {
            processes = busy;
        }
        let Some(victim) = self.random.choice(processes) else { return };
        if stop {
            if signal(victim.pid, Signal::STOP) {
                let now = Instant::now();
                let late = Duration::from_millis(self.random.u64(200..4_000));
                let (wake_at, wake_by) = (now + self.timeout + late, now + self.timeout * 3);
                self.asleep.push(Sleeper { function, pid: victim.pid, wake_at, wake_by });
                self.count(|figures| figures.stops += 1);
            }
        } else if signal(victim.pid, Signal::KILL) {
            let consumer = self.consumers.contains(name.as_str());
            self.count(|figures| match consumer {
                true => figures.consumer_kills += 1,
                false => figures.edge_kills += 1,
            });
        }
    }

    /// Wakes whom it is time to wake, at the end everyone, and kills zombies that are old; true while there are any.
    fn look(&mut self, end: bool) -> bool {
        let now = Instant::now();
        let mut risen = Vec::new();
        self.asleep.retain(|sleeper| {
            let abandoned = sleeper.function.abandoned().iter().any(|process| process.pid == sleeper.pid);
            let mine = abandoned || sleeper.function.processes().iter().any(|process| process.pid == sleeper.pid);
            let wake = end || now >= sleeper.wake_by || (abandoned && now >= sleeper.wake_at);
            if mine && wake {
                signal(sleeper.pid, Signal::CONT);
            }
            if wake && abandoned {
                risen.push((sleeper.function, sleeper.pid));
            }
            mine && !wake
        });
        // a process that was only slow can outlive its time-out too
        for function in self.stack.functions().values() {
            for process in function.abandoned() {
                let known = self.asleep.iter().any(|sleeper| sleeper.pid == process.pid);
                if !known && !risen.iter().any(|(_, pid)| *pid == process.pid) {
                    risen.push((function, process.pid));
                }
            }
        }
        for (function, pid) in risen {
            if !self.zombies.iter().any(|zombie| zombie.pid == pid) {
                self.zombies.push(Zombie { function, pid, kill_at: now + ZOMBIE_LIFE });
                self.count(|figures| figures.zombies += 1);
            }
        }
        self.zombies.retain(|zombie| {
            let alive = zombie.function.abandoned().iter().any(|process| process.pid == zombie.pid);
            if alive && now >= zombie.kill_at {
                signal(zombie.pid, Signal::KILL);
            }
            alive
        });
        !self.asleep.is_empty() || !self.zombies.is_empty()
    }

    fn count(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// Signals a process; false if it has ended already.
fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}
