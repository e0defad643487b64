//! The `testkit` command: installing the servers, running them, running the whole platform.

mod servers;
mod shutdown;
mod torture;
mod up;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

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
    /// Install what the servers and the build need, and start nothing
    Install,
}

impl Cli {
    pub async fn run(self) -> Result<()> {
        match self.command {
            Command::Up(up) => up.run().await,
            Command::Servers(servers) => servers.run().await,
            Command::Torture(torture) => torture.run().await,
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
