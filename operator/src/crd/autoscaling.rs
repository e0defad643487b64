//! When pods are added and removed.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Between which numbers gateways are scaled, and by what.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas must not exceed maxReplicas").field_path(".minReplicas"))]
pub struct GatewayAutoscaling {
    /// Pods at least.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Pods at most.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Connections of a pod, on average. Needs an adapter that serves the metric chatcluster_gateway_connections as a
    /// custom metric of pods; left out of the autoscaler while the cluster has no custom metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub target_connections_per_pod: Option<i64>,
    /// CPU used, percent of the request.
    #[serde(default = "default_cpu", rename = "targetCPUUtilization")]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization: i32,
    /// How fast to scale; as in a HorizontalPodAutoscaler. Default: one pod a minute down, after ten quiet minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "behavior")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// Between which numbers workers are scaled, and by what.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas must not exceed maxReplicas").field_path(".minReplicas"))]
pub struct WorkerAutoscaling {
    /// Pods at least.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Pods at most. More pods than the topic of messages has partitions have nothing to do.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// CPU used, percent of the request.
    #[serde(default = "default_cpu", rename = "targetCPUUtilization")]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization: i32,
    /// Records that wait per pod, on average. Needs an adapter that serves the metric
    /// chatcluster_worker_consumer_lag_records as a custom metric of pods; left out of the autoscaler while the cluster has no custom metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub target_lag_per_pod: Option<i64>,
    /// How fast to scale; as in a HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "behavior")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

fn default_cpu() -> i32 {
    70
}

/// The schema of `behavior` in a HorizontalPodAutoscaler, with bounds.
fn behavior(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let rules = serde_json::json!({
        "type": "object",
        "properties": {
            "stabilizationWindowSeconds": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 3600},
            "selectPolicy": {"type": "string", "enum": ["Max", "Min", "Disabled"]},
            "policies": {
                "type": "array",
                "maxItems": 8,
                "items": {
                    "type": "object",
                    "required": ["type", "value", "periodSeconds"],
                    "properties": {
                        "type": {"type": "string", "enum": ["Pods", "Percent"]},
                        "value": {"type": "integer", "format": "int32", "minimum": 1},
                        "periodSeconds": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 1800},
                    },
                },
            },
        },
    });
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {"scaleUp": rules, "scaleDown": rules},
    })
}
