//! Names, labels and owner of the objects, and the labels by which pods are selected.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::{
    kinds::{CLUSTER_LABEL, COMPONENT_LABEL, MANAGED_BY_LABEL, MANAGER},
    validate::{Component, ObjectName, ValidatedCluster},
};

const NAME_LABEL: &str = "app.kubernetes.io/name";
const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
const PART_OF_LABEL: &str = "app.kubernetes.io/part-of";
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// Name and part-of.
const CHATCLUSTER: &str = "chatcluster";
/// Of the pods that migrate the database, which are none of the three deployments'.
pub(super) const MIGRATION: &str = "migration";
const LONGEST_LABEL_VALUE: usize = 63;

pub type Labels = BTreeMap<String, String>;

/// Metadata of an object of `cluster`; `component` where it belongs to one.
pub fn object_meta(cluster: &ValidatedCluster, name: ObjectName, component: Option<Component>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(cluster.objects.namespace.clone()),
        labels: Some(labels(cluster, component.map(Component::as_str))),
        owner_references: Some(vec![cluster.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Labels of everything that belongs to `cluster`.
pub(super) fn labels(cluster: &ValidatedCluster, component: Option<&str>) -> Labels {
    let mut labels = selector(cluster, component);
    labels.insert(PART_OF_LABEL.to_owned(), CHATCLUSTER.to_owned());
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());
    labels.insert(CLUSTER_LABEL.to_owned(), cluster.objects.cluster.to_string());
    labels
}

/// Adds the version, where it can be a label's value: a tag may be longer, and end otherwise.
pub(super) fn with_version(mut labels: Labels, version: &str) -> Labels {
    let is_end = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    if version.len() <= LONGEST_LABEL_VALUE && is_end(version.chars().next()) && is_end(version.chars().last()) {
        labels.insert(VERSION_LABEL.to_owned(), version.to_owned());
    }
    labels
}

/// What pods are selected by; a Deployment's can never change. `None`: all pods of `cluster`.
pub fn selector(cluster: &ValidatedCluster, component: Option<&str>) -> Labels {
    let mut labels = BTreeMap::from([
        (NAME_LABEL.to_owned(), CHATCLUSTER.to_owned()),
        (INSTANCE_LABEL.to_owned(), cluster.objects.cluster.to_string()),
    ]);
    labels.extend(component.map(|component| (COMPONENT_LABEL.to_owned(), component.to_owned())));
    labels
}

pub(super) fn label_selector(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
