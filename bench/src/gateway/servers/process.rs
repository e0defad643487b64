//! A server process of one measurement: started on a core of its own, ended by its process ids.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{gateway::cores, process_usage};

const READY_WITHIN: Duration = Duration::from_mins(1);
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// Below Linux's ephemeral range, so that no outgoing connection sits on a server's port.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Folder of configuration, data and log; removed at the end.
    folder: tempfile::TempDir,
}

impl Process {
    /// Starts `command` in a fresh folder, with the core of servers as its only one. It is told to end when this
    /// process ends first.
    pub(super) fn start(command: &[&str], environment: &[(&str, &str)], folder: tempfile::TempDir) -> Result<Self> {
        // a child has the cores that its parent has when it is started
        cores::as_server()?;
        let started = Self::spawn(command, environment, folder);
        cores::as_driver()?;
        started
    }

    /// The same on the driver's core: what a server needs and what is not measured.
    pub(super) fn start_beside(command: &[&str], folder: tempfile::TempDir) -> Result<Self> {
        Self::spawn(command, &[], folder)
    }

    fn spawn(command: &[&str], environment: &[(&str, &str)], folder: tempfile::TempDir) -> Result<Self> {
        let log = File::create(folder.path().join("output.log"))?;
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "TERM", "--"]).args(command);
        bound.envs(environment.iter().copied()).current_dir(folder.path());
        bound.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = bound.spawn().context("failed to start setpriv")?;
        Ok(Self { child, folder })
    }

    /// Waits until the address accepts connections.
    pub(super) fn listens(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended before it listened, {status}:\n{}", self.log());
            }
            ensure!(Instant::now() < deadline, "does not listen on {address}:\n{}", self.log());
            std::thread::sleep(PROBE_EVERY);
        }
        Ok(())
    }

    pub(super) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("output.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(2000)..]).into_owned()
    }

    /// CPU time so far, of this process and its descendants.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        process_usage::tree(self.child.id())?.into_iter().map(process_usage::run_time).sum()
    }

    /// Proportional set size in bytes.
    pub(crate) fn pss(&self) -> Result<u64> {
        process_usage::tree(self.child.id())?.into_iter().map(process_usage::pss).sum()
    }

    /// The most memory that was resident, in bytes.
    pub(crate) fn peak(&self) -> Result<u64> {
        process_usage::tree(self.child.id())?.into_iter().map(process_usage::peak).sum()
    }
}

/// Nothing of a measurement is kept, so there is no reason to end softly.
impl Drop for Process {
    fn drop(&mut self) {
        let tree = process_usage::tree(self.child.id()).unwrap_or_default();
        for pid in tree.into_iter().filter_map(|pid| i32::try_from(pid).ok().and_then(Pid::from_raw)) {
            // one that has ended meanwhile is what we want
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// A folder for one start of a server.
pub(super) fn folder(server: &str) -> Result<tempfile::TempDir> {
    let prefix = format!("chatcluster-bench-{server}-");
    tempfile::Builder::new().prefix(&prefix).tempdir().context("failed to create a folder")
}

/// An address of the loopback that nobody listens on.
pub(super) fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in PORTS {
        // each process begins elsewhere
        let nth = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(nth % u32::from(PORTS.end - PORTS.start))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port in {PORTS:?}")
}

/// A program by name, from the path or where Debian puts servers, which is not in everybody's path.
pub(super) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .map(|place| place.join(program))
        .find(|file| file.is_file())
}
