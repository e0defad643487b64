//! The platform itself, started for a test: as one embedded process, or as separate core, worker and gateway processes
//! on real servers. Both have the same API, so one acceptance suite runs over both.
//!
//! Rooms: [`builder`] decides what is started, [`platform`] knows each binary's settings, [`binaries`] finds them.

mod binaries;
mod builder;
mod platform;

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::future::join_all;

pub use binaries::Binaries;
pub use builder::Builder;

use crate::client::{Api, Client, Resume, User};
use crate::process::Supervised;
use crate::scratch::ScratchDir;
use crate::servers::{Namespace, Servers, random_name};

/// A running platform. Everything it started is killed when it is dropped.
#[derive(Debug)]
pub struct Deployment {
    /// In the order in which they were started.
    processes: Vec<Supervised>,
    api_bases: Vec<String>,
    gateway_ws_urls: Vec<String>,
    servers: Option<Arc<Servers>>,
    owns_servers: bool,
    namespace: Option<Namespace>,
    service_token: String,
    /// What users' names end in, where others may have signed up before.
    mark: Option<String>,
    /// Last, so that it goes after the processes that write into it.
    folder: ScratchDir,
}

impl Deployment {
    /// One `chatcluster run` process: no servers, one port for everything.
    pub async fn embedded() -> Result<Self> {
        Self::builder().embedded().start().await
    }

    /// Kafka, Redis, MariaDB and the given numbers of processes, all of this deployment's own: any may be hurt.
    pub async fn real(cores: usize, workers: usize, gateways: usize) -> Result<Self> {
        Self::builder().cores(cores).workers(workers).gateways(gateways).start().await
    }

    /// On the servers that all tests of this binary share, in a namespace of its own: cheap, but hurt only the
    /// platform's processes, never the servers.
    pub async fn on_shared_servers(cores: usize, workers: usize, gateways: usize) -> Result<Self> {
        let servers = Servers::shared().await?;
        Self::builder().cores(cores).workers(workers).gateways(gateways).servers(servers).start().await
    }

    /// One that somebody else runs, seen from outside: REST base URLs and WebSocket URLs. It has no processes.
    pub fn elsewhere(api_bases: Vec<String>, gateway_ws_urls: Vec<String>) -> Result<Self> {
        Ok(Self {
            processes: Vec::new(),
            api_bases,
            gateway_ws_urls,
            servers: None,
            owns_servers: false,
            namespace: None,
            service_token: String::new(),
            mark: Some(random_name(8).to_lowercase()),
            folder: ScratchDir::new("elsewhere")?,
        })
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Whether it is the one-process form.
    pub fn is_embedded(&self) -> bool {
        self.servers.is_none()
    }

    /// Native WebSocket URLs, one a gateway: `ws://127.0.0.1:port/ws`.
    pub fn gateway_ws_urls(&self) -> &[String] {
        &self.gateway_ws_urls
    }

    /// REST base URLs, one a core: `http://127.0.0.1:port`.
    pub fn api_bases(&self) -> &[String] {
        &self.api_bases
    }

    /// Calls to the first core, as nobody yet.
    pub fn api(&self) -> Result<Api> {
        Api::new(self.api_bases.first().context("this deployment has no core")?)
    }

    /// Signs someone up and in. Names are this deployment's own, so tests need no unique ones.
    pub async fn user(&self, username: &str) -> Result<User> {
        let mark = self.mark.iter().map(|mark| format!("-{mark}"));
        self.api()?.user(&mark.fold(username.to_owned(), |name, mark| name + &mark)).await
    }

    /// A native client of `user` at gateway `index`, counted round.
    pub async fn connect(&self, user: &User, index: usize, resume: Resume) -> Result<Client> {
        let urls = &self.gateway_ws_urls;
        let url = urls.get(index % urls.len().max(1)).context("this deployment has no gateway")?;
        Client::connect(url, &user.token, resume).await
    }

    /// A process or server by name: `core-0`, `worker-1`, `gateway-0`, `kafka`, `redis`, `mariadb`; embedded:
    /// `chatcluster`.
    pub fn process(&self, name: &str) -> Result<&Supervised> {
        let names = || self.processes().map(Supervised::name).collect::<Vec<_>>().join(", ");
        self.processes()
            .find(|process| process.name() == name)
            .with_context(|| format!("no process is called {name}, there are: {}", names()))
    }

    /// Every process, the servers included.
    pub fn processes(&self) -> impl Iterator<Item = &Supervised> {
        self.processes.iter().chain(self.servers.iter().flat_map(|servers| servers.processes()))
    }

    /// The servers of a real deployment, e.g. for queries of a checker.
    pub fn servers(&self) -> Option<&Servers> {
        self.servers.as_deref()
    }

    /// Database, prefixes and URLs of a real deployment.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// What authenticates one service of this deployment to another.
    pub fn service_token(&self) -> &str {
        &self.service_token
    }

    /// Where logs and data are.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Runs SQL on the deployment's own database, past the platform. Real deployments only.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let servers = self.servers().context("an embedded deployment has no server to ask")?;
        let namespace = self.namespace().context("no namespace")?;
        servers.mariadb.query(&namespace.database_name, sql).await
    }

    /// Stops everything in an orderly way: gateways first, so that they can still say goodbye, servers last. Servers
    /// that others share stay.
    pub async fn stop(&self) -> Result<()> {
        let kind = |process: &Supervised| process.name().split('-').next().map(str::to_owned);
        let mut first_failure = Ok(());
        // All of a kind together: each may take its whole grace period to drain.
        for group in self.processes.chunk_by(|one, next| kind(one) == kind(next)).rev() {
            for outcome in join_all(group.iter().map(Supervised::stop)).await {
                first_failure = first_failure.and(outcome);
            }
        }
        if let (true, Some(servers)) = (self.owns_servers, &self.servers) {
            first_failure = first_failure.and(servers.stop().await);
        }
        first_failure
    }
}
