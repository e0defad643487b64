//! kube-apiserver: certificates for everybody, RBAC and the node authoriser, the aggregation layer for metrics.

use super::daemon::Daemon;
use super::layout::{ADDRESS, API_PORT, DOMAIN, ETCD_PORT, SERVICES, inside};

pub(super) fn daemon() -> Daemon {
    let pki = |name: &str| inside(&format!("pki/{name}"));
    let options = [
        ("etcd-servers", format!("http://127.0.0.1:{ETCD_PORT}")),
        ("advertise-address", ADDRESS.to_string()),
        ("secure-port", API_PORT.to_string()),
        ("tls-cert-file", pki("kube-apiserver.crt")),
        ("tls-private-key-file", pki("kube-apiserver.key")),
        ("client-ca-file", pki("ca.crt")),
        ("authorization-mode", "Node,RBAC".into()),
        ("enable-admission-plugins", "NodeRestriction".into()),
        ("allow-privileged", "true".into()),
        ("service-account-issuer", format!("https://kubernetes.default.svc.{DOMAIN}")),
        ("service-account-signing-key-file", pki("service-accounts.key")),
        ("service-account-key-file", pki("service-accounts.pub")),
        ("service-cluster-ip-range", SERVICES.into()),
        // To kubelets, for logs and exec; the node's name does not resolve.
        ("kubelet-certificate-authority", pki("ca.crt")),
        ("kubelet-client-certificate", pki("kube-apiserver-kubelet-client.crt")),
        ("kubelet-client-key", pki("kube-apiserver-kubelet-client.key")),
        ("kubelet-preferred-address-types", "InternalIP".into()),
        // To aggregated APIs, which is metrics-server.
        ("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        ("requestheader-allowed-names", "front-proxy-client".into()),
        ("requestheader-username-headers", "X-Remote-User".into()),
        ("requestheader-group-headers", "X-Remote-Group".into()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".into()),
        ("proxy-client-cert-file", pki("front-proxy-client.crt")),
        ("proxy-client-key-file", pki("front-proxy-client.key")),
        ("enable-aggregator-routing", "true".into()),
        // It needs etcd 3.4.31, which Debian 12 does not have; left on, even a plain watch from version 0 is an error.
        ("feature-gates", "WatchList=false".into()),
    ];
    Daemon::built("api", "kube-apiserver", &options)
}
