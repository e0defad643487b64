//! `testkit servers`: the three servers, for running parts of the platform by hand or from an editor.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::shutdown::Shutdown;

#[derive(Debug, Args)]
pub(super) struct Servers {
    /// Keep data and logs in this folder (default: a temporary one)
    #[arg(long)]
    state_dir: Option<PathBuf>,
}

impl Servers {
    pub(super) async fn run(self) -> Result<()> {
        let mut shutdown = Shutdown::listen()?;
        let start = crate::Servers::start_with(super::progress, self.state_dir.as_deref());
        let Some(servers) = shutdown.unless(start).await? else { return Ok(()) };
        let urls = servers.whole();
        println!("CHATCLUSTER_DATABASE_URL={}", urls.database_url);
        println!("CHATCLUSTER_KAFKA_BOOTSTRAP_SERVERS={}", urls.kafka_bootstrap_servers);
        println!("CHATCLUSTER_REDIS_URL={}", urls.redis_url);
        super::progress("ready; Ctrl-C stops them");
        shutdown.requested().await;
        super::progress("stopping");
        servers.stop().await
    }
}
