//! Memory of idle connections and the cost of opening them: a fresh server is connected to in steps.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Figure;
use crate::gateway::{
    driver::{Fleet, Load, Pace},
    servers::{Places, Process, Running, Server},
};

/// Rooms that the connections are spread over.
const ROOMS: usize = 100;
/// The step whose CPU time is that of connecting.
const CONNECT_STEP: usize = 5000;

pub(super) fn run(server: Server, places: &Places) -> Result<Vec<Figure>> {
    let running = server.start(places)?;
    warm(&running)?;
    let empty = settled_pss(&running.process)?;
    let cpu = running.process.cpu()?;
    let mut fleet = Fleet::new(running.endpoint, ROOMS)?;
    let mut figures = Vec::new();
    let most = server.most_connections();
    let steps = [(1000, "KiB at 1k"), (CONNECT_STEP, "KiB at 5k"), (15_000, "KiB at 15k")];
    for (step, name) in steps.into_iter().filter(|(step, _)| *step <= most) {
        fleet.grow(step)?;
        if step == CONNECT_STEP {
            let used = running.process.cpu()?.saturating_sub(cpu);
            figures.push(("connect us", used.as_secs_f64() * 1e6 / step as f64));
        }
        let used = settled_pss(&running.process)?.saturating_sub(empty);
        figures.push((name, used as f64 / 1024.0 / fleet.len() as f64));
    }
    Ok(figures)
}

/// What a server allocates at first use is not that of its connections. So little that it leaves no room for many.
pub(super) fn warm(running: &Running) -> Result<()> {
    let mut fleet = Fleet::new(running.endpoint, 4)?;
    fleet.grow(4)?;
    let pace = Pace::Rate(100.0);
    let load = Load { pace, body: 256, warmup: Duration::ZERO, measured: Duration::from_millis(200) };
    fleet.offer(&load, || running.process.cpu())?;
    Ok(())
}

/// Memory once it does not change any more, or what it is after a few seconds.
pub(super) fn settled_pss(process: &Process) -> Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut before = process.pss()?;
    loop {
        sleep(Duration::from_millis(200));
        let now = process.pss()?;
        if now.abs_diff(before) < now / 200 || Instant::now() > deadline {
            return Ok(now);
        }
        before = now;
    }
}
