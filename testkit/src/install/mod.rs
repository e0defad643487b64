//! Makes sure that the servers are on this machine: Debian packages through apt-get, Kafka's jars through Maven,
//! Kubernetes' programs through Go. Services are never started by the packages; the testkit starts its own, on its own
//! ports and data.
//!
//! All functions block; callers in async code use [`ready`] and [`kubernetes_ready`].

mod debian;
mod go;
mod go_module;
mod kubernetes;
mod lock;
mod maven;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

pub use debian::{Package, find_program};
pub use kubernetes::{KubernetesTools, NodeTools};
pub use maven::Jars;

/// Told one line per step that takes a noticeable time.
pub type Progress = fn(&str);

/// Progress for tests: installation is visible in the captured output only.
pub fn quiet(line: &str) {
    eprintln!("testkit: {line}");
}

/// Compiled in, so that an installed `testkit` binary works without the source tree.
const KAFKA: &str = include_str!("../../servers/kafka/pom.xml");
const CONNECT: &str = include_str!("../../servers/connect/pom.xml");
const DEBEZIUM: &str = include_str!("../../servers/debezium/pom.xml");

/// Where the three servers are.
#[derive(Clone, Debug)]
pub struct Installed {
    pub kafka: Jars,
    pub redis_server: PathBuf,
    pub mariadbd: PathBuf,
    pub mariadb_install_db: PathBuf,
    /// The command-line client, used for administration and for the checkers' queries.
    pub mariadb: PathBuf,
}

/// Everything that `make test` needs: the servers, Kubernetes, and what building the platform needs.
pub fn everything(progress: Progress) -> Result<(Installed, KubernetesTools)> {
    debian::ensure(&[debian::BUILD], progress)?;
    Ok((servers(progress)?, kubernetes(progress)?))
}

/// The three servers. Cheap when they are there.
pub fn servers(progress: Progress) -> Result<Installed> {
    debian::ensure(&[debian::REDIS, debian::MARIADB, debian::JAVA, debian::MAVEN], progress)?;
    Ok(Installed {
        kafka: maven::ensure("kafka", KAFKA, progress)?,
        redis_server: debian::program("redis-server")?,
        mariadbd: debian::program("mariadbd")?,
        mariadb_install_db: debian::program("mariadb-install-db")?,
        mariadb: debian::program("mariadb")?,
    })
}

/// The library that, loaded before all others, tells a process another time than it is.
pub async fn faketime(progress: Progress) -> Result<PathBuf> {
    let install = move || debian::ensure(&[debian::FAKETIME], progress);
    tokio::task::spawn_blocking(install).await.context("the installer panicked")??;
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    let library = PathBuf::from(library);
    ensure!(library.exists(), "{} is missing although its package is installed", library.display());
    Ok(library)
}

/// [`servers`] for async code.
pub async fn ready(progress: Progress) -> Result<Installed> {
    tokio::task::spawn_blocking(move || servers(progress)).await.context("the installer panicked")?
}

/// Kafka Connect and Debezium's connector for MariaDB, which a few tests compare with.
pub async fn connect_ready(progress: Progress) -> Result<(Jars, Jars)> {
    let install = move || {
        debian::ensure(&[debian::JAVA, debian::MAVEN], progress)?;
        let connector = maven::ensure("debezium", DEBEZIUM, progress)?;
        Ok((maven::ensure("connect", CONNECT, progress)?, connector))
    };
    tokio::task::spawn_blocking(install).await.context("the installer panicked")?
}

/// An API server with its etcd, kubectl and helm. Apart from the others, so that a test without Kubernetes does not
/// wait minutes for them.
pub fn kubernetes(progress: Progress) -> Result<KubernetesTools> {
    debian::ensure(&[debian::ETCD], progress)?;
    kubernetes::ensure(progress)
}

/// [`kubernetes`](kubernetes()) for async code.
pub async fn kubernetes_ready(progress: Progress) -> Result<KubernetesTools> {
    tokio::task::spawn_blocking(move || kubernetes(progress)).await.context("the installer panicked")?
}

/// What a whole node is made of, see [`crate::node`].
const NODE: [debian::Package; 6] =
    [debian::ETCD, debian::CONTAINERD, debian::CNI, debian::IPTABLES, debian::IPROUTE, debian::UTIL_LINUX];

/// Everything of a whole node: containerd and its network plugins, Kubernetes' six programs, DNS and metrics.
pub fn node(progress: Progress) -> Result<NodeTools> {
    debian::ensure(&NODE, progress)?;
    kubernetes::ensure_node(progress)
}

/// Whether [`node`] could work here; if not, why.
pub(crate) fn node_can_be_had() -> Result<()> {
    let missing = debian::missing(&NODE);
    ensure!(debian::can_install() || missing.is_empty(), "missing: {} (Debian package names)", missing.join(" "));
    kubernetes::check_node()
}

/// `CHATCLUSTER_CACHE`, else `~/.cache/chatcluster`.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let folder = match std::env::var_os("CHATCLUSTER_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir().context("no home folder: set CHATCLUSTER_CACHE")?.join(".cache/chatcluster"),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    Ok(folder)
}
