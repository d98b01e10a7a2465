//! Who ends the functions when this process is killed: a shell that waits for the end of its standard input.
//!
//! `kill -9` leaves this process no time to end what it started, and a function whose services are gone goes on trying
//! until its time runs out. The shell is told the process group of each environment that starts and ends. Its input ends
//! when this process does, however that dies, and it kills the groups that are left. It runs only while there are
//! environments. Not guaranteed: anything where there is no `sh`; functions then end by themselves, later.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `+1` is a group that has started, `-1` one that has ended.
const SCRIPT: &str = r#"
left=
while read -r line; do
  group=${line#?}
  case $line in
    +*) left="$left $group" ;;
    -*)
      others=
      for other in $left; do
        [ "$other" = "$group" ] || others="$others $other"
      done
      left=$others
      ;;
  esac
done
for group in $left; do
  kill -s KILL -- "-$group"
done
"#;

/// The shell of this process.
static SURVIVORS: Mutex<Survivors> = Mutex::new(Survivors { groups: BTreeSet::new(), shell: None });

/// A process group that must not outlive this process. It has ended, or is about to be ended, when this is dropped: its
/// number may then soon be somebody else's.
pub(super) struct Watched(u32);

/// Has the group killed should this process die before the value is dropped.
pub(super) fn watch(group: u32) -> Watched {
    lock().started(group);
    Watched(group)
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock().ended(self.0);
    }
}

fn lock() -> MutexGuard<'static, Survivors> {
    SURVIVORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The groups that would outlive this process, and the shell that knows them.
#[derive(Default)]
struct Survivors {
    groups: BTreeSet<u32>,
    shell: Option<Shell>,
}

struct Shell {
    process: Child,
    told: ChildStdin,
}

impl Survivors {
    fn started(&mut self, group: u32) {
        self.groups.insert(group);
        if self.tell('+', group).is_err() {
            // none is there yet, or somebody killed it: a new one has to be told of all
            self.shell = Shell::start(&self.groups)
                .inspect_err(|error| tracing::debug!(%error, "nothing ends the functions if this process is killed"))
                .ok();
        }
    }

    fn ended(&mut self, group: u32) {
        self.groups.remove(&group);
        // a shell that does not hear it is gone, and kills nothing
        _ = self.tell('-', group);
        if !self.groups.is_empty() {
            return;
        }
        if let Some(shell) = self.shell.take() {
            shell.end();
        }
    }

    fn tell(&mut self, what: char, group: u32) -> io::Result<()> {
        let shell = self.shell.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        shell.tell(what, group)
    }
}

impl Shell {
    fn start(groups: &BTreeSet<u32>) -> io::Result<Self> {
        let mut process = Command::new("sh")
            .args(["-c", SCRIPT])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for this process to act on
            .process_group(0)
            .spawn()?;
        let told = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut shell = Self { process, told };
        for group in groups {
            shell.tell('+', *group)?;
        }
        Ok(shell)
    }

    /// A line is shorter than what a pipe takes in one write, and the shell does nothing but read: this does not wait.
    fn tell(&mut self, what: char, group: u32) -> io::Result<()> {
        self.told.write_all(format!("{what}{group}\n").as_bytes())
    }

    /// Ends its input, and waits until it is gone.
    fn end(self) {
        let Self { mut process, told } = self;
        drop(told);
        // it cannot be waited for only if somebody else has done so
        _ = process.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").process_group(0).spawn().unwrap()
    }

    #[test]
    fn only_the_groups_that_are_left_are_killed_when_the_input_ends() {
        let (mut left, mut other) = (sleeper(), sleeper());
        let mut survivors = Survivors::default();
        survivors.started(left.id());
        survivors.started(other.id());
        survivors.ended(other.id());
        // what the system does when this process dies
        survivors.shell.take().unwrap().end();
        assert_eq!(left.wait().unwrap().signal(), Some(9));
        assert_eq!(other.try_wait().unwrap(), None, "its number may be somebody else's by now");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn the_shell_is_there_only_while_there_are_groups() {
        let mut survivors = Survivors::default();
        survivors.started(u32::MAX);
        assert!(survivors.shell.is_some());
        survivors.ended(u32::MAX);
        assert!(survivors.shell.is_none());
    }

    #[test]
    fn a_shell_that_was_killed_is_replaced_by_one_that_knows_all() {
        let (mut first, mut second) = (sleeper(), sleeper());
        let mut survivors = Survivors::default();
        survivors.started(first.id());
        let shell = survivors.shell.as_mut().unwrap();
        shell.process.kill().unwrap();
        shell.process.wait().unwrap();
        survivors.started(second.id());
        survivors.shell.take().unwrap().end();
        assert_eq!((first.wait().unwrap().signal(), second.wait().unwrap().signal()), (Some(9), Some(9)));
    }
}
