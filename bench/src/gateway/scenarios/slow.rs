//! Readers that stop reading: what that does to the others and to the server's memory.

use std::time::Duration;

use anyhow::Result;

use super::Figure;
use crate::gateway::{
    driver::{Fleet, Load, Pace},
    servers::{Places, Server},
};

const READERS: usize = 1000;
/// One of so many stops.
const STALLED: usize = 10;
const BODY: usize = 16 * 1024;
/// Published after they have stopped: bytes meant for each.
const MEANT: usize = 20_000_000;
/// Publishes a second.
const RATE: f64 = 50.0;
const WARMUP: Duration = Duration::from_millis(500);
/// How long the run without stalled readers is.
const BEFORE: Duration = Duration::from_secs(4);

pub(super) fn run(server: Server, places: &Places) -> Result<Vec<Figure>> {
    let running = server.start(places)?;
    let mut fleet = Fleet::new(running.endpoint, 1)?;
    fleet.grow(READERS)?;
    let cpu = || running.process.cpu();
    let load = |warmup, measured| Load { pace: Pace::Rate(RATE), body: BODY, warmup, measured };
    let mut before = fleet.offer(&load(WARMUP, BEFORE), cpu)?;
    let memory = running.process.peak()?;
    let stalled = fleet.stall_every(STALLED)?;
    let meant = Duration::from_secs_f64(MEANT as f64 / BODY as f64 / RATE);
    let mut after = fleet.offer(&load(Duration::ZERO, meant), cpu)?;
    let grown = running.process.peak()?.saturating_sub(memory);
    let cut_off = fleet.count_cut_off(&stalled)?;
    let ([before], [after]) = (before.latencies.percentiles([99.0]), after.latencies.percentiles([99.0]));
    Ok(vec![
        ("before p99 ms", before),
        ("others p99 ms", after),
        ("ratio", after / before),
        ("peak MiB", grown as f64 / 1024.0 / 1024.0),
        ("cut off", cut_off as f64),
    ])
}
