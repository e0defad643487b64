//! What a process used, from `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of user and kernel mode so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // the command may contain spaces: count from behind its closing parenthesis
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).context("no CPU times");
    // clock ticks are 10 ms on every Linux that matters (sysconf(_SC_CLK_TCK) = 100)
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// Proportional set size in bytes: memory that is really this process's, shared pages divided.
pub(crate) fn pss(pid: u32) -> Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the process is gone")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("an odd Pss line")?;
    Ok(kib * 1024)
}
