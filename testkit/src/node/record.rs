//! Which processes are the node's: written down before they do anything, with the time they started, as a process id is
//! given to somebody else one day.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::layout::Layout;

const FILE: &str = "node.json";

/// One process, never mistaken for another.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Process {
    pid: u32,
    /// Clock ticks since the machine started, see proc(5).
    started: u64,
}

/// The two that matter: all others die with them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    /// Another one after every start of the machine.
    boot: String,
    /// `unshare`, which waits for `init`.
    pub(super) outer: Process,
    /// Process 1 of the node.
    pub(super) init: Process,
}

/// What of /proc/PID/stat matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: u32,
    started: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name, in which anything may stand.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // The 22nd of all, and two plus the name are behind us.
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { state, parent, started })
    }
}

impl Process {
    pub(super) fn of(pid: u32) -> Option<Self> {
        Stat::of(pid).map(|stat| Self { pid, started: stat.started })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && !matches!(stat.state, 'Z' | 'X'))
    }

    /// SIGKILL. Gone already is good as well.
    pub(super) fn kill(&self) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        // From here on the id means this process, so what is checked is what is killed.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&handle, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("failed to kill process {}", self.pid)),
        }
    }

    /// The processes it started.
    pub(super) fn children(&self) -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let children = pids.filter_map(|pid| Some((pid, Stat::of(pid)?)));
        children
            .filter(|(_, stat)| stat.parent == self.pid)
            .map(|(pid, stat)| Self { pid, started: stat.started })
            .collect()
    }

    /// The program it runs, without its folder.
    pub(super) fn program(&self) -> Option<String> {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.pid)).ok()?;
        let first = String::from_utf8_lossy(line.split(|byte| *byte == 0).next()?).into_owned();
        Some(Path::new(&first).file_name()?.to_string_lossy().into_owned())
    }
}

impl Record {
    pub(super) fn new(outer: Process, init: Process) -> Result<Self> {
        Ok(Self { boot: boot()?, outer, init })
    }

    pub(super) fn read(layout: &Layout) -> Result<Option<Self>> {
        match std::fs::read(layout.path(FILE)) {
            // Half a file is of a machine that lost its power; nothing of that time runs.
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("failed to read the record of the node's processes"),
        }
    }

    pub(super) fn write(&self, layout: &Layout) -> Result<()> {
        layout.write(FILE, &serde_json::to_string(self)?).map(drop)
    }

    pub(super) fn is_alive(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot) && self.init.is_alive()
    }

    /// Kills both, and with them all the others; they are gone a moment later.
    pub(super) fn kill(&self) -> Result<()> {
        if boot()? != self.boot {
            return Ok(());
        }
        self.init.kill()?;
        self.outer.kill()
    }

    pub(super) fn is_gone(&self) -> bool {
        boot().is_ok_and(|boot| boot != self.boot) || (!self.init.is_alive() && !self.outer.is_alive())
    }
}

fn boot() -> Result<String> {
    let id =
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("failed to read the machine's boot id")?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_is_no_obstacle() {
        let text = "42 (a) b) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 2 3";
        assert_eq!(Stat::parse(text), Some(Stat { state: 'S', parent: 7, started: 99 }));
    }

    #[test]
    fn a_recycled_id_is_another_process() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let earlier = Process { started: own.started - 1, ..own };
        assert!(!earlier.is_alive());
        earlier.kill().unwrap(); // and this test goes on
    }
}
