//! One core for the server, another for the driver.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const SERVER: usize = 0;
const DRIVER: usize = 1;

/// Whether this machine has a core for each.
pub(super) fn enough() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > DRIVER)
        || sched_getaffinity(None).is_ok_and(|cores| cores.is_set(DRIVER))
}

/// What is started from now on is a server.
pub(super) fn as_server() -> Result<()> {
    only(SERVER)
}

pub(super) fn as_driver() -> Result<()> {
    only(DRIVER)
}

fn only(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("failed to keep to core {core}"))
}
