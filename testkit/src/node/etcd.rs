//! etcd: one member, on the loopback of the node's network.

use std::path::Path;

use super::daemon::Daemon;
use super::layout::{ETCD_PORT, inside};

pub(super) fn daemon(program: &Path) -> Daemon {
    let (client, peer) = (format!("http://127.0.0.1:{ETCD_PORT}"), format!("http://127.0.0.1:{}", ETCD_PORT + 1));
    let options = [
        ("name", "one".to_owned()),
        ("data-dir", inside("etcd")),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", format!("one={peer}")),
        ("logger", "zap".to_owned()),
        ("log-outputs", "stderr".to_owned()),
        ("log-level", "warn".to_owned()),
    ];
    Daemon::installed(program, "etcd", &options)
}
