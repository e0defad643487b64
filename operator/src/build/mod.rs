//! The objects that a `ChatCluster` should have. Pure: the same input makes the same objects. One file a resource.
//!
//! `settings` says what each process is told, `pod_template` what all pods have in common; [`metadata`] marks every
//! object as one of ours.

mod alerts;
mod config_map;
mod deployment;
mod gateway_settings;
mod horizontal_pod_autoscaler;
mod ingress;
pub mod metadata;
pub mod migration_job;
mod network_policy;
mod pod_disruption_budget;
mod pod_template;
mod prometheus_rule;
mod secret_settings;
mod service;
mod service_account;
mod service_monitor;
mod settings;

use crate::{
    kinds::{Kind, Object},
    rollout::Versions,
    validate::{Component, ValidatedCluster},
};

/// What this Kubernetes cluster can do beyond the plain API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// An adapter serves metrics of pods (`custom.metrics.k8s.io`). An autoscaler on a metric that nobody serves never
    /// scales in.
    pub custom_metrics: bool,
    /// The kinds of the Prometheus operator.
    pub service_monitor: bool,
    pub prometheus_rule: bool,
}

/// Every object of `cluster`, in the order of [`Kind`], besides the Secret, whose content is made once. Fails only when
/// an object cannot be written as JSON.
pub fn build(
    cluster: &ValidatedCluster,
    versions: &Versions,
    capabilities: &Capabilities,
) -> serde_json::Result<Vec<Object>> {
    let mut objects = Vec::new();
    for component in Component::ALL {
        objects.push(Object::new(Kind::ServiceAccount, &service_account::build(cluster, component))?);
    }
    for component in Component::ALL {
        objects.push(Object::new(Kind::ConfigMap, &config_map::build(cluster, component))?);
    }
    for policy in network_policy::build(cluster) {
        objects.push(Object::new(Kind::NetworkPolicy, &policy)?);
    }
    for service in service::build(cluster) {
        objects.push(Object::new(Kind::Service, &service)?);
    }
    objects.push(Object::new(Kind::Job, &migration_job::build(cluster, &versions.migrate))?);
    for deployment in [
        deployment::core(cluster, &versions.core),
        deployment::worker(cluster, &versions.worker),
        deployment::gateway(cluster, &versions.gateway),
    ] {
        objects.push(Object::new(Kind::Deployment, &deployment)?);
    }
    for autoscaler in horizontal_pod_autoscaler::build(cluster, *capabilities) {
        objects.push(Object::new(Kind::HorizontalPodAutoscaler, &autoscaler)?);
    }
    for budget in pod_disruption_budget::build(cluster) {
        objects.push(Object::new(Kind::PodDisruptionBudget, &budget)?);
    }
    if let Some(ingress) = ingress::build(cluster) {
        objects.push(Object::new(Kind::Ingress, &ingress)?);
    }
    if let Some(labels) = &cluster.monitoring {
        if capabilities.service_monitor {
            objects.push(service_monitor::build(cluster, labels));
        }
        if capabilities.prometheus_rule {
            objects.push(prometheus_rule::build(cluster, labels));
        }
    }
    Ok(objects)
}
