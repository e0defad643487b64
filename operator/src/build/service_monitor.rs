//! What Prometheus scrapes: every component, by the port that all of their Services call `http`.

use kube::core::DynamicObject;
use serde_json::json;

use super::{
    metadata::{Labels, object_meta, selector},
    pod_template::HTTP,
};
use crate::{
    kinds::{CLUSTER_LABEL, COMPONENT_LABEL, Kind, Object},
    validate::ValidatedCluster,
};

pub(super) fn build(cluster: &ValidatedCluster, labels: &Labels) -> Object {
    let spec = json!({
        "selector": {"matchLabels": selector(cluster, None)},
        "endpoints": [{"port": HTTP, "path": "/metrics", "interval": "30s"}],
        // Prometheus spells them chatcluster_dev_cluster and app_kubernetes_io_component
        "targetLabels": [CLUSTER_LABEL, COMPONENT_LABEL],
    });
    object(cluster, Kind::ServiceMonitor, labels, &spec)
}

/// An object of the Prometheus operator, with the labels by which it is found besides ours.
pub(super) fn object(cluster: &ValidatedCluster, kind: Kind, labels: &Labels, spec: &serde_json::Value) -> Object {
    let api = kind.api();
    let name = cluster.objects.whole();
    let mut object = DynamicObject::new(name.as_str(), &api).data(json!({"spec": spec}));
    object.metadata = object_meta(cluster, name, None);
    let ours = object.metadata.labels.take().unwrap_or_default();
    object.metadata.labels = Some(labels.clone().into_iter().chain(ours).collect());
    Object { kind, object }
}
