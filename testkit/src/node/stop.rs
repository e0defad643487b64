//! `down`: ends the node and removes what is left of it. Also the cleaning that a start does first.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::layout::Layout;
use super::record::Record;
use super::{cgroups, mounts, network};
use crate::condition::await_condition;
use crate::install::{Progress, cache_folder};

/// The kernel ends dozens of processes and unmounts what they saw.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// One `up` or `down` at a time.
pub(super) fn lock() -> Result<File> {
    let path = cache_folder()?.join("node.lock");
    let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
    file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}

pub(super) async fn down(layout: &Layout, progress: Progress) -> Result<()> {
    let _lock = lock()?;
    if !layout.state().exists() {
        progress("there is no node");
        return Ok(());
    }
    ensure!(layout.marker().exists(), "{} holds something else than a node", layout.state().display());
    progress("ending the node");
    clear(layout).await?;
    progress("removing what it kept");
    let state = layout.clone();
    tokio::task::spawn_blocking(move || remove(state.state())).await.context("the removal panicked")?
}

/// Ends every process, and removes all that is not a file: interfaces, namespaces, mounts, cgroups.
pub(super) async fn clear(layout: &Layout) -> Result<()> {
    if let Some(record) = Record::read(layout)? {
        record.kill()?;
        await_condition("the node's processes to end", GONE_WITHIN, || async {
            if record.is_gone() { Ok(()) } else { Err("they are there") }
        })
        .await?;
    }
    network::disconnect(layout.state())?;
    // With a node of another folder on this machine, they are that one's.
    if network::owner()?.is_none() {
        cgroups::remove().await?;
    }
    Ok(())
}

/// The marker goes last, so that a removal that was cut off can be done again.
fn remove(state: &Path) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("failed to read the mounts")?;
    let mounted = mounts::below(&mounts, state);
    ensure!(mounted.is_empty(), "not removed, as something is mounted there: {}", mounted.join(", "));
    let failed = || format!("failed to remove {}", state.display());
    for entry in state.read_dir().with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path).with_context(failed)?;
        } else if !path.ends_with("chatcluster-node") {
            std::fs::remove_file(&path).with_context(failed)?;
        }
    }
    std::fs::remove_dir_all(state).with_context(failed)
}
