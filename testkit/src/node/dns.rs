//! `CoreDNS` on the node's address: names of Services and pods, and nothing of the world outside.

use anyhow::Result;
use serde_json::{Value, json};

use super::daemon::{Daemon, kubeconfig};
use super::layout::{ADDRESS, DNS_READY_PORT, DOMAIN, Layout};

/// The user in its certificate.
pub(super) const USER: &str = "system:coredns";

pub(super) fn daemon(layout: &Layout) -> Result<Daemon> {
    let own = kubeconfig("coredns");
    // Names that nobody knows do not exist, which a resolver hears at once; without the second block they would fail.
    let text = format!(
        "{DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {ADDRESS}
    errors
    ready {ADDRESS}:{DNS_READY_PORT}
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {own}
        pods insecure
        ttl 5
    }}
}}
.:53 {{
    bind {ADDRESS}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"
    );
    let config = layout.write("Corefile", &text)?;
    let mut daemon = Daemon::built::<String>("addons", "coredns", &[]);
    daemon.arguments = vec!["-conf".into(), config];
    Ok(daemon)
}

/// What it may read.
pub(super) fn manifests() -> Vec<Value> {
    let rules = json!([
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces", "nodes"], "verbs": ["list", "watch", "get"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]);
    let group = "rbac.authorization.k8s.io";
    vec![
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": USER}, "rules": rules,
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": USER},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": USER},
            "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
        }),
    ]
}
