//! kube-scheduler, as it comes.

use super::daemon::{Daemon, kubeconfig};

pub(super) fn daemon() -> Daemon {
    let own = kubeconfig("kube-scheduler");
    let options = [
        ("kubeconfig", own.clone()),
        ("authentication-kubeconfig", own.clone()),
        ("authorization-kubeconfig", own),
        ("bind-address", "127.0.0.1".into()),
        ("leader-elect", "false".into()),
    ];
    Daemon::built("components", "kube-scheduler", &options)
}
