//! The autoscalers: on CPU, and on a component's own measure of load where the cluster serves it.

use k8s_openapi::{
    api::autoscaling::v2::{
        CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
        HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec, MetricTarget,
        PodsMetricSource, ResourceMetricSource,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{Capabilities, metadata::object_meta};
use crate::validate::{Autoscaling, Component, Scaling, ValidatedCluster};

/// Client connections of a gateway.
const CONNECTIONS: &str = "chatcluster_gateway_connections";
/// Records that wait for a worker.
const LAG: &str = "chatcluster_worker_consumer_lag_records";

pub(super) fn build(cluster: &ValidatedCluster, capabilities: Capabilities) -> Vec<HorizontalPodAutoscaler> {
    let one = |component, scaling: &Scaling, metric, calm| {
        scaling
            .autoscaling()
            .map(|auto| autoscaler(cluster, component, auto, metric, calm, capabilities.custom_metrics))
    };
    [
        one(Component::Worker, &cluster.worker.scaling, LAG, calm(300, 50, "Percent")),
        one(Component::Gateway, &cluster.gateway.scaling, CONNECTIONS, calm(600, 1, "Pods")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Down slowly: a gateway that goes sends its clients elsewhere, a worker that goes stops all others for a moment.
fn calm(quiet_seconds: i32, value: i32, of: &str) -> HorizontalPodAutoscalerBehavior {
    HorizontalPodAutoscalerBehavior {
        scale_down: Some(HPAScalingRules {
            stabilization_window_seconds: Some(quiet_seconds),
            policies: Some(vec![HPAScalingPolicy { period_seconds: 60, type_: of.to_owned(), value }]),
            ..HPAScalingRules::default()
        }),
        scale_up: None,
    }
}

fn autoscaler(
    cluster: &ValidatedCluster,
    component: Component,
    auto: &Autoscaling,
    metric: &str,
    calm: HorizontalPodAutoscalerBehavior,
    custom_metrics: bool,
) -> HorizontalPodAutoscaler {
    let per_pod = auto.per_pod.as_ref().filter(|_| custom_metrics).map(|target| MetricSpec {
        type_: "Pods".to_owned(),
        pods: Some(PodsMetricSource {
            metric: MetricIdentifier { name: metric.to_owned(), selector: None },
            target: MetricTarget {
                type_: "AverageValue".to_owned(),
                average_value: Some(Quantity(target.to_string())),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    });
    let cpu = MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: "cpu".to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(auto.cpu),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    HorizontalPodAutoscaler {
        metadata: object_meta(cluster, cluster.objects.component(component), Some(component)),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: cluster.objects.component(component).into(),
            },
            min_replicas: Some(auto.min),
            max_replicas: auto.max,
            metrics: Some([cpu].into_iter().chain(per_pod).collect()),
            behavior: Some(auto.behavior.clone().unwrap_or(calm)),
        }),
        status: None,
    }
}
