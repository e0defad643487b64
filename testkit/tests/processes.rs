//! Children of the testkit: what a failure says, and that none survives its parent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chatcluster_testkit::process::{Probe, Spec};
use chatcluster_testkit::{Supervised, WAIT, await_condition};
use futures_util::FutureExt;

fn shell(script: &str, folder: &Path) -> Spec {
    Spec {
        name: "child".into(),
        program: PathBuf::from("/bin/sh"),
        args: vec!["-c".into(), script.into()],
        env: Vec::new(),
        log: folder.join("child.log"),
        ready_within: WAIT,
    }
}

fn at_once() -> Probe {
    Arc::new(|| async { Ok(()) }.boxed())
}

fn never() -> Probe {
    Arc::new(|| async { anyhow::bail!("not there") }.boxed())
}

#[tokio::test]
async fn a_child_that_ends_early_is_told_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let error = Supervised::start(shell("echo no such option; exit 3", folder.path()), never()).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("ended before it served") && error.contains("no such option"), "{error}");
}

#[tokio::test]
async fn a_child_that_never_serves_is_told_with_the_last_probe() {
    let folder = tempfile::tempdir().unwrap();
    let spec =
        Spec { ready_within: Duration::from_millis(200), ..shell("echo starting; exec sleep 600", folder.path()) };
    let error = format!("{:#}", Supervised::start(spec, never()).await.unwrap_err());
    assert!(error.contains("not there") && error.contains("starting"), "{error}");
}

#[tokio::test]
async fn the_environment_is_the_tests_not_the_developers() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = shell("env; exec sleep 600", folder.path());
    spec.env.push(("CHATCLUSTER_NODE".into(), "gateway-7".into()));
    let child = Supervised::start(spec, at_once()).await.unwrap();
    await_condition("the environment in the log", WAIT, || async {
        let log = child.log_tail(200);
        if log.contains("CHATCLUSTER_NODE=gateway-7") { Ok(()) } else { Err(log) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_child_outlives_the_thread_that_started_it_but_not_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let spec = shell("exec sleep 600", folder.path());
    // A runtime of its own that ends before the child is looked at, as the runtime of the first test of a binary does.
    let child = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Supervised::start(spec, at_once())).unwrap()
    });
    let child = child.join().unwrap();
    let pid = child.pid().expect("still running");
    drop(child);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

/// Runs `testkit servers`, kills it without a chance to clean up, and looks for what it had started.
#[tokio::test]
async fn nothing_survives_a_killed_testkit() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut spec = shell("", folder.path());
    spec.program = PathBuf::from(env!("CARGO_BIN_EXE_testkit"));
    spec.args = vec!["servers".into(), "--state-dir".into(), state.display().to_string()];
    let testkit = Supervised::start(spec, at_once()).await.unwrap();
    await_condition("the three servers", Duration::from_mins(5), || async {
        let log = testkit.log_tail(20);
        if log.contains("CHATCLUSTER_REDIS_URL=") { Ok(()) } else { Err(log) }
    })
    .await
    .unwrap();
    let children = children_of(testkit.pid().unwrap());
    assert!(children.len() >= 3, "{children:?}");
    testkit.kill9().await.unwrap();
    await_condition("the servers to go", WAIT, || async {
        let left: Vec<_> = children.iter().filter(|pid| is_alive(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
    .unwrap();

    // An orderly end after taking over the state of the killed run.
    testkit.launch().unwrap();
    await_condition("the servers on the old state", WAIT * 2, || async {
        let log = testkit.log_tail(50);
        if log.matches("CHATCLUSTER_REDIS_URL=").count() == 2 { Ok(()) } else { Err(log) }
    })
    .await
    .unwrap();
    let children = children_of(testkit.pid().unwrap());
    testkit.stop().await.unwrap();
    assert!(children.iter().all(|pid| !is_alive(*pid)));
    assert!(testkit.log_tail(3).contains("stopping"));
}

/// Processes whose parent is `parent`, from the fourth field of /proc/PID/stat.
fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, its_parent)| its_parent == parent)).collect()
}

/// A zombie that its new parent has not collected yet is dead.
fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows the last parenthesis is regular.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
