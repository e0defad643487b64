//! Whether this machine can run a node at all, in one line if not.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::cgroups;
use crate::install::{cache_folder, find_program, node_can_be_had};

/// See statfs(2).
const OVERLAY: rustix::fs::FsWord = 0x794c_7630;

/// Answers the reason why not. Leaves nothing behind and installs nothing.
pub fn check() -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "a node needs Linux");
    ensure!(rustix::process::geteuid().is_root(), "a node needs root: namespaces, cgroups, iptables");
    cgroups::check()?;
    let filesystems =
        std::fs::read_to_string("/proc/filesystems").context("failed to read the kernel's file systems")?;
    // A module may still bring it, so only a kernel without modules is refused.
    let has_overlay = filesystems.contains("overlay") || std::path::Path::new("/lib/modules").exists();
    ensure!(has_overlay, "the kernel has no overlay file system");
    let folder = cache_folder()?;
    let kind = rustix::fs::statfs(&folder).context("failed to look at the cache folder's file system")?.f_type;
    // Layers of images are such a file system, and one cannot lie on another.
    ensure!(kind != OVERLAY, "{} is on an overlay file system: set CHATCLUSTER_CACHE to another one", folder.display());
    node_can_be_had()?;
    if find_program("unshare").is_some() {
        unshared("true").context("the kernel allows no namespaces here")?;
    }
    if find_program("ip").is_some() {
        unshared("ip link add one type veth peer name two").context("the kernel has no virtual cables")?;
    }
    if find_program("iptables").is_some() {
        let rule = "iptables -t nat -A POSTROUTING -m comment --comment check -m statistic --mode random --probability 0.5 -j MASQUERADE";
        unshared(rule).context("the kernel has no rules for Services")?;
    }
    Ok(())
}

/// Runs a command in namespaces as those of a node.
fn unshared(command: &str) -> Result<()> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--"]).args(command.split(' '));
    let output = unshare.output().context("failed to run unshare")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("it fails without a word"));
    }
    Ok(())
}
