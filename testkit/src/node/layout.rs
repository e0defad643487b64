//! Where everything of the node is: its addresses, its folders on this machine, and the same folders as its own processes
//! see them, whose paths are short (a UNIX socket's may have 107 bytes) and the same on every machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::install::cache_folder;

/// The node's address: of the API server, of node ports, and of whatever runs beside the node in its network.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
/// This machine's address on the cable to the node.
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
/// The first two bytes of a network that is local in the node's network: a client in there may call from any address of it.
pub const CLIENTS: (u8, u8) = (172, 29);
/// The cable's end on this machine.
pub(super) const CABLE: &str = "chatcluster0";
/// Its other end.
pub(super) const INTERFACE: &str = "eth0";

pub(super) const PODS: &str = "10.244.0.0/16";
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// Of the Service `kubernetes`: the first of [`SERVICES`].
pub(super) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
pub(super) const DOMAIN: &str = "cluster.local";
/// The name of the Node.
pub(super) const NAME: &str = "node";

pub(super) const API_PORT: u16 = 6443;
pub(super) const ETCD_PORT: u16 = 2379;
pub(super) const METRICS_PORT: u16 = 4443;
pub(super) const DNS_READY_PORT: u16 = 8181;

/// The node's state as its own processes see it.
pub(super) const INSIDE: &str = "/run/chatcluster";
/// The folders of programs as the node's processes see them: `api`, `components`, `addons`.
pub(super) const PROGRAMS: &str = "/run/chatcluster-programs";

/// The path of something in the node's state, as the node's processes see it.
pub(super) fn inside(path: &str) -> String {
    format!("{INSIDE}/{path}")
}

/// The folder on this machine that holds all of the node.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    state: PathBuf,
}

impl Layout {
    pub(super) fn new(state: Option<&Path>) -> Result<Self> {
        let state = match (state, std::env::var_os("CHATCLUSTER_NODE_DIR")) {
            (Some(state), _) => state.to_owned(),
            (None, Some(state)) => state.into(),
            (None, None) => cache_folder()?.join("node"),
        };
        let state = std::path::absolute(&state).context("failed to resolve the folder of the node")?;
        // It is removed with all that is in it, and the node's processes have a /run of their own.
        let bad = state.components().count() < 3 || state.starts_with("/run") || state.starts_with("/var/run");
        ensure!(!bad, "{} cannot be the folder of a node", state.display());
        // With the name of containerd's socket; unix(7).
        ensure!(state.as_os_str().len() < 90, "{} is too long a path for a node", state.display());
        Ok(Self { state })
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// Tells a folder of ours from one that somebody named by mistake.
    pub(super) fn marker(&self) -> PathBuf {
        self.path("chatcluster-node")
    }

    pub(super) fn pki(&self, name: &str) -> PathBuf {
        self.path("pki").join(name)
    }

    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path(&format!("{user}.kubeconfig"))
    }

    pub(super) fn log(&self, daemon: &str) -> PathBuf {
        self.path("logs").join(format!("{daemon}.log"))
    }

    pub(super) fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    pub(super) fn kubectl_cache(&self) -> PathBuf {
        self.path("kubectl")
    }

    pub(super) fn helm(&self) -> PathBuf {
        self.path("helm")
    }

    /// Makes the folder and what every part expects in it.
    pub(super) fn create(&self) -> Result<()> {
        if self.state.exists() && !self.marker().exists() {
            let empty = self.state.read_dir().context("failed to read the node's folder")?.next().is_none();
            ensure!(empty, "{} holds something else than a node", self.state.display());
        }
        for folder in
            ["", "logs", "pki", "manifests", "cni", "tmp", "sysctl", "kubelet", "containerd", "pods", "plugins"]
        {
            let path = self.state.join(folder);
            std::fs::create_dir_all(&path).with_context(|| format!("failed to create {}", path.display()))?;
        }
        self.write("chatcluster-node", "Removed as a whole by `testkit cluster down`.\n").map(drop)
    }

    /// Writes a file for the owner only, as many hold keys; answers its path as the node's processes see it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<String> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.path(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(inside(name))
    }
}
