//! One real Kubernetes node on this machine, without a container engine: etcd, the API server with its controllers and
//! scheduler, containerd, kubelet, kube-proxy, DNS and metrics, all in namespaces of their own (network, mounts, process
//! ids), so that ending one process ends all of it.
//!
//! ```no_run
//! # async fn demo() -> anyhow::Result<()> {
//! use chatcluster_testkit::{Node, install, node};
//!
//! let node = Node::up(&node::Options::default(), install::quiet).await?; // seconds; minutes the first time
//! node.enter()?; // from here on in the node's network: pods and Services are reachable, and pods reach our children
//! node.import("target/images/chatcluster-0.1.0.tar".as_ref()).await?;
//! node.helm(&["install", "chatcluster", "charts/chatcluster"]).await?;
//! println!("{}", node.kubectl(&["get", "pods", "--all-namespaces"]).await?);
//! node.down().await?;
//! # Ok(()) }
//! ```
//!
//! Rooms: [`layout`] says where everything is, [`check`] whether this machine can, one file a component says how it is
//! run ([`etcd`], [`api_server`], [`controller_manager`], [`scheduler`], [`containerd`], [`kubelet`], [`proxy`], [`dns`],
//! [`metrics`]), [`supervisor`] is process 1 in there, [`start`] and [`stop`] are `up` and `down`.

mod api_server;
mod certificates;
mod cgroups;
mod check;
mod containerd;
mod controller_manager;
mod daemon;
mod dns;
mod enter;
mod etcd;
mod images;
mod kubeconfig;
mod kubelet;
mod layout;
mod metrics;
mod mounts;
mod network;
mod proxy;
mod record;
mod scheduler;
mod start;
mod status;
mod stop;
mod supervisor;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use self::check::check;
pub use self::layout::{ADDRESS, CLIENTS};
pub use self::status::{Component, Status};
pub(crate) use self::supervisor::supervise;

use self::layout::Layout;
use self::record::Record;
use crate::install::{self, NodeTools, Progress};
use crate::kubernetes::kubectl;

/// How to run the node.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where everything of the node is kept; by default `CHATCLUSTER_NODE_DIR`, else `node` in the cache folder.
    pub state: Option<PathBuf>,
}

/// A running node. It goes on running when this value is dropped.
#[derive(Clone, Debug)]
pub struct Node {
    layout: Layout,
    tools: NodeTools,
    record: Record,
}

impl Node {
    /// Starts the node, or what is missing of it, and waits until pods run, names resolve and metrics are served. Cheap
    /// when it runs already.
    pub async fn up(options: &Options, progress: Progress) -> Result<Self> {
        start::up(Layout::new(options.state.as_deref())?, progress).await
    }

    /// The node that runs.
    pub async fn running(options: &Options) -> Result<Self> {
        let layout = Layout::new(options.state.as_deref())?;
        let Some(record) = Record::read(&layout)?.filter(Record::is_alive) else {
            bail!("no node is running: make cluster");
        };
        let tools = tokio::task::spawn_blocking(|| install::node(install::quiet)).await;
        Ok(Self { layout, tools: tools.context("the installer panicked")??, record })
    }

    /// Ends the node, if there is one, and removes every trace of it: processes, mounts, interfaces, cgroups, files. What
    /// was built or fetched for it stays in the cache.
    pub async fn remove(options: &Options, progress: Progress) -> Result<()> {
        stop::down(&Layout::new(options.state.as_deref())?, progress).await
    }

    /// [`Node::remove`] of this one.
    pub async fn down(self) -> Result<()> {
        stop::down(&self.layout, install::quiet).await
    }

    /// A file for `KUBECONFIG`, of a user who may do everything. Works inside and outside of the node's network.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig("admin")
    }

    /// The node's own address. What listens there, or on all addresses, within the node's network (see [`Node::enter`])
    /// is reachable from pods.
    pub fn address(&self) -> Ipv4Addr {
        ADDRESS
    }

    /// The folder with state, logs and kubeconfigs.
    pub fn folder(&self) -> &Path {
        self.layout.state()
    }

    /// Where kubectl and helm are.
    pub fn tools(&self) -> &NodeTools {
        &self.tools
    }

    /// Goes on in the node's network. The program is executed again there, from its start and with the same arguments, so
    /// call this before anything else is started; it is a no-op in there. Children inherit the network.
    pub fn enter(&self) -> Result<()> {
        enter::enter(&self.record)
    }

    /// A command that runs in the node's network; the program and its arguments are to be added. For a program that cannot
    /// [`Node::enter`].
    pub fn command(&self) -> std::process::Command {
        enter::command(&self.record)
    }

    /// The process id of the node's first process: `nsenter --net=/proc/PID/ns/net` goes into its network.
    pub fn pid(&self) -> u32 {
        self.record.init.pid()
    }

    /// What runs, by component.
    pub async fn status(&self) -> Result<Status> {
        status::status(&self.layout, &self.record).await
    }

    /// Gives the node the images of an archive, as `docker save` or `testkit images` write it. Pods name them with
    /// `imagePullPolicy: IfNotPresent` or `Never`.
    pub async fn import(&self, archive: &Path) -> Result<()> {
        images::import(&self.layout, &self.tools, archive).await
    }

    /// Runs kubectl as a user who may do everything, and answers its standard output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, "").await
    }

    /// [`Node::kubectl`] with this text as its standard input.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        kubectl::run(&self.tools.api.kubectl, &self.kubeconfig(), &self.layout.kubectl_cache(), arguments, input).await
    }

    /// `kubectl apply` of these manifests.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.kubectl_with(&["apply", "-f", "-"], manifests).await
    }

    /// Runs helm as a user who may do everything, and answers its standard output.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(&self.tools.api.helm);
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(folder, self.layout.helm());
        }
        command.env("KUBECONFIG", self.kubeconfig()).env("NO_PROXY", ADDRESS.to_string()).args(arguments);
        let output = command.kill_on_drop(true).output().await.context("failed to run helm")?;
        if !output.status.success() {
            bail!("helm {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A client that may do everything. It belongs to the runtime it was made in.
    pub async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.kubeconfig()).await
    }
}
