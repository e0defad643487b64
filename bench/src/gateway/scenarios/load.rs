//! Rooms full of readers: how many deliveries a second at most, and what one costs at a fixed rate.

use std::time::Duration;

use anyhow::Result;

use super::{Figure, Times};
use crate::gateway::{
    driver::{Fleet, Load, Pace},
    servers::{Places, Server},
};

const BODY: usize = 256;
const READERS: usize = 1000;
/// Deliveries a second of the fixed rate.
const FIXED: f64 = 100_000.0;
/// Of its saturation, for a server that does not reach the fixed rate with room to spare.
const SPARE: f64 = 0.7;
const WARMUP: Duration = Duration::from_millis(300);
const WINDOWS: [usize; 2] = [8, 32];

/// One room: saturation, then the fixed rate.
pub(super) fn broadcast(server: Server, places: &Places, times: Times) -> Result<Vec<Figure>> {
    let running = server.start(places)?;
    let mut fleet = Fleet::new(running.endpoint, 1)?;
    fleet.grow(READERS)?;
    let cpu = || running.process.cpu();
    let most = saturate(&mut fleet, times, &WINDOWS, cpu)?;
    let rate = FIXED.min(most * SPARE);
    let pace = Pace::Rate(rate / READERS as f64);
    let load = Load { pace, body: BODY, warmup: WARMUP, measured: times.fixed_rate };
    let mut outcome = fleet.offer(&load, cpu)?;
    let [p50, p99] = outcome.latencies.percentiles([50.0, 99.0]);
    Ok(vec![
        ("rate k/s", outcome.deliveries / 1000.0),
        ("CPU us", outcome.cpu),
        ("p50 ms", p50),
        ("p99 ms", p99),
        ("max k/s", most / 1000.0),
    ])
}

/// Many rooms: saturation only.
pub(super) fn saturation(
    server: Server,
    places: &Places,
    times: Times,
    rooms: usize,
    windows: &[usize],
) -> Result<Vec<Figure>> {
    let running = server.start(places)?;
    let mut fleet = Fleet::new(running.endpoint, rooms)?;
    fleet.grow(READERS)?;
    let most = saturate(&mut fleet, times, windows, || running.process.cpu())?;
    Ok(vec![("max k/s", most / 1000.0)])
}

/// Deliveries a second with the best of the windows.
fn saturate(fleet: &mut Fleet, times: Times, windows: &[usize], cpu: impl Fn() -> Result<Duration>) -> Result<f64> {
    let mut best = 0.0_f64;
    for window in windows {
        let load = Load { pace: Pace::Window(*window), body: BODY, warmup: WARMUP, measured: times.saturation };
        let outcome = fleet.offer(&load, &cpu)?;
        eprintln!("   window {window}: {:.0}/s, CPU {:.2} us", outcome.deliveries, outcome.cpu);
        best = best.max(outcome.deliveries);
    }
    Ok(best)
}
