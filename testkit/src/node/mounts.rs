//! What the node's processes see of this machine's files: all of them, but folders of their own where kubelet, containerd
//! and the network plugins keep things. The mounts are in a namespace, so that they end with the node's last process and
//! no path on this machine is left behind.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::layout::{INSIDE, PROGRAMS};
use super::supervisor::Programs;

/// Where kubelet keeps pods' volumes.
pub(super) const KUBELET: &str = "/var/lib/kubelet";

/// What kubelet would set on the whole machine unless it finds it as it wants it. It finds files of ours.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Called by the first process of the node, in its own mount namespace.
pub(super) fn prepare(state: &Path, programs: &Programs) -> Result<()> {
    // Sockets, locks, the networks of pods; gone with the node.
    temporary("/run")?;
    bind(state, INSIDE)?;
    for (name, folder) in programs.folders() {
        bind(folder, &format!("{PROGRAMS}/{name}"))?;
    }
    temporary("/var/lib")?;
    temporary("/var/log")?;
    for (name, place) in [("kubelet", KUBELET), ("containerd", "/var/lib/containerd"), ("pods", "/var/log/pods")] {
        bind(&Path::new(INSIDE).join(name), place)?;
    }
    for (setting, value) in KERNEL_SETTINGS {
        let file = Path::new(INSIDE).join("sysctl").join(setting.replace('/', "."));
        std::fs::write(&file, value).with_context(|| format!("failed to write {}", file.display()))?;
        mount(&["--bind", &file.display().to_string(), &format!("/proc/sys/{setting}")])?;
    }
    // Volumes that a pod mounts for others are to be seen by them.
    mount(&["--make-rshared", "/"])
}

fn temporary(place: &str) -> Result<()> {
    mount(&["-t", "tmpfs", "-o", "mode=755", "chatcluster", place])
}

fn bind(folder: &Path, place: &str) -> Result<()> {
    std::fs::create_dir_all(place).with_context(|| format!("failed to create {place}"))?;
    mount(&["--bind", &folder.display().to_string(), place])
}

fn mount(arguments: &[&str]) -> Result<()> {
    let output = Command::new("mount").args(arguments).output().context("failed to run mount")?;
    if !output.status.success() {
        bail!("mount {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Mounts at or below a folder, as this process sees them. `mounts` is the text of /proc/self/mountinfo.
pub(super) fn below<'a>(mounts: &'a str, folder: &Path) -> Vec<&'a str> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| Path::new(&unescaped(point)).starts_with(folder)).collect()
}

/// Blanks and the like are octal there.
fn unescaped(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_are_found() {
        let mounts = "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / /a\\040b/c rw - tmpfs x rw\n3 1 0:3 / /a rw - tmpfs x rw";
        assert_eq!(below(mounts, Path::new("/a b")), ["/a\\040b/c"]);
        assert!(below(mounts, Path::new("/b")).is_empty());
    }
}
