//! The gateway beside its peers and beside the least a server can do, in one run: servers take turns within each round,
//! so that a slow minute of the machine is everybody's, and the medians of the rounds are compared.

mod cores;
mod driver;
mod report;
mod scenarios;
mod servers;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use report::Row;
use scenarios::{Scenario, Times};
use servers::{Places, Server};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Servers to measure; all that are there unless named
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Server>,
    /// Scenarios to run; all unless named
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Rounds, of which the medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One short round: orders of magnitude
    #[arg(long)]
    quick: bool,
    /// How long the fixed rate lasts, seconds; each look for saturation takes a third of it
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// The gateway's binary; by default the one beside this program
    #[arg(long)]
    gateway: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(cores::enough(), "the server and the driver need a core each");
    enough_files()?;
    warn_when_busy();
    cores::as_driver()?;
    let gateway = options.gateway.clone().map_or_else(beside_us, Ok)?;
    // servers run in folders of their own
    let places = Places { gateway: std::path::absolute(gateway)? };
    let servers = chosen(&options.servers, &places);
    let scenarios = if options.only.is_empty() { Scenario::value_variants() } else { &options.only };
    let (rounds, seconds) = if options.quick { (1, options.seconds / 2.0) } else { (options.rounds, options.seconds) };
    let times =
        Times { fixed_rate: Duration::from_secs_f64(seconds), saturation: Duration::from_secs_f64(seconds / 3.0) };
    let (start, mut failures) = (Instant::now(), 0);
    for scenario in scenarios {
        let taking_part = servers.iter().copied().filter(|server| scenario.has(*server));
        let mut rows: Vec<Row> = taking_part.map(Row::new).collect();
        for round in 1..=scenario.rounds(rounds) {
            for row in rows.iter_mut().filter(|row| row.failure.is_none()) {
                let (at, title, name) = (start.elapsed().as_secs(), scenario.title(), row.server.name());
                eprintln!("[{at:>4} s] {title}, round {round}: {name}");
                match scenario.run(row.server, &places, times) {
                    Ok(figures) => row.rounds.push(figures),
                    // the others are still worth measuring
                    Err(error) => {
                        eprintln!("{name} failed: {error:#}");
                        row.failure = Some(format!("{error:#}"));
                        failures += 1;
                    }
                }
            }
        }
        report::print(*scenario, &rows);
    }
    ensure!(failures == 0, "{failures} of the measurements failed, see above");
    Ok(())
}

/// What else runs here is in every figure.
fn warn_when_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().and_then(|load| load.parse::<f64>().ok()).unwrap_or(0.0);
    if load > 0.5 {
        eprintln!("this machine is busy (load {load}): wait until it is idle for figures worth keeping");
    }
}

fn chosen(named: &[Server], places: &Places) -> Vec<Server> {
    let all = if named.is_empty() { Server::value_variants() } else { named };
    let there = |server: &&Server| match server.missing(places) {
        None => true,
        Some(reason) => {
            eprintln!("{} is left out: {reason}", server.name());
            false
        }
    };
    all.iter().filter(there).copied().collect()
}

fn beside_us() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("chatcluster-gateway"))
}

/// Most idle connections, and some for the rest.
pub(crate) fn enough_files() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const WANTED: u64 = 15_500;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < WANTED) {
        let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, most).context("failed to raise the limit of open files")?;
        ensure!(limit.maximum.is_none_or(|most| most >= WANTED), "{WANTED} open files are needed (ulimit -Hn)");
    }
    Ok(())
}
