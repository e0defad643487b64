//! What is tortured: two of each process on servers of their own, with proxies on the ways that are to be cut.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::Deployment;
use crate::faults::TcpProxy;
use crate::install::Progress;
use crate::ports::free_port;
use crate::servers::Servers;

pub(super) const CORES: usize = 2;
pub(super) const WORKERS: usize = 2;
pub(super) const GATEWAYS: usize = 2;

/// What may wait for one slow client, in bytes: small, so that slow clients are cut within a short run.
const SESSION_QUEUE: &str = "128KiB";

pub(super) struct Platform {
    pub(super) deployment: Deployment,
    pub(super) servers: Arc<Servers>,
    /// From the gateways to the cores.
    pub(super) gateways_to_cores: Vec<TcpProxy>,
    /// From the workers to Redis.
    pub(super) workers_to_redis: TcpProxy,
}

impl Platform {
    /// `plant`: a bug to switch on; the binaries must have been built with it.
    pub(super) async fn start(progress: Progress, state: Option<&Path>, plant: Option<&str>) -> Result<Self> {
        progress("starting Kafka, Redis and MariaDB");
        let servers = Arc::new(Servers::start_with(progress, state).await?);
        // who may write although the server is read-only cannot be told that it is
        servers.mariadb.query("mysql", "REVOKE READ_ONLY ADMIN, SUPER ON *.* FROM chatcluster@'%'").await?;
        let workers_to_redis = TcpProxy::start(servers.redis.port()).await?;
        let redis_url = servers.redis.url();
        let (redis, _) = redis_url.rsplit_once(':').context("a URL of Redis without a port")?;
        let mut builder = Deployment::builder()
            .cores(CORES)
            .workers(WORKERS)
            .gateways(GATEWAYS)
            .servers(servers.clone())
            .env_of("worker", "CHATCLUSTER_REDIS_URL", &format!("{redis}:{}", workers_to_redis.port()))
            .env_of("gateway", "CHATCLUSTER_SESSION_QUEUE", SESSION_QUEUE)
            .progress(progress);
        if let Some(state) = state {
            builder = builder.state_dir(state.to_owned());
        }
        let (mut direct, mut proxied, mut gateways_to_cores) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..CORES {
            let port = free_port()?;
            let proxy = TcpProxy::start(port).await?;
            builder = builder.env_of(&format!("core-{index}"), "CHATCLUSTER_GRPC_LISTEN", &format!("127.0.0.1:{port}"));
            direct.push(format!("http://127.0.0.1:{port}"));
            proxied.push(format!("http://127.0.0.1:{}", proxy.port()));
            gateways_to_cores.push(proxy);
        }
        builder = builder.env_of("worker", "CHATCLUSTER_CORE_URL", &direct.join(",")).env_of(
            "gateway",
            "CHATCLUSTER_CORE_URL",
            &proxied.join(","),
        );
        if let Some(plant) = plant {
            // what one mechanism loses, the slow comparison of heads would find within its minute
            builder = builder.env("CHATCLUSTER_PLANT", plant).env_of("gateway", "CHATCLUSTER_SWEEP", "10m");
        }
        let deployment = builder.start().await?;
        Ok(Self { deployment, servers, gateways_to_cores, workers_to_redis })
    }

    pub(super) async fn stop(&self) -> Result<()> {
        self.deployment.stop().await?;
        self.servers.stop().await
    }
}
