//! The message path under load: one conversation, its members spread over the gateways, a fixed rate of messages,
//! and then as many as go through. Sender and readers are one process, so there is one monotonic clock.

pub(crate) mod fleet;
pub(crate) mod load;

use std::time::Duration;

use anyhow::{Context, Result};
use chatcluster_testkit::Deployment;
use clap::{Args, ValueEnum};
use serde_json::json;

use fleet::Fleet;
use load::{Load, Outcome};

use crate::process_usage;

/// Messages a second before anything is measured.
const WARMUP_RATE: u32 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Embedded,
    Real,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which deployments, in turn
    #[arg(long, value_enum, value_delimiter = ',', default_value = "embedded,real")]
    deployments: Vec<Kind>,
    /// Members of the conversation, each with one connection
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// Messages a second
    #[arg(long, value_delimiter = ',', default_value = "20,100,300")]
    rates: Vec<u32>,
    /// How long the path is warmed up, at 300 messages a second and unmeasured, before the first rate: caches are filled,
    /// and the broker's virtual machine has compiled what it runs. Seconds; 0 leaves that out
    #[arg(long, default_value_t = 10)]
    warmup: u64,
    /// How long each rate lasts, seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Sends in flight when looking for saturation; 0 leaves that out
    #[arg(long, default_value_t = 64)]
    window: usize,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let mut results = Vec::new();
    for kind in &options.deployments {
        let name = if *kind == Kind::Embedded { "embedded" } else { "real" };
        eprintln!("starting the {name} deployment");
        let deployment = match kind {
            Kind::Embedded => Deployment::embedded().await?,
            Kind::Real => Deployment::real(1, 2, 2).await?,
        };
        eprintln!("signing up {} members", options.members);
        let mut fleet = Fleet::assemble(&deployment, options.members).await?;
        println!("\n{name}: {} members over {} gateways", options.members, deployment.gateway_ws_urls().len());
        println!(
            "{:>12} {:>22} {:>22} {:>12} {:>14}",
            "messages/s", "SEND->ACK p50/p99 ms", "SEND->MSG p50/p99 ms", "deliveries", "CPU us/deliv."
        );
        fleet.offer(Load::Rate(WARMUP_RATE), Duration::from_secs(options.warmup)).await?;
        let saturation = (options.window > 0).then_some(Load::Window(options.window));
        for load in options.rates.iter().map(|rate| Load::Rate(*rate)).chain(saturation) {
            let before = cpu_of(&deployment)?;
            let mut outcome = fleet.offer(load, Duration::from_secs(options.seconds)).await?;
            let cpu = cpu_of(&deployment)?.saturating_sub(before);
            results.push(report(name, load, &mut outcome, cpu));
        }
        deployment.stop().await?;
    }
    println!("{}", json!({"bench": "path", "members": options.members, "results": results}));
    Ok(())
}

/// CPU of the platform's own processes, not of the servers beside them.
pub(crate) fn cpu_of(deployment: &Deployment) -> Result<Duration> {
    deployment
        .processes()
        .filter(|process| !["kafka", "redis", "mariadb"].contains(&process.name()))
        .map(|process| process_usage::cpu(process.pid().context("a process of the platform has ended")?))
        .sum()
}

fn report(deployment: &str, load: Load, outcome: &mut Outcome, cpu: Duration) -> serde_json::Value {
    let [ack50, ack99] = outcome.acks.percentiles([50.0, 99.0]);
    let [msg50, msg99] = outcome.messages.percentiles([50.0, 99.0]);
    let deliveries = outcome.messages.len();
    let rate = outcome.sent as f64 / outcome.elapsed.as_secs_f64();
    let cpu_each = cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64;
    let shown = match load {
        Load::Rate(rate) => rate.to_string(),
        Load::Window(_) => format!("max {rate:.0}"),
    };
    println!(
        "{shown:>12} {:>22} {:>22} {deliveries:>12} {cpu_each:>14.1}",
        format!("{ack50:.2} / {ack99:.2}"),
        format!("{msg50:.2} / {msg99:.2}")
    );
    json!({
        "deployment": deployment, "load": shown, "messages_per_s": rate, "deliveries": deliveries,
        "ack_p50_ms": ack50, "ack_p99_ms": ack99, "message_p50_ms": msg50, "message_p99_ms": msg99,
        "cpu_us_per_delivery": cpu_each,
    })
}
