//! Makes sure that the servers are on this machine: Debian packages through apt-get, Kafka's jars through Maven,
//! Kubernetes' programs through Go. Services are never started by the packages; the testkit starts its own, on its own
//! ports and data.
//!
//! All functions block; callers in async code use [`ready`] and [`kubernetes_ready`].

mod debian;
mod go;
mod kafka;
mod kubernetes;
mod lock;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub use debian::{Package, find_program};
pub use kafka::KafkaJars;
pub use kubernetes::KubernetesTools;

/// Told one line per step that takes a noticeable time.
pub type Progress = fn(&str);

/// Progress for tests: installation is visible in the captured output only.
pub fn quiet(line: &str) {
    eprintln!("testkit: {line}");
}

/// Where the three servers are.
#[derive(Clone, Debug)]
pub struct Installed {
    pub kafka: KafkaJars,
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
        kafka: kafka::ensure(progress)?,
        redis_server: debian::program("redis-server")?,
        mariadbd: debian::program("mariadbd")?,
        mariadb_install_db: debian::program("mariadb-install-db")?,
        mariadb: debian::program("mariadb")?,
    })
}

/// [`servers`] for async code.
pub async fn ready(progress: Progress) -> Result<Installed> {
    tokio::task::spawn_blocking(move || servers(progress)).await.context("the installer panicked")?
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

/// `CHATCLUSTER_CACHE`, else `~/.cache/chatcluster`.
fn cache_folder() -> Result<PathBuf> {
    let folder = match std::env::var_os("CHATCLUSTER_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir().context("no home folder: set CHATCLUSTER_CACHE")?.join(".cache/chatcluster"),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    Ok(folder)
}
