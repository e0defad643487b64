//! kubelet: runs pods with containerd, and lets the API server read their logs and enter them.

use anyhow::Result;
use serde_json::json;

use super::cgroups::CGROUP;
use super::daemon::{Daemon, kubeconfig};
use super::layout::{ADDRESS, DOMAIN, Layout, NAME, inside};
use super::{containerd, mounts};

pub(super) fn daemon(layout: &Layout) -> Result<Daemon> {
    let pki = |name: &str| inside(&format!("pki/{name}"));
    let resolver = format!("nameserver {ADDRESS}\n");
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true, "cacheTTL": "2m"},
            "x509": {"clientCAFile": pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki("kubelet.crt"),
        "tlsPrivateKeyFile": pki("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket()),
        "clusterDNS": [ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": layout.write("resolv.conf", &resolver)?,
        "volumePluginDir": inside("plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{CGROUP}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        // A developer's disk is nearly full, and no image can be pulled again.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    });
    let options = [
        ("config", layout.write("kubelet.json", &config.to_string())?),
        ("kubeconfig", kubeconfig("kubelet")),
        ("root-dir", mounts::KUBELET.into()),
        ("cert-dir", inside("pki")),
        ("node-ip", ADDRESS.to_string()),
        ("hostname-override", NAME.into()),
        ("node-labels", "topology.kubernetes.io/zone=local".into()),
    ];
    Ok(Daemon::built("components", "kubelet", &options))
}
