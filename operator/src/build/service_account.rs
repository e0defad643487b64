//! A `ServiceAccount` for each component, without rights and without a token: processes of ours do not talk to Kubernetes.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata::object_meta;
use crate::validate::{Component, ValidatedCluster};

pub(super) fn build(cluster: &ValidatedCluster, component: Component) -> ServiceAccount {
    ServiceAccount {
        metadata: object_meta(cluster, cluster.objects.component(component), Some(component)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
