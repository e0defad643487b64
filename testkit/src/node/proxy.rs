//! kube-proxy in iptables mode: Services of the node's network. Its rules live and die with that network.

use super::daemon::{Daemon, kubeconfig};
use super::layout::NAME;

pub(super) fn daemon() -> Daemon {
    // No --cluster-cidr: with it, calls to a ClusterIP from beside the pods would all come from the node's address, and
    // the platform could not tell its clients apart.
    let options = [
        ("kubeconfig", kubeconfig("kube-proxy")),
        ("proxy-mode", "iptables".into()),
        ("hostname-override", NAME.into()),
        // The table's size is the machine's, and not ours to set.
        ("conntrack-max-per-core", "0".into()),
    ];
    Daemon::built("components", "kube-proxy", &options)
}
