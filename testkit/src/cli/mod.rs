//! The `testkit` command: installing the servers, running them, running the whole platform.

mod cluster;
mod e2e;
mod failover;
mod images;
mod plants;
mod reachable;
mod servers;
mod shutdown;
mod torture;
mod up;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::torture::check::Findings;

/// Findings shown of each invariant.
const SHOWN: usize = 5;

/// Real servers and a whole platform on this machine, for development and tests.
#[derive(Debug, Parser)]
#[command(name = "testkit", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start Kafka, Redis, MariaDB and the platform's processes; stop them all on Ctrl-C
    Up(up::Up),
    /// Start Kafka, Redis and MariaDB only; print their URLs as environment lines
    Servers(servers::Servers),
    /// Kill, freeze and cut everything while clients work, and check what they saw against what is on record
    Torture(torture::Torture),
    /// Whether the torture's checker catches planted bugs, in binaries built with the feature `plants`
    Plants(plants::Plants),
    /// Kill the gateway that holds most sessions, and measure how they go on at the other one
    Failover(failover::Failover),
    /// Install the platform on a real Kubernetes node and use it while it is scaled, upgraded, killed and uninstalled
    E2e(e2e::E2e),
    /// Build the container images of core, worker, gateway and operator into one archive, without a container engine
    Images(images::Images),
    /// One real Kubernetes node on this machine: docs/cluster.md
    Cluster(cluster::Cluster),
    /// Install what the servers and the build need, and start nothing
    Install,
}

impl Cli {
    pub async fn run(self) -> Result<()> {
        match self.command {
            Command::Up(up) => up.run().await,
            Command::Servers(servers) => servers.run().await,
            Command::Torture(torture) => Box::pin(torture.run()).await,
            Command::Plants(plants) => plants.run().await,
            Command::Failover(failover) => Box::pin(failover.run()).await,
            Command::E2e(e2e) => Box::pin(e2e.run()).await,
            Command::Images(images) => images.run().await,
            Command::Cluster(cluster) => cluster.run().await,
            Command::Install => {
                let install = || crate::install::everything(progress);
                let (installed, kubernetes) =
                    tokio::task::spawn_blocking(install).await.context("the installer panicked")??;
                println!("Kafka      {}", installed.kafka.folder.display());
                println!("Redis      {}", installed.redis_server.display());
                println!("MariaDB    {}", installed.mariadbd.display());
                println!("Kubernetes {}", kubernetes.kube_apiserver.display());
                println!("etcd       {}", kubernetes.etcd.display());
                Ok(())
            }
        }
    }
}

/// To standard error: standard output carries only what another program may read.
fn progress(line: &str) {
    eprintln!("  {line}");
}

/// Some of what was found of each promise that was broken.
fn tell_findings(findings: &Findings) {
    for (invariant, count) in findings.by_invariant() {
        progress(&format!("{invariant}: {count} findings"));
        let of = findings.all().iter().filter(|finding| finding.invariant == invariant);
        for finding in of.take(SHOWN) {
            progress(&format!("   {}", finding.text));
        }
    }
}
