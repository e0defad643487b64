//! What the operator says of a `ChatCluster`.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found, and why something is not ready.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ChatClusterStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The version that core, worker and gateway all run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The gateways, for `kubectl get` and `kubectl scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    /// The topics as Kafka has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicStatus>,
    /// Tries to remove topics and streams, while this ChatCluster is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup_attempts: Option<u32>,
    /// One condition for each part, and `Ready` for all of it.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The gateways.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Pods there are.
    pub replicas: i32,
    /// Pods ready, of those wanted: `2/2`.
    pub ready: String,
    /// Labels of the pods, as `kubectl get pods -l` takes them.
    pub selector: String,
}

/// A topic as Kafka has it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// What it is for, as in spec.kafka.topics; with `.dlq` for its dead letters.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Kafka's id of it: another one means that the topic was deleted and created again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its partitions.
    pub partitions: u32,
}

/// One thing that is so or not.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: String,
    /// Why, and what to do about it.
    pub message: String,
    /// When the status changed last.
    pub last_transition_time: String,
    /// The generation of the spec that this was found with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}
