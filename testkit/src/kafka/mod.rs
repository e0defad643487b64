//! Apache Kafka brokers of the test's own, in `KRaft` mode: each is broker and controller in one process. Open on its
//! plain listener; further listeners are for what comes through a proxy, and for users with passwords and ACLs.

mod properties;
mod security;
mod wire;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use rand::RngExt;
use tokio::process::Command;

pub use self::security::KafkaUser;
use self::security::Secured;
pub use self::wire::{Operation, Resource, api_versions};

use crate::faults::SmallDisk;
use crate::install::Installed;
use crate::install::Jars;
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised};
use crate::scratch::ScratchDir;

/// One broker. Killed when dropped.
#[derive(Debug)]
pub struct Kafka {
    process: Supervised,
    port: u16,
    behind_proxy: Option<BehindProxy>,
    secured: Option<Secured>,
    folder: ScratchDir,
}

/// How to run one broker. The default is open and alone.
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    /// Further broker properties; they win over those of the testkit.
    pub properties: Vec<(String, String)>,
    /// The port of a [`crate::faults::TcpProxy`]: clients that come in by [`Kafka::proxied_port`] are told to come back
    /// by this one, so that all they say goes through the proxy.
    pub advertised_port: Option<u16>,
    /// Who may log in on the secured listener; with anybody here there is one, and ACLs count.
    pub users: Vec<KafkaUser>,
}

/// A second plain listener, which says that it is somewhere else.
#[derive(Clone, Copy, Debug)]
struct BehindProxy {
    port: u16,
    advertised_port: u16,
}

/// What distinguishes one broker from the next.
#[derive(Debug)]
struct Plan<'a> {
    name: String,
    node: u16,
    port: u16,
    controller_port: u16,
    cluster: &'a str,
    /// `1@host:port,...`, the same for every broker of a cluster.
    voters: &'a str,
    /// How many brokers hold a partition of Kafka's own topics.
    replicas: usize,
    /// Where clients find it, when that is not 127.0.0.1.
    host: Option<Ipv4Addr>,
    behind_proxy: Option<BehindProxy>,
    secured: Option<&'a Secured>,
    properties: &'a [(&'a str, &'a str)],
}

impl Kafka {
    pub async fn start(installed: &Installed) -> Result<Self> {
        Self::start_with(installed, &[], ScratchDir::new("kafka")?).await
    }

    /// `properties` are further broker properties; they win over those of the testkit. A folder that holds the data of
    /// an earlier run is taken over as it is; the port may be another.
    pub async fn start_with(installed: &Installed, properties: &[(&str, &str)], folder: ScratchDir) -> Result<Self> {
        let properties = properties.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self::start_as(installed, KafkaOptions { properties, ..KafkaOptions::default() }, folder).await
    }

    /// A broker with further listeners. As to the folder see [`Kafka::start_with`]; users are made with the folder.
    pub async fn start_as(installed: &Installed, options: KafkaOptions, folder: ScratchDir) -> Result<Self> {
        let (port, controller_port) = (free_port()?, free_port()?);
        let secured = match options.users.as_slice() {
            [] => None,
            users => Some(Secured::prepare(users, folder.path())?),
        };
        let behind_proxy = match options.advertised_port {
            Some(advertised_port) => Some(BehindProxy { port: free_port()?, advertised_port }),
            None => None,
        };
        let properties: Vec<(&str, &str)> = options.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let plan = Plan {
            name: "kafka".into(),
            node: 1,
            port,
            controller_port,
            cluster: &random_cluster_id(),
            voters: &format!("1@127.0.0.1:{controller_port}"),
            replicas: 1,
            host: None,
            behind_proxy,
            secured: secured.as_ref(),
            properties: &properties,
        };
        let process = Self::start_planned(installed, plan, &folder).await?;
        Ok(Self { process, port, behind_proxy, secured, folder })
    }

