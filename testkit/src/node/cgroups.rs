//! The control group that all pods are in, in every hierarchy of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::condition::await_condition;

/// Below the root of each hierarchy.
pub(super) const CGROUP: &str = "chatcluster-node";

/// What kubelet cannot do without.
const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// Processes that were killed leave their groups a moment later.
const EMPTY_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
struct Hierarchy {
    mount: PathBuf,
    unified: bool,
    /// Of version 1, by their names.
    controllers: Vec<String>,
}

/// Of the text of /proc/self/mountinfo.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let parse = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mount = before.split(' ').nth(4)?;
        let mut after = after.split(' ');
        let kind = after.next()?;
        let controllers = after.nth(1)?.split(',').map(str::to_owned).collect();
        let unified = kind == "cgroup2";
        (unified || kind == "cgroup").then(|| Hierarchy { mount: mount.into(), unified, controllers })
    };
    mounts.lines().filter_map(parse).collect()
}

fn here() -> Result<Vec<Hierarchy>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("failed to read the mounts")?;
    Ok(hierarchies(&mounts))
}

/// Whether this machine has the controllers that pods need.
pub(super) fn check() -> Result<()> {
    let here = here()?;
    let mut found: Vec<String> = here.iter().flat_map(|hierarchy| hierarchy.controllers.clone()).collect();
    if let Some(unified) = here.iter().find(|hierarchy| hierarchy.unified) {
        let names = std::fs::read_to_string(unified.mount.join("cgroup.controllers")).unwrap_or_default();
        found.extend(names.split_whitespace().map(str::to_owned));
    }
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !found.iter().any(|found| found == name)).collect();
    ensure!(missing.is_empty(), "no cgroup controllers {} on this machine", missing.join(", "));
    Ok(())
}

/// Makes the group; kubelet makes those of the pods below it.
pub(super) fn create() -> Result<()> {
    let here = here()?;
    let only_unified = here.iter().all(|hierarchy| hierarchy.unified);
    for hierarchy in here.iter().filter(|hierarchy| only_unified || !hierarchy.unified) {
        if hierarchy.unified {
            hand_down(&hierarchy.mount);
        }
        let group = hierarchy.mount.join(CGROUP);
        std::fs::create_dir_all(&group).with_context(|| format!("failed to create {}", group.display()))?;
        weigh(&group);
    }
    Ok(())
}

/// A group counts as much as one process outside of it, so on a busy machine all pods together would get next to nothing.
/// Four: enough beside a few servers. Where it cannot be set they share as before.
fn weigh(group: &Path) {
    for (file, weight) in [("cpu.shares", "4096"), ("cpu.weight", "400")] {
        let path = group.join(file);
        if path.exists() {
            let _ = std::fs::write(path, weight);
        }
    }
}

/// In version 2 a group has the controllers that the one above it hands down, and kubelet wants all that there are. One
/// that cannot be handed down is named by kubelet.
fn hand_down(mount: &Path) {
    let controllers = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = std::fs::write(mount.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes the group with all below it.
pub(super) async fn remove() -> Result<()> {
    for hierarchy in here()? {
        let group = hierarchy.mount.join(CGROUP);
        await_condition(&format!("{} to be empty", group.display()), EMPTY_WITHIN, || async { remove_tree(&group) })
            .await?;
    }
    Ok(())
}

/// Only folders can be removed, and only from below; the files in them are the kernel's.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    let entries = match group.read_dir() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_the_mounts() {
        let mounts = "\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
31 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let found = hierarchies(mounts);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(found[0].controllers.contains(&"cpuacct".to_owned()) && !found[0].unified);
        assert!(found[1].unified);
    }

    #[test]
    fn what_is_not_there_is_removed() {
        assert!(remove_tree(Path::new("/nowhere/at/all")).is_ok());
    }
}
