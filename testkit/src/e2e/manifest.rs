//! What is applied: `examples/chatcluster.yaml` with the addresses and passwords that it asks for, on a small node.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::backing::{Backing, Login};
use super::cluster::Cluster;
use super::platform::NAMESPACE;
use crate::images;

/// What the example tells its reader to replace.
const REDIS: &str = "redis://:change-me@redis:6379";
const DATABASE: &str = "mysql://chatcluster:change-me@mysql:3306/chatcluster";
const KAFKA: &str = "kafka:9092";

/// The example's objects, ready to be applied.
pub(crate) async fn manifest(cluster: &Cluster, backing: &Backing, login: &Login, version: &str) -> Result<Value> {
    let path = "examples/chatcluster.yaml";
    let mut text =
        std::fs::read_to_string(path).with_context(|| format!("failed to read {path}: not in the repository?"))?;
    let replacements = [
        (REDIS, backing.redis_url(login)),
        (DATABASE, backing.database_url(login)),
        (KAFKA, backing.kafka.bootstrap_servers()),
    ];
    for (what, with) in replacements {
        ensure!(text.contains(what), "{path} has no {what} any more");
        text = text.replace(what, &with);
    }
    // kubectl reads YAML for us
    let json =
        ["create", "--namespace", NAMESPACE, "--filename=-", "--dry-run=client", "--output=json", "--validate=false"];
    let json = cluster.kubectl_with(&json, &text).await?;
    let mut objects: Vec<Value> = Vec::new();
    for object in serde_json::Deserializer::from_str(&json).into_iter::<Value>() {
        let object = object.context("kubectl wrote no JSON")?;
        match object["items"].as_array() {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(object),
        }
    }
    let chat = objects.iter_mut().find(|object| object["kind"] == "ChatCluster");
    adapt(&mut chat.context("the example has no ChatCluster")?["spec"], version);
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": objects}))
}

/// Our images, and pods that fit on a small machine and leave it quickly.
fn adapt(spec: &mut Value, version: &str) {
    let small = |cpu: &str| json!({"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"memory": "768Mi"}});
    spec["version"] = json!(version);
    spec["image"] = json!({"registry": images::LOCAL_REGISTRY, "pullPolicy": "IfNotPresent"});
    spec["core"] = json!({"replicas": 2, "resources": small("50m")});
    spec["worker"] = json!({"replicas": 1, "resources": small("50m")});
    spec["gateway"] = json!({"replicas": 2, "drainSeconds": 6, "resources": small(super::platform::GATEWAY_CPU)});
}