    async fn start_planned(installed: &Installed, plan: Plan<'_>, folder: &ScratchDir) -> Result<Supervised> {
        let jars = &installed.kafka;
        let config = folder.path().join("server.properties");
        let text = properties::server_properties(&plan, folder.path());
        std::fs::write(&config, text).context("failed to write server.properties")?;
        if !folder.path().join("data/meta.properties").exists() {
            format_storage(jars, &plan, &config).await?;
        }
        let mut args: Vec<String> = ["-Xmx512m", "-Xms256m", "-XX:+ExitOnOutOfMemoryError"].map(str::to_owned).into();
        args.extend(["-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(), "-cp".to_owned(), jars.class_path()]);
        args.extend(["kafka.Kafka".to_owned(), config.display().to_string()]);
        let spec = Spec {
            name: plan.name,
            program: jars.java.clone(),
            args,
            env: Vec::new(),
            log: folder.path().join("kafka.log"),
            ready_within: Duration::from_mins(1),
        };
        let port = plan.port;
        let probe: Probe = Arc::new(move || async move { api_versions(port).await.map(drop) }.boxed());
        Supervised::start(spec, probe).await
    }

    /// `127.0.0.1:port`
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where a proxy is to forward to; see [`KafkaOptions::advertised_port`].
    pub fn proxied_port(&self) -> Result<u16> {
        self.behind_proxy.map(|behind| behind.port).context("Kafka was started without an advertised port")
    }

    /// `127.0.0.1:port` of the listener that wants SASL over TLS.
    pub fn secured_bootstrap_servers(&self) -> Result<String> {
        self.secured().map(|secured| format!("127.0.0.1:{}", secured.port))
    }

    /// Who signed the certificate of the secured listener, PEM.
    pub fn authority(&self) -> Result<String> {
        self.secured().map(|secured| secured.authority.pem())
    }

    /// [`Kafka::authority`] as a file.
    pub fn authority_file(&self) -> Result<&Path> {
        self.secured().map(|secured| secured.authority_file.as_path())
    }

    /// Lets a user of the secured listener do these things.
    pub async fn allow(&self, user: &str, allowed: &[(Resource<'_>, Operation)]) -> Result<()> {
        self.secured()?;
        wire::create_acls(self.port, user, allowed).await
    }

    fn secured(&self) -> Result<&Secured> {
        self.secured.as_ref().context("Kafka was started without users")
    }

    /// For stop, kill, pause and restart.
    pub fn process(&self) -> &Supervised {
        &self.process
    }

    /// Its own disk, if it has one.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.folder.disk()
    }
}

/// Several brokers that hold replicas of each other. Killed when dropped.
#[derive(Debug)]
pub struct KafkaCluster {
    brokers: Vec<Kafka>,
    host: Option<Ipv4Addr>,
}

impl KafkaCluster {
    /// Three or more, so that a majority is left when one dies. `min.insync.replicas` is 2.
    pub async fn start(installed: &Installed, size: u16, properties: &[(&str, &str)]) -> Result<Self> {
        Self::start_at(installed, None, size, properties).await
    }

    /// The same on all addresses of this machine; clients are told to come to `host`.
    pub async fn start_at(
        installed: &Installed,
        host: Option<Ipv4Addr>,
        size: u16,
        properties: &[(&str, &str)],
    ) -> Result<Self> {
        ensure!(size >= 3, "a Kafka cluster needs three brokers to survive the loss of one");
        let cluster = random_cluster_id();
        let mut nodes = Vec::new();
        for node in 1..=size {
            nodes.push((node, free_port()?, free_port()?));
        }
        let voters: Vec<String> = nodes.iter().map(|(node, _, port)| format!("{node}@127.0.0.1:{port}")).collect();
        let voters = voters.join(",");
        // Together: no broker serves before a majority of the voters is there.
        let starts = nodes.iter().map(|&(node, port, controller_port)| {
            let plan = Plan {
                name: format!("kafka-{node}"),
                node,
                port,
                controller_port,
                cluster: &cluster,
                voters: &voters,
                replicas: 3,
                host,
                behind_proxy: None,
                secured: None,
                properties,
            };
            async move {
                let folder = ScratchDir::new("kafka")?;
                let process = Kafka::start_planned(installed, plan, &folder).await?;
                anyhow::Ok(Kafka { process, port, behind_proxy: None, secured: None, folder })
            }
        });
        Ok(Self { brokers: try_join_all(starts).await?, host })
    }

    pub fn bootstrap_servers(&self) -> String {
        let host = self.host.unwrap_or(Ipv4Addr::LOCALHOST);
        self.brokers.iter().map(|broker| format!("{host}:{}", broker.port)).collect::<Vec<_>>().join(",")
    }

    pub fn brokers(&self) -> &[Kafka] {
        &self.brokers
    }

    pub fn into_brokers(self) -> Vec<Kafka> {
        self.brokers
    }
}

async fn format_storage(jars: &Jars, plan: &Plan<'_>, config: &Path) -> Result<()> {
    let output = Command::new(&jars.java)
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &jars.class_path(), "kafka.tools.StorageTool", "format"])
        .args(["--cluster-id", plan.cluster, "--config"])
        .arg(config)
        .args(plan.secured.map(Secured::format_options).unwrap_or_default())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run Kafka's storage tool")?;
    if !output.status.success() {
        bail!("failed to format Kafka's data folder:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// 16 bytes in URL-safe base64 without padding, as Kafka writes ids. A minus at the start would look like an option, and
/// the last character holds four bits only.
fn random_cluster_id() -> String {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rng = rand::rng();
    (0..21).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).chain(['A']).collect()
}
