//! Going on in the node's network: by being executed again, as a network is a thread's and ours has many already.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use super::record::Record;

/// Does not return where it has something to do.
pub(super) fn enter(record: &Record) -> Result<()> {
    if is_inside(record)? {
        return Ok(());
    }
    let own = std::env::current_exe().context("failed to find this executable")?;
    let error = command(record).arg(own).args(std::env::args_os().skip(1)).exec();
    Err(error).context("failed to run nsenter")
}

/// `nsenter` into the node's network; the program and its arguments are to follow.
pub(super) fn command(record: &Record) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", record.init.pid())).arg("--");
    command
}

fn is_inside(record: &Record) -> Result<bool> {
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).context("failed to look at a network");
    Ok(network("self")? == network(&record.init.pid().to_string())?)
}
