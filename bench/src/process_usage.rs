//! What a process used, from `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of user and kernel mode so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    let fields = behind_the_command(&stat);
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).context("no CPU times");
    // clock ticks are 10 ms on every Linux that matters (sysconf(_SC_CLK_TCK) = 100)
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// The same to the nanosecond, of the threads that have not ended.
pub(crate) fn run_time(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?.flatten() {
        // a thread may end meanwhile
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        sum += stat.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// Proportional set size in bytes: memory that is really this process's, shared pages divided.
pub(crate) fn pss(pid: u32) -> Result<u64> {
    kib_line(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// The most memory that was resident at once, in bytes.
pub(crate) fn peak(pid: u32) -> Result<u64> {
    kib_line(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// The kernel's objects, sockets among them, in bytes; of the whole machine.
pub(crate) fn slab() -> Result<u64> {
    kib_line("/proc/meminfo", "Slab:")
}

/// A process and all that descend from it.
pub(crate) fn tree(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").context("failed to list processes")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // a process may end meanwhile
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(parent) = behind_the_command(&stat).get(1).and_then(|parent| parent.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut tree = vec![root];
    let mut looked_at = 0;
    while let Some(parent) = tree.get(looked_at).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        looked_at += 1;
    }
    Ok(tree)
}

/// The fields of a `stat` file from the third on. The command may contain spaces: count from behind its parenthesis.
fn behind_the_command(stat: &str) -> Vec<&str> {
    stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect()
}

fn kib_line(file: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} line"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("an odd {name} line"))?;
    Ok(kib * 1024)
}
