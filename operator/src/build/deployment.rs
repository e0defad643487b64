//! The Deployments. Pods are replaced one by one (gateways by quarters), a new one first.

use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    metadata::{label_selector, object_meta, selector, with_version},
    pod_template,
};
use crate::validate::{Component, Scaling, ValidatedCluster};

const KEPT_REVISIONS: i32 = 3;
/// After so long without progress a rollout counts as stuck.
const PROGRESS_SECONDS: i32 = 600;

pub(super) fn core(cluster: &ValidatedCluster, version: &str) -> Deployment {
    build(cluster, Component::Core, version, Some(cluster.core.replicas), IntOrString::Int(1))
}

pub(super) fn worker(cluster: &ValidatedCluster, version: &str) -> Deployment {
    build(cluster, Component::Worker, version, replicas(&cluster.worker.scaling), IntOrString::Int(1))
}

pub(super) fn gateway(cluster: &ValidatedCluster, version: &str) -> Deployment {
    let surge = IntOrString::String("25%".to_owned());
    build(cluster, Component::Gateway, version, replicas(&cluster.gateway.scaling), surge)
}

/// Left out where an autoscaler owns the number.
fn replicas(scaling: &Scaling) -> Option<i32> {
    match scaling {
        Scaling::Fixed(replicas) => Some(*replicas),
        Scaling::Auto(_) => None,
    }
}

fn build(
    cluster: &ValidatedCluster,
    component: Component,
    version: &str,
    replicas: Option<i32>,
    surge: IntOrString,
) -> Deployment {
    let mut metadata = object_meta(cluster, cluster.objects.component(component), Some(component));
    metadata.labels = metadata.labels.map(|labels| with_version(labels, version));
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas,
            revision_history_limit: Some(KEPT_REVISIONS),
            progress_deadline_seconds: Some(PROGRESS_SECONDS),
            selector: label_selector(selector(cluster, Some(component.as_str()))),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(surge),
                }),
            }),
            template: pod_template::build(cluster, component, version),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}
