//! What a deployment is made of, and starting it in the order in which the parts need each other.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::platform::{Common, EnvOf, Way};
use super::{Binaries, Deployment};
use crate::install::{self, Progress};
use crate::scratch::ScratchDir;
use crate::servers::{Servers, random_name};

/// The default is real, with one process of each kind on servers of its own.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    embedded: bool,
    cores: usize,
    workers: usize,
    gateways: usize,
    env: Vec<(String, String)>,
    env_of: Vec<EnvOf>,
    ways: Vec<Way>,
    spare_workers: usize,
    servers: Option<Arc<Servers>>,
    state: Option<PathBuf>,
    progress: Progress,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            embedded: false,
            cores: 1,
            workers: 1,
            gateways: 1,
            env: Vec::new(),
            env_of: Vec::new(),
            ways: Vec::new(),
            spare_workers: 0,
            servers: None,
            state: None,
            progress: install::quiet,
        }
    }
}

impl Builder {
    /// One `chatcluster run` process instead.
    pub fn embedded(mut self) -> Self {
        self.embedded = true;
        self
    }

    /// Gateways and workers balance their calls among all of them.
    pub fn cores(mut self, count: usize) -> Self {
        self.cores = count;
        self
    }

    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    pub fn gateways(mut self, count: usize) -> Self {
        self.gateways = count;
        self
    }

    /// A setting for every process of the platform; wins over the testkit's.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A setting for the processes whose names start with `process`, e.g. `gateway` or `core-1`; wins over all others.
    pub fn env_of(mut self, process: &str, key: &str, value: &str) -> Self {
        self.env_of.push((process.to_owned(), (key.to_owned(), value.to_owned())));
        self
    }

    /// What the processes whose names start with `process` would reach on port `from` of 127.0.0.1, they reach on port `to`.
    pub fn through(mut self, process: &str, from: u16, to: u16) -> Self {
        self.ways.push(Way { of: process.to_owned(), from, to });
        self
    }

    /// So many workers more that are not started, e.g. `worker-2` after two that are.
    pub fn spare_workers(mut self, count: usize) -> Self {
        self.spare_workers = count;
        self
    }

    /// Servers that run already; the deployment gets a namespace on them and leaves them running.
    pub fn servers(mut self, servers: Arc<Servers>) -> Self {
        self.servers = Some(servers);
        self
    }

    /// Keeps data and logs in this folder, and takes over what an earlier run left there.
    pub fn state_dir(mut self, folder: PathBuf) -> Self {
        self.state = Some(folder);
        self
    }

    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Starts everything and waits until all of it is ready.
    pub async fn start(self) -> Result<Deployment> {
        let folder = match &self.state {
            Some(folder) => ScratchDir::at(folder)?,
            None => ScratchDir::new("platform")?,
        };
        if self.embedded { self.start_embedded(folder).await } else { self.start_real(folder).await }
    }

    async fn start_embedded(self, folder: ScratchDir) -> Result<Deployment> {
        let binaries = Binaries::locate()?;
        let service_token = random_name(32);
        let common = Common {
            binaries: &binaries,
            logs: folder.path(),
            service_token: &service_token,
            env: &self.env,
            env_of: &self.env_of,
            ways: &self.ways,
        };
        let (process, listen) = common.embedded(&folder.path().join("data")).await?;
        Ok(Deployment {
            processes: vec![process],
            api_bases: vec![format!("http://{listen}")],
            gateway_ws_urls: vec![format!("ws://{listen}/ws")],
            servers: None,
            owns_servers: false,
            namespace: None,
            service_token,
            mark: None,
            folder,
        })
    }

    async fn start_real(self, folder: ScratchDir) -> Result<Deployment> {
        ensure!(self.cores > 0, "a real deployment needs a core");
        let binaries = Binaries::locate()?;
        // Looked up first: a missing binary is better told before the servers have started.
        for name in ["chatcluster", "chatcluster-core", "chatcluster-worker", "chatcluster-gateway"] {
            binaries.path(name)?;
        }
        let owns_servers = self.servers.is_none();
        let (servers, namespace) = if let Some(servers) = &self.servers {
            (Arc::clone(servers), servers.namespace().await?)
        } else {
            (self.progress)("starting Kafka, Redis and MariaDB");
            let servers = Servers::start_with(self.progress, self.state.as_deref()).await?;
            let namespace = servers.whole();
            (Arc::new(servers), namespace)
        };
        let service_token = random_name(32);
        let common = Common {
            binaries: &binaries,
            logs: folder.path(),
            service_token: &service_token,
            env: &self.env,
            env_of: &self.env_of,
            ways: &self.ways,
        };
        (self.progress)("creating the topics");
        common.apply_topics(&namespace).await?;

        (self.progress)("starting core");
        // The first core migrates the database alone, so that a start is the same every time.
        let mut cores = vec![common.core("core-0", &namespace).await?];
        let names: Vec<String> = (1..self.cores).map(|i| format!("core-{i}")).collect();
        cores.extend(try_join_all(names.iter().map(|name| common.core(name, &namespace))).await?);

        (self.progress)("starting workers and gateways");
        let workers = (0..self.workers).map(|i| {
            let (common, namespace, cores) = (&common, &namespace, &cores);
            async move { common.worker(&format!("worker-{i}"), namespace, cores).await }
        });
        let gateways = (0..self.gateways).map(|i| {
            let (common, namespace, cores) = (&common, &namespace, &cores);
            async move { common.gateway(&format!("gateway-{i}"), namespace, cores).await }
        });
        let (workers, gateways) = tokio::try_join!(try_join_all(workers), try_join_all(gateways))?;

        let api_bases = cores.iter().map(|core| core.rest.clone()).collect();
        let gateway_ws_urls = gateways.iter().map(|(_, listen)| format!("ws://{listen}/ws")).collect();
        let spare = self.workers..self.workers + self.spare_workers;
        let spare: Vec<_> =
            spare.map(|i| common.spare_worker(&format!("worker-{i}"), &namespace, &cores)).collect::<Result<_>>()?;
        let mut processes: Vec<_> = cores.into_iter().map(|core| core.process).collect();
        processes.extend(workers);
        processes.extend(spare);
        processes.extend(gateways.into_iter().map(|(process, _)| process));
        Ok(Deployment {
            processes,
            api_bases,
            gateway_ws_urls,
            servers: Some(servers),
            owns_servers,
            namespace: Some(namespace),
            service_token,
            mark: None,
            folder,
        })
    }
}
