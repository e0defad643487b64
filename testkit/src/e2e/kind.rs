//! A cluster of kind, on a machine with Docker: it must be there, and `kubectl` must reach it. This machine's servers are
//! reached at the gateway of kind's Docker network, Services over a route through the cluster's node.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::Sources;
use super::cluster::{At, Cluster};
use crate::install::{self, find_program};
use crate::scratch::ScratchDir;

/// kind's defaults, and a network that nobody uses for the clients.
const SERVICES: &str = "10.96.0.0/16";
const CLIENTS: Sources = Sources(172, 29);

pub(crate) struct Kind {
    name: String,
    gateway: Ipv4Addr,
}

impl Kind {
    /// The cluster of this name.
    pub(crate) async fn cluster(name: &str) -> Result<Cluster> {
        let tools = install::kubernetes_ready(install::quiet).await?;
        let home = ScratchDir::new("kind")?;
        let kubeconfig = home.path().join("kubeconfig");
        let text = run(&["kind", "get", "kubeconfig", "--name", name]).await?;
        std::fs::write(&kubeconfig, text).context("failed to write a kubeconfig")?;
        let networks =
            run(&["docker", "network", "inspect", "kind", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}"]);
        let networks = networks.await?;
        let gateway: Option<Ipv4Addr> = networks.split_whitespace().find_map(|address| address.parse().ok());
        let gateway = gateway.context("the Docker network of kind has no gateway with an IPv4 address")?;
        let node = format!("{name}-control-plane");
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let address = run(&["docker", "inspect", &node, "--format", format]).await?;
        let address = address.split_whitespace().next().context("kind's node has no address")?.to_owned();
        let clients = format!("{}.{}.0.0/16", CLIENTS.0, CLIENTS.1);
        // Services from here, and the way back to the clients
        run(&["sudo", "ip", "route", "replace", SERVICES, "via", &address]).await?;
        run(&["sudo", "ip", "route", "replace", "local", &clients, "dev", "lo"]).await?;
        run(&["docker", "exec", &node, "ip", "route", "replace", &clients, "via", &gateway.to_string()]).await?;
        let kind = Self { name: name.to_owned(), gateway };
        Cluster::at(At::Kind(kind), tools.kubectl, tools.helm, kubeconfig, home).await
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.gateway
    }

    #[expect(clippy::unused_self, reason = "as a node has it")]
    pub(super) fn sources(&self) -> Sources {
        CLIENTS
    }

    pub(super) async fn import(&self, archive: &Path) -> Result<()> {
        run(&["kind", "load", "image-archive", "--name", &self.name, &archive.display().to_string()]).await.map(drop)
    }

    /// Takes the routes away again.
    pub(super) async fn leave(&self) -> Result<()> {
        let clients = format!("{}.{}.0.0/16", CLIENTS.0, CLIENTS.1);
        run(&["sudo", "ip", "route", "del", SERVICES]).await?;
        run(&["sudo", "ip", "route", "del", "local", &clients, "dev", "lo"]).await.map(drop)
    }
}

async fn run(words: &[&str]) -> Result<String> {
    let (program, arguments) = words.split_first().context("no command")?;
    let Some(path) = find_program(program) else { bail!("{program} is not installed") };
    let output = Command::new(path).args(arguments).output().await;
    let output = output.with_context(|| format!("failed to run {program}"))?;
    if !output.status.success() {
        bail!("{} failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
