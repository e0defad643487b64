//! Process 1 of the node: prepares what its children see, starts the daemons, starts again what ended, and buries what
//! nobody else waits for. When it is killed, the kernel kills all the others.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use rustix::process::{WaitOptions, WaitStatus, wait};
use serde::{Deserialize, Serialize};

use super::daemon::Daemon;
use super::layout::{INSIDE, Layout, inside};
use super::{mounts, network};

/// The name of the plan in the node's folder.
pub(super) const PLAN: &str = "plan.json";
/// The two words that the supervisor waits for on its standard input: the network is there; the API server serves.
pub(super) const GO: &str = "go";
pub(super) const THE_REST: &str = "the rest";

/// A daemon that lives shorter than this is not started again at once.
const SHORT_LIFE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// A longer log is begun anew when its daemon starts.
const LOG_LIMIT_BYTES: u64 = 64 << 20;

/// Where programs are on this machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Programs {
    pub(super) api: PathBuf,
    pub(super) components: PathBuf,
    pub(super) addons: PathBuf,
}

impl Programs {
    pub(super) fn folders(&self) -> [(&'static str, &Path); 3] {
        [("api", &self.api), ("components", &self.components), ("addons", &self.addons)]
    }
}

/// All that the supervisor has to know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Plan {
    pub(super) programs: Programs,
    /// What the others need.
    pub(super) first: Vec<Daemon>,
    /// Started at the second word: without an API server they would end, and be late when there is one.
    pub(super) then: Vec<Daemon>,
}

struct Running {
    daemon: Daemon,
    since: Instant,
    _child: Child,
}

/// By process id. Locked while a process is started, so that its end is never seen before its start.
type Children = Arc<Mutex<HashMap<u32, Running>>>;

/// Never ends by itself, once it was told to go.
pub(crate) fn supervise(state: &Path) -> Result<()> {
    let layout = Layout::new(Some(state))?;
    // Whoever started this connects the network meanwhile. If it fails or is killed, this is the end of the input.
    if told()? != GO {
        bail!("not told to go");
    }
    let plan = std::fs::read(layout.path(PLAN)).context("failed to read the plan")?;
    let plan: Plan = serde_json::from_slice(&plan).context("an odd plan")?;
    network::configure_from_within()?;
    mounts::prepare(state, &plan.programs)?;
    let children = Children::default();
    for daemon in plan.first {
        start(daemon, &children);
    }
    let others = Arc::clone(&children);
    std::thread::spawn(move || {
        // The end of the input does as well: they are started again until they find what they need.
        let _ = told();
        for daemon in plan.then {
            start(daemon, &others);
        }
    });
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => bury(pid.as_raw_nonzero().get().unsigned_abs(), status, &children),
            // Not one child: all of them are about to be started again.
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// One line of the standard input.
fn told() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("failed to wait for a word")?;
    Ok(line.trim().to_owned())
}

fn bury(pid: u32, status: WaitStatus, children: &Children) {
    // Others are orphans of the pods.
    let Some(ended) = children.lock().remove(&pid) else { return };
    let lived = ended.since.elapsed();
    eprintln!("{} ended after {lived:?}: {status:?}; starting it again", ended.daemon.name);
    if lived < SHORT_LIFE {
        again(ended.daemon, children);
    } else {
        start(ended.daemon, children);
    }
}

/// After a pause, in which the others are looked after.
fn again(daemon: Daemon, children: &Children) {
    let children = Arc::clone(children);
    std::thread::spawn(move || {
        std::thread::sleep(PAUSE);
        start(daemon, &children);
    });
}

fn start(daemon: Daemon, children: &Children) {
    let mut running = children.lock();
    match spawn(&daemon) {
        Ok(child) => {
            running.insert(child.id(), Running { daemon, since: Instant::now(), _child: child });
        }
        Err(error) => {
            drop(running);
            eprintln!("{error:#}");
            again(daemon, children);
        }
    }
}

fn spawn(daemon: &Daemon) -> Result<Child> {
    let path = Path::new(INSIDE).join("logs").join(format!("{}.log", daemon.name));
    let anew = path.metadata().is_ok_and(|log| log.len() > LOG_LIMIT_BYTES);
    let output = OpenOptions::new().create(true).append(!anew).write(true).truncate(anew).open(&path);
    let output = output.with_context(|| format!("failed to open {}", path.display()))?;
    let errors = output.try_clone().context("failed to share a log")?;
    Command::new(&daemon.program)
        .args(&daemon.arguments)
        // A person's proxies and settings are not the node's.
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", INSIDE)
        .env("TMPDIR", inside("tmp"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("failed to start {}", daemon.program))
}
