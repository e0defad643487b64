//! `testkit servers`: the three servers, for running parts of the platform by hand or from an editor, or in pods.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::reachable::Reachable;
use super::shutdown::Shutdown;

#[derive(Debug, Args)]
pub(super) struct Servers {
    /// Keep data and logs in this folder (default: a temporary one)
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Let others come to this address of this machine, pods for instance: three brokers, and passwords everywhere
    #[arg(long, conflicts_with = "state_dir", value_name = "IPV4")]
    address: Option<Ipv4Addr>,
}

impl Servers {
    pub(super) async fn run(self) -> Result<()> {
        let mut shutdown = Shutdown::listen()?;
        if let Some(address) = self.address {
            let Some(servers) = shutdown.unless(Reachable::start(address)).await? else { return Ok(()) };
            tell(&servers.database_url, &servers.kafka_bootstrap_servers, &servers.redis_url);
            shutdown.requested().await;
            return Ok(());
        }
        let start = crate::Servers::start_with(super::progress, self.state_dir.as_deref());
        let Some(servers) = shutdown.unless(start).await? else { return Ok(()) };
        let urls = servers.whole();
        tell(&urls.database_url, &urls.kafka_bootstrap_servers, &urls.redis_url);
        shutdown.requested().await;
        super::progress("stopping");
        servers.stop().await
    }
}

fn tell(database: &str, kafka: &str, redis: &str) {
    println!("CHATCLUSTER_DATABASE_URL={database}");
    println!("CHATCLUSTER_KAFKA_BOOTSTRAP_SERVERS={kafka}");
    println!("CHATCLUSTER_REDIS_URL={redis}");
    super::progress("ready; Ctrl-C stops them");
}
