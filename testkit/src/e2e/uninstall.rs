//! The end: the `ChatCluster` is deleted, then the chart. Nothing of either is left in Kubernetes; the topics are, since the
//! policy says so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::platform::{DEFINITION, NAME, NAMESPACE, Platform, SYSTEM};
use crate::await_condition;

/// Pods have their drain, and the garbage collector its pace.
const GONE_WITHIN: Duration = Duration::from_mins(2);
/// What every namespace has.
const USUAL: [&str; 2] = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
/// The two Secrets that were applied with the `ChatCluster` are their owner's.
const APPLIED: [&str; 2] = ["secret/chat-database", "secret/chat-redis"];
const REPLICAS: usize = 3;

pub(super) async fn run(platform: &Platform) -> Result<Vec<(&'static str, f64)>> {
    let start = Instant::now();
    let cluster = &platform.cluster;
    let before = topics(platform).await?;
    let told = platform.chat().await?["status"]["topics"].as_array().map_or(0, Vec::len);
    ensure!(told > 0 && before.len() == told, "there are {} topics, the status names {told}", before.len());
    for (topic, replicas) in &before {
        ensure!(*replicas == REPLICAS, "{topic} has {replicas} replicas");
    }
    cluster.kubectl(&["delete", "chatcluster", NAME, "--namespace", NAMESPACE, "--timeout=30s"]).await?;
    nothing_left_in(platform, NAMESPACE, &[&USUAL[..], &APPLIED].concat()).await?;
    platform.uninstall_operator().await?;
    nothing_left_in(platform, SYSTEM, &USUAL).await?;
    let of_release = "--selector=app.kubernetes.io/name=chatcluster-operator";
    let roles = cluster.kubectl(&["get", "clusterroles,clusterrolebindings", of_release, "--output=name"]).await?;
    ensure!(roles.trim().is_empty(), "left behind: {}", roles.trim());
    // kept on purpose: with it would go every ChatCluster
    cluster.kubectl(&["get", "customresourcedefinition", DEFINITION]).await.context("the definition is gone")?;
    cluster.kubectl(&["delete", "customresourcedefinition", DEFINITION, "--timeout=30s"]).await?;
    for namespace in [NAMESPACE, SYSTEM] {
        cluster.kubectl(&["delete", "namespace", namespace, "--timeout=60s"]).await?;
    }
    ensure!(topics(platform).await? == before, "topics were removed, although the policy is Retain");
    Ok(vec![("uninstalled, s", start.elapsed().as_secs_f64()), ("topics kept", before.len() as f64)])
}

async fn nothing_left_in(platform: &Platform, namespace: &str, usual: &[&str]) -> Result<()> {
    let kinds = platform.cluster.kubectl(&["api-resources", "--verbs=list", "--namespaced", "--output=name"]).await?;
    // events tell what was; metrics are no objects
    let transient = ["events", "pods.metrics.k8s.io"];
    let kinds = kinds.lines().filter(|kind| !transient.iter().any(|other| kind.starts_with(other)));
    let kinds = kinds.collect::<Vec<_>>().join(",");
    await_condition(&format!("nothing to be left in {namespace}"), GONE_WITHIN, || async {
        let arguments = ["get", &kinds, "--namespace", namespace, "--output=name", "--ignore-not-found"];
        let left = platform.cluster.kubectl(&arguments).await?;
        let left: Vec<&str> = left.lines().filter(|object| !usual.contains(object)).collect();
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        bail!("{}", left.join(" "))
    })
    .await
}

/// Topics that are not Kafka's own, and how many brokers hold each partition.
async fn topics(platform: &Platform) -> Result<Vec<(String, usize)>> {
    let servers = platform.backing.kafka.bootstrap_servers();
    let read = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", servers).create().context("failed to make a consumer")?;
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).context("Kafka does not answer")?;
        let ours = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        let replicas = |topic: &rdkafka::metadata::MetadataTopic| {
            topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or_default()
        };
        let mut topics: Vec<_> = ours.map(|topic| (topic.name().to_owned(), replicas(topic))).collect();
        topics.sort();
        anyhow::Ok(topics)
    });
    read.await.context("reading the topics panicked")?
}
