//! One pod of a component at a time may be taken away on purpose. A component of a single pod for good has no budget; one
//! that an autoscaler may take to one pod has: one of one may go too, so that no drain of a node waits.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata::{label_selector, object_meta, selector};
use crate::validate::{Component, ValidatedCluster};

pub(super) fn build(cluster: &ValidatedCluster) -> Vec<PodDisruptionBudget> {
    let at_most = [
        (Component::Core, cluster.core.replicas),
        (Component::Worker, cluster.worker.scaling.most_replicas()),
        (Component::Gateway, cluster.gateway.scaling.most_replicas()),
    ];
    at_most.into_iter().filter(|(_, pods)| *pods >= 2).map(|(component, _)| budget(cluster, component)).collect()
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
