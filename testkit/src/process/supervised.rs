//! One child process with a fixed command line: start, stop, kill -9, freeze, thaw, restart. Every method takes `&self`
//! so that a fault injector may work on it while clients and checkers hold the same deployment.

use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::{launcher, log};
use crate::condition::await_condition;

/// Answers `Ok` once the process serves; `Err` says what was seen instead.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// After SIGTERM, before the process is killed and `stop` fails.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A kill that cannot be observed within this time is a process stuck in the kernel.
const DIES_WITHIN: Duration = Duration::from_secs(10);

/// What to run. The environment is inherited, except for `CHATCLUSTER_*`: a developer's settings must not leak into a test.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Unique within a deployment, e.g. `gateway-1`; fault injectors and log files go by it.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Standard output and error, appended across restarts.
    pub log: PathBuf,
    /// From start to the first successful probe.
    pub ready_within: Duration,
}

/// The names of the platform's settings in our own environment. They are a person's, and no child is to see them.
pub(crate) fn developers_settings() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_str().is_some_and(|name| name.starts_with("CHATCLUSTER_"))).collect()
}

/// A process under control of the test.
pub struct Supervised {
    spec: Spec,
    probe: Probe,
    child: Mutex<Option<Child>>,
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised").field("name", &self.spec.name).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Supervised {
    /// Starts the process and waits until `probe` answers.
    pub async fn start(spec: Spec, probe: Probe) -> Result<Self> {
        let supervised = Self::stopped(spec, probe);
        supervised.start_again().await?;
        Ok(supervised)
    }

    /// The same, not started yet.
    pub fn stopped(spec: Spec, probe: Probe) -> Self {
        Self { spec, probe, child: Mutex::new(None) }
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    pub fn log_path(&self) -> &Path {
        &self.spec.log
    }

    /// The last lines the process wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        log::tail(&self.spec.log, lines)
    }

    /// The process id while the process is there, paused or not.
    pub fn pid(&self) -> Option<u32> {
        let mut child = self.child.lock();
        let running = child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        child.as_ref().filter(|_| running).map(Child::id)
    }

    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// Starts a process that is down, on the same ports and data, and waits until it serves.
    pub async fn start_again(&self) -> Result<()> {
        self.launch()?;
        self.wait_ready().await
    }

    /// Starts a process that is down and does not wait: for tests about what happens before it serves.
    pub fn launch(&self) -> Result<()> {
        let mut slot = self.child.lock();
        if let Some(child) = slot.as_mut()
            && child.try_wait().context("failed to look at the process")?.is_none()
        {
            return Ok(());
        }
        let open = || OpenOptions::new().create(true).append(true).open(&self.spec.log);
        let output = open().with_context(|| format!("failed to open the log {}", self.spec.log.display()))?;
        let errors = output.try_clone().context("failed to share the log file")?;
        let mut command = launcher::bound_command(&self.spec.program);
        for key in developers_settings() {
            command.env_remove(key);
        }
        command
            .args(&self.spec.args)
            .envs(self.spec.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // A group of its own: Ctrl-C at the terminal reaches the testkit only, which then stops things in order.
            .process_group(0);
        *slot = Some(launcher::launch(command).with_context(|| self.spec.program.display().to_string())?);
        Ok(())
    }

    /// Waits until the probe answers; fails at once, with the end of the log, when the process ended instead.
    pub async fn wait_ready(&self) -> Result<()> {
        let name = &self.spec.name;
        let what = format!("{name} to serve");
        let outcome = await_condition(&what, self.spec.ready_within, || async {
            if !self.is_running() {
                return Ok(Err(anyhow!("{name} ended before it served")));
            }
            (self.probe)().await.map(Ok)
        });
        outcome
            .await
            .and_then(|inner| inner)
            .map_err(|error| anyhow!("{error:#}\n--- end of {}:\n{}", self.spec.log.display(), self.log_tail(30)))
    }

    /// SIGTERM, then waits for the end. A process that does not go is killed, and that is an error.
    pub async fn stop(&self) -> Result<()> {
        if self.pid().is_none() {
            return Ok(());
        }
        // A frozen process would keep SIGTERM pending for ever.
        self.signal(Signal::CONT)?;
        self.signal(Signal::TERM)?;
        if let Err(error) = self.wait_gone(STOP_WITHIN).await {
            self.kill9().await?;
            return Err(error.context(format!(
                "{} ignored SIGTERM; end of its log:\n{}",
                self.name(),
                self.log_tail(20)
            )));
        }
        Ok(())
    }

    /// SIGKILL, and waits until the process is gone. Works on a paused process too.
    pub async fn kill9(&self) -> Result<()> {
        if self.pid().is_none() {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        self.wait_gone(DIES_WITHIN).await
    }

    /// Stops the process in an orderly way and starts it again on the same ports and data.
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// Kills the process and starts it again on the same ports and data.
    pub async fn crash_and_restart(&self) -> Result<()> {
        self.kill9().await?;
        self.start_again().await
    }

    /// SIGSTOP: the process keeps its sockets and does nothing. The classic zombie.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits until the process has ended by itself or by a signal.
    pub async fn wait_gone(&self, within: Duration) -> Result<()> {
        await_condition(&format!("{} to end", self.name()), within, || async {
            self.pid().map_or(Ok(()), |pid| Err(format!("process {pid} is there")))
        })
        .await
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let mut slot = self.child.lock();
        let child = slot.as_mut().with_context(|| format!("{} is not running", self.spec.name))?;
        // Not yet waited for, so the id cannot have been given to another process meanwhile.
        if child.try_wait().context("failed to look at the process")?.is_some() {
            return Err(anyhow!("{} is not running", self.spec.name));
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the process id is out of range")?;
        kill_process(pid, signal).with_context(|| format!("failed to signal {}", self.spec.name))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().take() {
            // An error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
