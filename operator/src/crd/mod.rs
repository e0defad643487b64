//! The custom resource `ChatCluster`: what people write, with its documentation, defaults, bounds and rules. The file
//! `crds/chatcluster.dev_chatclusters.yaml` is generated from here.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]
#![allow(unreachable_pub, reason = "KubeSchema repeats every type where nobody else reaches it")]

mod autoscaling;
mod component;
mod connections;
mod definition;
mod fanout;
mod gateway;
mod gateway_limits;
mod kafka;
mod quantity;
mod secret_ref;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    autoscaling::{GatewayAutoscaling, WorkerAutoscaling},
    component::{CoreSpec, PodSettings, ResourceList, Resources, Toleration, WorkerSpec},
    connections::{DatabaseSpec, OutboxRelay, OutboxSpec, RedisMode, RedisSpec},
    definition::definition,
    fanout::FanoutSpec,
    gateway::{GatewaySpec, Ingress, Service, ServiceType, SessionAffinity, SockJs, Stomp},
    gateway_limits::GatewayLimits,
    kafka::{KafkaSpec, KafkaTls, SaslMechanism, TopicSpec, TopicsSpec},
    quantity::Quantity,
    secret_ref::{SecretKeyRef, SecretRef},
    status::{ChatClusterStatus, Condition, ConditionStatus, GatewayStatus, TopicStatus},
};

/// Longest name of a `ChatCluster`: the names of its objects add a suffix, and a Service's name has 63 characters.
pub const MAX_NAME: usize = 40;

/// A messaging platform: its Kafka topics, Redis stream consumer groups and the core, worker and gateway deployments.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "chatcluster.dev",
    version = "v1alpha1",
    kind = "ChatCluster",
    plural = "chatclusters",
    shortname = "cc",
    category = "all",
    namespaced,
    status = "ChatClusterStatus",
    derive = "PartialEq",
    doc = "A messaging platform: its Kafka topics, Redis stream consumer groups and the core, worker and gateway deployments.",
    scale(
        spec_replicas_path = ".spec.gateway.replicas",
        status_replicas_path = ".status.gateway.replicas",
        label_selector_path = ".status.gateway.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Does everything work?"),
    printcolumn(name = "Gateways", type_ = "string", json_path = ".status.gateway.ready", description = "Gateway pods ready, of those wanted"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "Version that is rolled out"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready or not", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40").message("metadata.name has at most 40 characters: the names of the objects add to it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name starts with a letter and has lower-case letters, digits and hyphens only: Services are named after it"),
)]
#[serde(rename_all = "camelCase")]
pub struct ChatClusterSpec {
    /// Version of the core, worker and gateway images (their tag). Changing it starts an upgrade: migration, core,
    /// worker, gateway, each when the one before is done.
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub version: String,

    /// Where the images come from.
    #[serde(default)]
    pub image: ImageSpec,

    /// The Kafka cluster and the topics on it.
    pub kafka: KafkaSpec,

    /// The Redis that carries events to the gateways.
    pub redis: RedisSpec,

    /// The MySQL or MariaDB database: the record of everything.
    pub database: DatabaseSpec,

    /// The table by which committed events reach Kafka.
    #[serde(default)]
    pub outbox: OutboxSpec,

    /// By which road events reach the gateways.
    #[serde(default)]
    pub fanout: FanoutSpec,

    /// Whose tokens are accepted.
    #[serde(default)]
    pub auth: AuthSpec,

    /// Identity, conversations, messages: REST and gRPC.
    #[serde(default)]
    pub core: CoreSpec,

    /// Fan-out from Kafka to the gateways' streams.
    #[serde(default)]
    pub worker: WorkerSpec,

    /// Client connections.
    #[serde(default)]
    pub gateway: GatewaySpec,

    /// Which pods may talk to which.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,

    /// For Prometheus, where its operator is installed.
    #[serde(default)]
    pub monitoring: MonitoringSpec,

    /// What core, worker and gateway log.
    #[serde(default)]
    pub logging: LoggingSpec,

    /// What happens to topics and streams when this ChatCluster is deleted. Retain: they stay, and deletion waits for
    /// nothing. Delete: they are removed, within bounds; see the annotation chatcluster.dev/skip-cleanup.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Leave everything as it is: nothing is created, changed or removed, while the status goes on.
    #[serde(default)]
    pub paused: bool,
}

/// Where the images come from: `{registry}/chatcluster-core:{version}` and so on.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Registry and path in front of the images' names.
    #[serde(default = "ImageSpec::default_registry")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-z0-9]+([._:/-][a-z0-9]+)*$"))]
    pub registry: String,
    /// When nodes pull.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// Secrets to pull with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pull_secrets: Vec<SecretRef>,
}

impl ImageSpec {
    fn default_registry() -> String {
        "ghcr.io/chatcluster".to_owned()
    }
}

impl Default for ImageSpec {
    fn default() -> Self {
        Self { registry: Self::default_registry(), pull_policy: PullPolicy::default(), pull_secrets: Vec::new() }
    }
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    #[default]
    IfNotPresent,
    Always,
    Never,
}

/// Whose tokens are accepted. Without anything here core alone issues tokens, with a key that the operator makes once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// Key sets (URLs) of outside issuers whose tokens are accepted, each as `issuer=url` or as `url`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512), regex(pattern = r"^([^=,]+=)?https?://[^,]+$")))]
    pub jwks: Vec<String>,
    /// Accepted issuers of tokens whose key set names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 255), regex(pattern = r"^[^,]+$")))]
    pub issuers: Vec<String>,
    /// Audience that tokens must name.
    #[serde(default = "AuthSpec::default_audience")]
    #[schemars(length(min = 1, max = 255))]
    pub audience: String,
    /// Ed25519 key (PKCS#8 PEM) that signs core's own tokens. Default: made by the operator, kept in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_secret_ref: Option<SecretKeyRef>,
    /// Secret by which core, worker and gateway know each other. Default: made by the operator, kept in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_token_secret_ref: Option<SecretKeyRef>,
}

impl AuthSpec {
    fn default_audience() -> String {
        "chatcluster".to_owned()
    }
}

impl Default for AuthSpec {
    fn default() -> Self {
        Self {
            jwks: Vec::new(),
            issuers: Vec::new(),
            audience: Self::default_audience(),
            signing_key_secret_ref: None,
            service_token_secret_ref: None,
        }
    }
}

/// Which pods may talk to which.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Deny everything but the edges that are needed. The network plug-in must enforce it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// For Prometheus, where its operator is installed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringSpec {
    /// Make a ServiceMonitor and a PrometheusRule when the cluster knows these kinds.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Further labels of both, for the Prometheus that selects by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub labels: BTreeMap<String, String>,
}

impl Default for MonitoringSpec {
    fn default() -> Self {
        Self { enabled: true, labels: BTreeMap::new() }
    }
}

/// What core, worker and gateway log and trace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoggingSpec {
    /// Least level, or a filter such as `info,chatcluster_core=debug`.
    #[serde(default = "LoggingSpec::default_level")]
    #[schemars(length(min = 1, max = 255))]
    pub level: String,
    /// OTLP collector (gRPC) for traces, such as http://otel-collector:4317.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255), regex(pattern = r"^https?://.+$"))]
    pub otlp_endpoint: Option<String>,
}

impl LoggingSpec {
    fn default_level() -> String {
        "info".to_owned()
    }
}

impl Default for LoggingSpec {
    fn default() -> Self {
        Self { level: Self::default_level(), otlp_endpoint: None }
    }
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}

fn yes() -> bool {
    true
}
