//! The Kubernetes cluster that everything runs on: the testkit's own node, or one of kind. The same few things are
//! asked of both.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Sources;
use super::kind::Kind;
use crate::Node;
use crate::node;
use crate::scratch::ScratchDir;

pub(crate) struct Cluster {
    pub(super) at: At,
    kubectl: PathBuf,
    helm: PathBuf,
    kubeconfig: PathBuf,
    client: kube::Client,
    /// What kubectl and helm remember.
    home: ScratchDir,
}

pub(crate) enum At {
    Node(Box<Node>),
    Kind(Kind),
}

impl Cluster {
    pub(crate) async fn of_node(node: Node) -> Result<Self> {
        let (kubectl, helm) = (node.tools().api.kubectl.clone(), node.tools().api.helm.clone());
        let kubeconfig = node.kubeconfig();
        Self::at(At::Node(Box::new(node)), kubectl, helm, kubeconfig, ScratchDir::new("kubectl")?).await
    }

    pub(super) async fn at(
        at: At,
        kubectl: PathBuf,
        helm: PathBuf,
        kubeconfig: PathBuf,
        home: ScratchDir,
    ) -> Result<Self> {
        let read = Kubeconfig::read_from(&kubeconfig).context("failed to read the kubeconfig")?;
        let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let client = kube::Client::try_from(config.context("the kubeconfig is of no use")?)?;
        Ok(Self { at, kubectl, helm, kubeconfig, client, home })
    }

    /// What the cluster's pods reach this machine's servers by.
    pub(crate) fn address(&self) -> Ipv4Addr {
        match &self.at {
            At::Node(node) => node.address(),
            At::Kind(kind) => kind.address(),
        }
    }

    /// Where clients on this machine may call from.
    pub(crate) fn sources(&self) -> Sources {
        match &self.at {
            At::Node(_) => Sources(node::CLIENTS.0, node::CLIENTS.1),
            At::Kind(kind) => kind.sources(),
        }
    }

    /// Gives the cluster the images of an archive.
    pub(crate) async fn import(&self, archive: &Path) -> Result<()> {
        match &self.at {
            At::Node(node) => node.import(archive).await,
            At::Kind(kind) => kind.import(archive).await,
        }
    }

    /// Runs kubectl and answers its standard output.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, "").await
    }

    /// [`Cluster::kubectl`] with this text as its standard input.
    pub(crate) async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.kubectl);
        command.arg("--cache-dir").arg(self.home.path().join("kubectl"));
        self.run(command, "kubectl", arguments, input).await
    }

    /// Runs helm and answers its standard output.
    pub(crate) async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.helm);
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(folder, self.home.path());
        }
        self.run(command, "helm", arguments, "").await
    }

    async fn run(&self, mut command: Command, name: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        // an error here is the program's end, and its own words say more about that
        let feed = async {
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output.with_context(|| format!("failed to wait for {name}"))?;
        if !output.status.success() {
            bail!("{name} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// An object or a list, by its path in the API; `None` when there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>> {
        let request = http::Request::get(path).body(Vec::new()).context("no path of the API")?;
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read {path}")),
        }
    }

    /// The items of a list.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut list = self.get(path).await?.with_context(|| format!("{path} is no list"))?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            other => bail!("{path} has no items: {other}"),
        }
    }
}
