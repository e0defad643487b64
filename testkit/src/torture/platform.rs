//! What is tortured: two of each process on servers, with proxies on the ways that are to be cut.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Mutex;

use super::schedule::VICTIMS;
use crate::Deployment;
use crate::faults::{TcpProxy, WallClock};
use crate::install::{self, Progress};
use crate::ports::free_port;
use crate::scratch::ScratchDir;
use crate::servers::Servers;

pub(super) const CORES: usize = 2;
pub(super) const WORKERS: usize = 2;
/// So many more are started when workers scale.
pub(super) const SPARE_WORKERS: usize = 3;
pub(super) const GATEWAYS: usize = 2;

/// What may wait for one slow client, in bytes: small, so that slow clients are cut within a short run.
const SESSION_QUEUE: &str = "256KiB";
const SEND_BUFFER: &str = "64KiB";

/// Events that each log of user events keeps: more than are published.
const USER_EVENT_LOG: &str = "100000";

/// Every way from one process to another or to a server that can be cut.
pub(super) struct Ways {
    /// From each gateway to each core.
    gateways_to_cores: Vec<Vec<TcpProxy>>,
    gateways_to_redis: Vec<TcpProxy>,
    pub(super) workers_to_redis: TcpProxy,
    cores_to_mariadb: Vec<TcpProxy>,
}

impl Ways {
    pub(super) fn gateways_to_cores(&self) -> Vec<&TcpProxy> {
        self.gateways_to_cores.iter().flatten().collect()
    }

    pub(super) fn gateways_to_redis(&self) -> Vec<&TcpProxy> {
        self.gateways_to_redis.iter().collect()
    }

    pub(super) fn cores_to_mariadb(&self) -> Vec<&TcpProxy> {
        self.cores_to_mariadb.iter().collect()
    }

    /// Everything that leads out of one gateway, but for Kafka.
    pub(super) fn of_gateway(&self, index: usize) -> Vec<&TcpProxy> {
        self.gateways_to_cores[index].iter().chain([&self.gateways_to_redis[index]]).collect()
    }
}

/// Clocks that can be set, if any: of the last of each kind.
#[derive(Default)]
pub(super) struct Clocks {
    pub(super) core: Option<WallClock>,
    pub(super) gateway: Option<WallClock>,
    /// Where they are kept.
    _folder: Option<ScratchDir>,
}

impl Clocks {
    async fn right(progress: Progress) -> Result<Self> {
        let (library, folder) = (install::faketime(progress).await?, ScratchDir::new("clocks")?);
        let clock = |name| WallClock::right(&library, folder.path(), name);
        Ok(Self { core: Some(clock("core")?), gateway: Some(clock("gateway")?), _folder: Some(folder) })
    }
}

pub(super) struct Platform {
    pub(super) deployment: Deployment,
    pub(super) clocks: Clocks,
    /// What is done to one of a kind is over before the next thing is done to it, however long it takes to come back.
    pub(super) busy: [Mutex<()>; VICTIMS],
    pub(super) servers: Arc<Servers>,
    pub(super) ways: Ways,
    /// Where user events are listened to, one a gateway: `ws://127.0.0.1:port/ws`.
    pub(super) user_events: Vec<String>,
}

impl Platform {
    /// `plant`: a bug to switch on; the binaries must have been built with it. `clocks`: some are to be set.
    pub(super) async fn start(
        servers: Arc<Servers>,
        progress: Progress,
        state: Option<&Path>,
        plant: Option<&str>,
        clocks: bool,
    ) -> Result<Self> {
        // who may write although the server is read-only cannot be told that it is
        servers.mariadb.query("mysql", "REVOKE READ_ONLY ADMIN, SUPER ON *.* FROM chatcluster@'%'").await?;
        let (redis, mariadb) = (servers.redis.port(), servers.mariadb.port());
        let workers_to_redis = TcpProxy::start(redis).await?;
        let mut builder = Deployment::builder()
            .cores(CORES)
            .workers(WORKERS)
            .spare_workers(SPARE_WORKERS)
            .gateways(GATEWAYS)
            .servers(servers.clone())
            .through("worker", redis, workers_to_redis.port())
            .env_of("gateway", "CHATCLUSTER_SESSION_QUEUE", SESSION_QUEUE)
            .env_of("gateway", "CHATCLUSTER_SOCKET_SEND_BUFFER", SEND_BUFFER)
            // what is missing in a log is not to have been trimmed away
            .env_of("worker", "CHATCLUSTER_USER_EVENT_LOG_LENGTH", USER_EVENT_LOG)
            .progress(progress);
        if let Some(state) = state {
            builder = builder.state_dir(state.to_owned());
        }
        let (mut ports, mut cores_to_mariadb) = (Vec::new(), Vec::new());
        for index in 0..CORES {
            let (port, name, proxy) = (free_port()?, format!("core-{index}"), TcpProxy::start(mariadb).await?);
            builder = builder.env_of(&name, "CHATCLUSTER_GRPC_LISTEN", &format!("127.0.0.1:{port}")).through(
                &name,
                mariadb,
                proxy.port(),
            );
            ports.push(port);
            cores_to_mariadb.push(proxy);
        }
        let cores: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        for kind in ["worker", "gateway"] {
            builder = builder.env_of(kind, "CHATCLUSTER_CORE_URL", &cores.join(","));
        }
        let (mut gateways_to_cores, mut gateways_to_redis) = (Vec::new(), Vec::new());
        let mut user_events = Vec::new();
        for index in 0..GATEWAYS {
            let (name, mut to_cores) = (format!("gateway-{index}"), Vec::new());
            for port in &ports {
                let proxy = TcpProxy::start(*port).await?;
                builder = builder.through(&name, *port, proxy.port());
                to_cores.push(proxy);
            }
            let to_redis = TcpProxy::start(redis).await?;
            builder = builder.through(&name, redis, to_redis.port());
            let listen = format!("127.0.0.1:{}", free_port()?);
            builder = builder.env_of(&name, "CHATCLUSTER_USER_EVENTS_LISTEN", &listen);
            user_events.push(format!("ws://{listen}/ws"));
            gateways_to_cores.push(to_cores);
            gateways_to_redis.push(to_redis);
        }
        if let Some(plant) = plant {
            // what one mechanism loses, the slow comparison of heads would find within its minute
            builder = builder.env("CHATCLUSTER_PLANT", plant).env_of("gateway", "CHATCLUSTER_SWEEP", "10m");
        }
        let clocks = if clocks { Clocks::right(progress).await? } else { Clocks::default() };
        for (kind, count, clock) in [("core", CORES, &clocks.core), ("gateway", GATEWAYS, &clocks.gateway)] {
            for (key, value) in clock.iter().flat_map(WallClock::env) {
                builder = builder.env_of(&format!("{kind}-{}", count - 1), key, &value);
            }
        }
        let deployment = builder.start().await?;
        let ways = Ways { gateways_to_cores, gateways_to_redis, workers_to_redis, cores_to_mariadb };
        Ok(Self { deployment, clocks, busy: Default::default(), servers, ways, user_events })
    }
}
