//! The settings of a component as the file that its `--config` reads.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{metadata::object_meta, settings};
use crate::validate::{Component, ValidatedCluster};

pub(super) const FILE: &str = "config.yaml";

pub(super) fn build(cluster: &ValidatedCluster, component: Component) -> ConfigMap {
    ConfigMap {
        metadata: object_meta(cluster, cluster.objects.component(component), Some(component)),
        data: Some(BTreeMap::from([(FILE.to_owned(), text(cluster, component))])),
        ..ConfigMap::default()
    }
}

/// One setting a line; its value in JSON, which is YAML too.
pub(super) fn text(cluster: &ValidatedCluster, component: Component) -> String {
    let lines = settings::of(cluster, component).into_iter().map(|(name, value)| format!("{name}: {value}\n"));
    lines.collect::<Vec<_>>().concat()
}
