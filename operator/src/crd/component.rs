//! The three deployments.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GatewayAutoscaling, Quantity, WorkerAutoscaling};

/// Identity, conversations, messages: REST and gRPC.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CoreSpec {
    /// Pods.
    #[serde(default = "CoreSpec::default_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: i32,
    /// CPU and memory of a pod.
    #[serde(default)]
    pub resources: Resources,
    /// Where pods run, and their labels.
    #[serde(default)]
    pub pod: PodSettings,
}

impl CoreSpec {
    fn default_replicas() -> i32 {
        2
    }
}

impl Default for CoreSpec {
    fn default() -> Self {
        Self { replicas: Self::default_replicas(), resources: Resources::default(), pod: PodSettings::default() }
    }
}

/// Fan-out from Kafka to the gateways' streams.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))").message("replicas and autoscaling exclude each other").field_path(".replicas"))]
pub struct WorkerSpec {
    /// Pods; 2 when neither this nor autoscaling is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// Let a HorizontalPodAutoscaler decide how many pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<WorkerAutoscaling>,
    /// CPU and memory of a pod.
    #[serde(default)]
    pub resources: Resources,
    /// Where pods run, and their labels.
    #[serde(default)]
    pub pod: PodSettings,
}

/// Client connections.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))").message("replicas and autoscaling exclude each other").field_path(".replicas"))]
pub struct GatewaySpec {
    /// Pods; 2 when neither this nor autoscaling is given. `kubectl scale chatcluster` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// Let a HorizontalPodAutoscaler decide how many pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<GatewayAutoscaling>,
    /// Seconds over which a pod that ends closes its connections, so that clients do not come back all at once.
    #[serde(default = "GatewaySpec::default_drain")]
    #[schemars(range(min = 1, max = 3600))]
    pub drain_seconds: u32,
    /// Most connections of one pod.
    #[serde(default = "GatewaySpec::default_max_connections")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u32,
    /// Origins that browsers may connect from, exact, such as https://chat.example. None: only the gateway's own host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 255), regex(pattern = r"^https?://[^/,]+$")))]
    pub allowed_origins: Vec<String>,
    /// How the Service of the gateways is offered.
    #[serde(default)]
    pub service: Service,
    /// Offer gateways and core's REST under one host by an Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// CPU and memory of a pod.
    #[serde(default)]
    pub resources: Resources,
    /// Where pods run, and their labels.
    #[serde(default)]
    pub pod: PodSettings,
}

impl GatewaySpec {
    fn default_drain() -> u32 {
        30
    }
    fn default_max_connections() -> u32 {
        100_000
    }
}

impl Default for GatewaySpec {
    fn default() -> Self {
        Self {
            replicas: None,
            autoscaling: None,
            drain_seconds: Self::default_drain(),
            max_connections: Self::default_max_connections(),
            allowed_origins: Vec::new(),
            service: Service::default(),
            ingress: None,
            resources: Resources::default(),
            pod: PodSettings::default(),
        }
    }
}

/// How a Service is offered.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Kind of Service.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations of the Service, for the load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 8192}))]
    pub annotations: BTreeMap<String, String>,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// One host for gateways and core's REST.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Host name, such as chat.example.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub host: String,
    /// IngressClass; default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Secret (kubernetes.io/tls) with the host's certificate. Without it the Ingress speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress, for its controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 8192}))]
    pub annotations: BTreeMap<String, String>,
}

/// CPU and memory of a pod. What is left out has a default.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the pod is sure to get.
    #[serde(default)]
    pub requests: ResourceList,
    /// What the pod may use at most.
    #[serde(default)]
    pub limits: ResourceList,
}

/// Amounts of CPU and memory.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceList {
    /// CPU, such as 500m or 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, such as 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// Where pods run, and their labels.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// Further labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub labels: BTreeMap<String, String>,
    /// Further annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 8192}))]
    pub annotations: BTreeMap<String, String>,
    /// Labels that nodes must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// A taint that pods tolerate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; none: every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 316))]
    pub key: Option<String>,
    /// Equal or Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^(Equal|Exists)$"))]
    pub operator: Option<String>,
    /// Value of the taint, with Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// NoSchedule, PreferNoSchedule or NoExecute; none: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^(NoSchedule|PreferNoSchedule|NoExecute)$"))]
    pub effect: Option<String>,
    /// How long a NoExecute taint is tolerated, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}
