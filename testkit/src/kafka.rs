//! Apache Kafka brokers of the test's own, in `KRaft` mode: each is broker and controller in one process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::install::Installed;
use crate::install::KafkaJars;
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised};
use crate::scratch::ScratchDir;

/// One broker. Killed when dropped.
#[derive(Debug)]
pub struct Kafka {
    process: Supervised,
    port: u16,
    _folder: ScratchDir,
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
    properties: &'a [(&'a str, &'a str)],
}

impl Kafka {
    pub async fn start(installed: &Installed) -> Result<Self> {
        Self::start_with(installed, &[], ScratchDir::new("kafka")?).await
    }

    /// `properties` are further broker properties; they win over those of the testkit. A folder that holds the data of
    /// an earlier run is taken over as it is; the port may be another.
    pub async fn start_with(installed: &Installed, properties: &[(&str, &str)], folder: ScratchDir) -> Result<Self> {
        let (port, controller_port) = (free_port()?, free_port()?);
        let plan = Plan {
            name: "kafka".into(),
            node: 1,
            port,
            controller_port,
            cluster: &random_cluster_id(),
            voters: &format!("1@127.0.0.1:{controller_port}"),
            replicas: 1,
            properties,
        };
        Self::start_planned(installed, plan, folder).await
    }

    async fn start_planned(installed: &Installed, plan: Plan<'_>, folder: ScratchDir) -> Result<Self> {
        let jars = &installed.kafka;
        let config = folder.path().join("server.properties");
        let text = server_properties(&plan, folder.path());
        std::fs::write(&config, text).context("failed to write server.properties")?;
        if !folder.path().join("data/meta.properties").exists() {
            format_storage(jars, plan.cluster, &config).await?;
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
        let process = Supervised::start(spec, probe).await?;
        Ok(Self { process, port, _folder: folder })
    }

    /// `127.0.0.1:port`
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For stop, kill, pause and restart.
    pub fn process(&self) -> &Supervised {
        &self.process
    }
}

/// Several brokers that hold replicas of each other. Killed when dropped.
#[derive(Debug)]
pub struct KafkaCluster {
    brokers: Vec<Kafka>,
}

impl KafkaCluster {
    /// Three or more, so that a majority is left when one dies. `min.insync.replicas` is 2.
    pub async fn start(installed: &Installed, size: u16, properties: &[(&str, &str)]) -> Result<Self> {
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
                properties,
            };
            async { Kafka::start_planned(installed, plan, ScratchDir::new("kafka")?).await }
        });
        Ok(Self { brokers: try_join_all(starts).await? })
    }

    pub fn bootstrap_servers(&self) -> String {
        self.brokers.iter().map(Kafka::bootstrap_servers).collect::<Vec<_>>().join(",")
    }

    pub fn brokers(&self) -> &[Kafka] {
        &self.brokers
    }
}

fn server_properties(plan: &Plan<'_>, folder: &Path) -> String {
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        format!("node.id={}", plan.node),
        format!("controller.quorum.voters={}", plan.voters),
        format!("listeners=PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}", plan.port, plan.controller_port),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{}", plan.port),
        "controller.listener.names=CONTROLLER".to_owned(),
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        format!("log.dirs={}", folder.join("data").display()),
        // Topics are declared by the operator or `chatcluster topics apply`; a typo must not create one.
        "auto.create.topics.enable=false".to_owned(),
        "num.partitions=3".to_owned(),
        format!("default.replication.factor={}", plan.replicas),
        format!("offsets.topic.replication.factor={}", plan.replicas),
        format!("transaction.state.log.replication.factor={}", plan.replicas),
        format!("share.coordinator.state.topic.replication.factor={}", plan.replicas),
        format!("min.insync.replicas={}", plan.replicas.min(2)),
        format!("transaction.state.log.min.isr={}", plan.replicas.min(2)),
        format!("share.coordinator.state.topic.min.isr={}", plan.replicas.min(2)),
        // Fifty partitions of internal topics would cost seconds at every start after a kill.
        "offsets.topic.num.partitions=3".to_owned(),
        "transaction.state.log.num.partitions=3".to_owned(),
        // A test's consumer group has its partitions at once, and loses a killed member within a second.
        "group.initial.rebalance.delay.ms=0".to_owned(),
        "group.min.session.timeout.ms=1000".to_owned(),
        "group.consumer.min.session.timeout.ms=1000".to_owned(),
        "group.consumer.min.heartbeat.interval.ms=200".to_owned(),
        "log.cleaner.enable=false".to_owned(),
    ];
    lines.extend(plan.properties.iter().map(|(key, value)| format!("{key}={value}")));
    lines.join("\n") + "\n"
}

async fn format_storage(jars: &KafkaJars, cluster: &str, config: &Path) -> Result<()> {
    let output = Command::new(&jars.java)
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &jars.class_path(), "kafka.tools.StorageTool", "format"])
        .args(["--cluster-id", cluster, "--config"])
        .arg(config)
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

/// Asks for `ApiVersions` v0 in raw bytes and answers how many APIs the broker offers. A broker answers this only once it
/// has joined its cluster and processes requests.
pub async fn api_versions(port: u16) -> Result<u32> {
    const CORRELATION: i32 = 0x0063_6861;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("failed to connect to Kafka")?;
    let mut request = Vec::new();
    request.extend_from_slice(&18_i16.to_be_bytes()); // the ApiVersions key
    request.extend_from_slice(&0_i16.to_be_bytes()); // its version
    request.extend_from_slice(&CORRELATION.to_be_bytes());
    request.extend_from_slice(&(-1_i16).to_be_bytes()); // no client id
    let length = u32::try_from(request.len()).context("the request is too long")?;
    stream.write_u32(length).await.context("failed to write to Kafka")?;
    stream.write_all(&request).await.context("failed to write to Kafka")?;

    let length = stream.read_u32().await.context("failed to read from Kafka")?;
    let (correlation, error) = (stream.read_i32().await?, stream.read_i16().await?);
    let count = stream.read_u32().await.context("failed to read from Kafka")?;
    ensure!(correlation == CORRELATION, "Kafka answered another request: {correlation}");
    ensure!(error == 0, "Kafka answered ApiVersions with error {error}");
    ensure!(count > 0 && length > count, "Kafka answered an odd list of {count} APIs in {length} bytes");
    Ok(count)
}
