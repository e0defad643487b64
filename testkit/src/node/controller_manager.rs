//! kube-controller-manager, every controller with a service account of its own.

use super::daemon::{Daemon, kubeconfig};
use super::layout::inside;

pub(super) fn daemon() -> Daemon {
    let pki = |name: &str| inside(&format!("pki/{name}"));
    let own = kubeconfig("kube-controller-manager");
    let options = [
        ("kubeconfig", own.clone()),
        ("authentication-kubeconfig", own.clone()),
        ("authorization-kubeconfig", own),
        ("bind-address", "127.0.0.1".into()),
        ("leader-elect", "false".into()),
        ("use-service-account-credentials", "true".into()),
        ("service-account-private-key-file", pki("service-accounts.key")),
        ("root-ca-file", pki("ca.crt")),
        ("cluster-signing-cert-file", pki("ca.crt")),
        ("cluster-signing-key-file", pki("ca.key")),
        // Its dozens of watches begin at once; held back, they would cost seconds at every start.
        ("kube-api-qps", "200".into()),
        ("kube-api-burst", "400".into()),
        // It makes this folder when it is not there.
        ("flex-volume-plugin-dir", inside("plugins")),
        // An autoscaler is to be seen working within a minute, not within the five that suit production.
        ("horizontal-pod-autoscaler-sync-period", "5s".into()),
        ("horizontal-pod-autoscaler-cpu-initialization-period", "20s".into()),
        ("horizontal-pod-autoscaler-initial-readiness-delay", "5s".into()),
    ];
    Daemon::built("components", "kube-controller-manager", &options)
}
