//! `testkit up`: everything, as separate processes, until Ctrl-C.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::shutdown::Shutdown;
use crate::Deployment;

#[derive(Debug, Args)]
pub(super) struct Up {
    /// How many core processes
    #[arg(long, default_value_t = 1)]
    cores: usize,
    /// How many worker processes
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// How many gateway processes
    #[arg(long, default_value_t = 2)]
    gateways: usize,
    /// Keep data and logs in this folder (default: a temporary one)
    #[arg(long)]
    state_dir: Option<PathBuf>,
}

impl Up {
    pub(super) async fn run(self) -> Result<()> {
        let mut shutdown = Shutdown::listen()?;
        let mut builder = Deployment::builder()
            .cores(self.cores)
            .workers(self.workers)
            .gateways(self.gateways)
            .progress(super::progress);
        if let Some(folder) = self.state_dir {
            builder = builder.state_dir(folder);
        }
        let Some(deployment) = shutdown.unless(builder.start()).await? else { return Ok(()) };
        describe(&deployment);
        shutdown.requested().await;
        super::progress("stopping");
        deployment.stop().await
    }
}

fn describe(deployment: &Deployment) {
    for url in deployment.api_bases() {
        println!("REST       {url}");
    }
    for url in deployment.gateway_ws_urls() {
        println!("WebSocket  {url}");
    }
    if let Some(on) = deployment.namespace() {
        println!("Kafka      {}", on.kafka_bootstrap_servers);
        println!("Redis      {}", on.redis_url);
        println!("MariaDB    {}", on.database_url);
    }
    println!("Logs       {}", deployment.folder().display());
    if let Some(api) = deployment.api_bases().first() {
        println!();
        println!("Try it:");
        println!("  J='Content-Type: application/json'");
        println!(
            "  curl -H \"$J\" {api}/v1/users \\\n    -d '{{\"username\":\"ann\",\"password\":\"a long password\",\"displayName\":\"Ann\"}}'"
        );
        println!("  curl -H \"$J\" {api}/v1/login -d '{{\"username\":\"ann\",\"password\":\"a long password\"}}'");
        println!("  then open a WebSocket and send {{\"type\":\"CONNECT\",\"token\":\"<accessToken>\"}}");
        println!();
    }
    for process in deployment.processes() {
        println!("  {:<10} pid {}", process.name(), process.pid().unwrap_or_default());
    }
    println!("Ctrl-C stops everything. Kill any of these processes and watch what the clients see.");
}
