//! The kinds of objects that the operator makes, and how they are marked as its own.

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Resource,
    api::ApiResource,
    core::{DynamicObject, GroupVersionKind},
};

/// Field manager of everything the operator applies.
pub const MANAGER: &str = "chatcluster-operator";
/// On every object: which `ChatCluster` it belongs to.
pub const CLUSTER_LABEL: &str = "chatcluster.dev/cluster";
/// On every object: `chatcluster-operator`.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// On the objects of one part: `core`, `worker`, `gateway`.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// A kind of object that the operator makes. In the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    ServiceAccount,
    Secret,
    ConfigMap,
    NetworkPolicy,
    Service,
    Job,
    Deployment,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    Ingress,
    /// Of the Prometheus operator; only where it is installed.
    ServiceMonitor,
    PrometheusRule,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Service,
        Self::Job,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::Ingress,
        Self::ServiceMonitor,
        Self::PrometheusRule,
    ];

    pub fn api(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Ingress => ApiResource::erase::<Ingress>(&()),
            Self::ServiceMonitor => monitoring("ServiceMonitor", "servicemonitors"),
            Self::PrometheusRule => monitoring("PrometheusRule", "prometheusrules"),
        }
    }

    /// Held in memory by a watch. Secrets are not: the operator may read them by name only. Nor is what may be missing.
    pub const fn is_watched(self) -> bool {
        !matches!(self, Self::Secret) && !self.is_optional()
    }

    /// Not part of Kubernetes: may be missing in a cluster.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::ServiceMonitor | Self::PrometheusRule)
    }
}

fn monitoring(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", kind), plural)
}

/// An object as it should be.
#[derive(Debug, Clone)]
pub struct Object {
    pub kind: Kind,
    pub object: DynamicObject,
}

impl Object {
    /// From a typed object. Fails only for types that are no JSON objects, which Kubernetes types are not.
    pub fn new<K: Resource<DynamicType = ()> + serde::Serialize>(kind: Kind, typed: &K) -> serde_json::Result<Self> {
        let mut object: DynamicObject = serde_json::from_value(serde_json::to_value(typed)?)?;
        let api = kind.api();
        object.types = Some(kube::core::TypeMeta { api_version: api.api_version, kind: api.kind });
        Ok(Self { kind, object })
    }

    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }
}
