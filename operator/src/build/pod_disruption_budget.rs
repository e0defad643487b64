//! One pod of a component at a time may be taken away on purpose. With a single pod there is no budget: it would hold up
//! every drain of a node.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata::{label_selector, object_meta, selector};
use crate::validate::{Component, ValidatedCluster};

pub(super) fn build(cluster: &ValidatedCluster) -> Vec<PodDisruptionBudget> {
    let at_least = [
        (Component::Core, cluster.core.replicas),
        (Component::Worker, cluster.worker.scaling.initial_replicas()),
        (Component::Gateway, cluster.gateway.scaling.initial_replicas()),
    ];
    at_least.into_iter().filter(|(_, pods)| *pods >= 2).map(|(component, _)| budget(cluster, component)).collect()
}

fn budget(cluster: &ValidatedCluster, component: Component) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: object_meta(cluster, cluster.objects.component(component), Some(component)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector(selector(cluster, Some(component.as_str())))),
            // a pod that is not ready anyway must not keep its node from being drained
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
