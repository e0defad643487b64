//! The alerts as an object of the Prometheus operator.

use serde_json::json;

use super::{alerts, metadata::Labels, service_monitor::object};
use crate::{
    kinds::{Kind, Object},
    validate::ValidatedCluster,
};

pub(super) fn build(cluster: &ValidatedCluster, labels: &Labels) -> Object {
    let rules: Vec<_> = alerts::of(cluster)
        .into_iter()
        .map(|alert| {
            json!({
                "alert": alert.name,
                "expr": alert.expression,
                "for": alert.lasts,
                "labels": {"severity": alert.severity, "chatcluster": cluster.objects.cluster.as_str()},
                "annotations": {"summary": alert.summary, "description": alert.what_to_do},
            })
        })
        .collect();
    let name = format!("chatcluster-{}", cluster.objects.cluster);
    object(cluster, Kind::PrometheusRule, labels, &json!({"groups": [{"name": name, "rules": rules}]}))
}
