//! Ten thousand connections of a thousand names: the memory of each, and how soon each hears what is published.

use std::time::Duration;

use anyhow::Result;

use super::{
    Figure, Times,
    idle::{settled_pss, warm},
};
use crate::gateway::{
    driver::{Fleet, Load, Pace},
    servers::{Places, Server},
};

const CONNECTIONS: usize = 10_000;
const ROOMS: usize = 1000;
const BODY: usize = 256;
/// Publishes a second, each for ten connections.
const RATE: f64 = 2000.0;
const WARMUP: Duration = Duration::from_millis(500);

pub(super) fn run(server: Server, places: &Places, times: Times) -> Result<Vec<Figure>> {
    let running = server.start(places)?;
    warm(&running)?;
    let empty = settled_pss(&running.process)?;
    let mut fleet = Fleet::new(running.endpoint, ROOMS)?;
    fleet.grow(CONNECTIONS)?;
    let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / 1024.0 / CONNECTIONS as f64;
    let idle = each(settled_pss(&running.process)?);
    let load = Load { pace: Pace::Rate(RATE), body: BODY, warmup: WARMUP, measured: times.fixed_rate };
    let mut outcome = fleet.offer(&load, || running.process.cpu())?;
    let loaded = each(running.process.pss()?);
    let [p50, p99, most] = outcome.latencies.percentiles([50.0, 99.0, 100.0]);
    Ok(vec![
        ("KiB idle", idle),
        ("KiB loaded", loaded),
        ("rate k/s", outcome.deliveries / 1000.0),
        ("CPU us", outcome.cpu),
        ("p50 ms", p50),
        ("p99 ms", p99),
        ("most ms", most),
    ])
}
