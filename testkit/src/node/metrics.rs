//! metrics-server beside the pods: what `kubectl top` and autoscalers read. The API server finds it through a Service
//! without a selector.

use anyhow::{Context, Result};
use base64::Engine;
use serde_json::{Value, json};

use super::daemon::{Daemon, kubeconfig};
use super::layout::{ADDRESS, Layout, METRICS_PORT, inside};

/// The user in its certificate.
pub(super) const USER: &str = "system:metrics-server";
/// The name that the API server expects in its certificate.
pub(super) const SERVICE_NAME: &str = "metrics-server.kube-system.svc";

pub(super) fn daemon() -> Daemon {
    let pki = |name: &str| inside(&format!("pki/{name}"));
    let own = kubeconfig("metrics-server");
    let options = [
        ("kubeconfig", own.clone()),
        ("authentication-kubeconfig", own.clone()),
        ("authorization-kubeconfig", own),
        ("bind-address", ADDRESS.to_string()),
        ("secure-port", METRICS_PORT.to_string()),
        ("tls-cert-file", pki("metrics-server.crt")),
        ("tls-private-key-file", pki("metrics-server.key")),
        ("kubelet-certificate-authority", pki("ca.crt")),
        ("kubelet-preferred-address-types", "InternalIP".into()),
        // The shortest that it takes.
        ("metric-resolution", "10s".into()),
        ("kubelet-request-timeout", "5s".into()),
    ];
    Daemon::built("addons", "metrics-server", &options)
}

/// Where it is, for the API server, and what it may read.
pub(super) fn manifests() -> Vec<Value> {
    let named = |name: &str| json!({"name": name, "namespace": "kube-system"});
    let group = "rbac.authorization.k8s.io";
    let subject = json!([{"apiGroup": group, "kind": "User", "name": USER}]);
    let binding = |name: &str, role: &str| {
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role}, "subjects": subject,
        })
    };
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": named("metrics-server"),
            "spec": {"ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": METRICS_PORT}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "metrics-server", "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "metrics-server"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": METRICS_PORT, "protocol": "TCP"}],
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": USER},
            "rules": [
                {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
            ],
        }),
        binding(USER, USER),
        binding("metrics-server:system:auth-delegator", "system:auth-delegator"),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": named("metrics-server-auth-reader"),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "extension-apiserver-authentication-reader"},
            "subjects": subject,
        }),
        // For people and for the autoscaler of a chart: who may view pods may view what they use.
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole",
            "metadata": {
                "name": "system:aggregated-metrics-reader",
                "labels": {
                    "rbac.authorization.k8s.io/aggregate-to-view": "true",
                    "rbac.authorization.k8s.io/aggregate-to-edit": "true",
                    "rbac.authorization.k8s.io/aggregate-to-admin": "true",
                },
            },
            "rules": [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}],
        }),
    ]
}

/// The API that it serves.
pub(super) fn api(layout: &Layout) -> Result<Value> {
    let authority = std::fs::read(layout.pki("ca.crt")).context("failed to read the authority's certificate")?;
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
    Ok(json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "caBundle": bundle,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "metrics-server", "namespace": "kube-system"},
        },
    }))
}
