//! Who is who in the cluster: two authorities, a certificate for every component, and the key that signs the tokens of
//! service accounts. Made once and kept for the life of the node's folder.

use anyhow::{Context, Result};

use super::layout::{ADDRESS, API_SERVICE, DOMAIN, Layout, NAME};
use super::{dns, metrics};
use crate::certificates::{Authority, signing_key};

/// Its members may do everything.
const ADMINISTRATORS: &str = "system:masters";

/// Users with a kubeconfig, which is called like their certificate.
pub(super) const USERS: [&str; 7] =
    ["admin", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "metrics-server"];

/// Written after all the others.
const COMPLETE: &str = "complete";

/// Makes them unless they are there.
pub(super) fn ensure(layout: &Layout) -> Result<()> {
    if layout.pki(COMPLETE).exists() {
        return Ok(());
    }
    let write = |name: &str, text: &str| layout.write(&format!("pki/{name}"), text).map(drop);
    let (authority, front_proxy) = (Authority::new()?, Authority::new()?);
    write("ca.crt", &authority.pem())?;
    write("ca.key", &authority.key())?;
    write("front-proxy-ca.crt", &front_proxy.pem())?;
    let api_names = [
        ADDRESS.to_string(),
        API_SERVICE.to_string(),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{DOMAIN}"),
    ];
    let node = format!("system:node:{NAME}");
    let issue = |authority: &Authority, file: &str, user: &str, group: Option<&str>, names: &[String]| -> Result<()> {
        let identity = authority.issue_to(user, group, names).with_context(|| format!("for {file}"))?;
        write(&format!("{file}.crt"), &identity.certificate)?;
        write(&format!("{file}.key"), &identity.key)
    };
    issue(&authority, "kube-apiserver", "kube-apiserver", None, &api_names)?;
    let to_kubelets = "kube-apiserver-kubelet-client";
    issue(&authority, to_kubelets, to_kubelets, Some(ADMINISTRATORS), &[])?;
    issue(&authority, "kubelet", &node, Some("system:nodes"), &[ADDRESS.to_string(), NAME.to_owned()])?;
    for component in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        issue(&authority, component, &format!("system:{component}"), None, &[])?;
    }
    issue(&authority, "coredns", dns::USER, None, &[])?;
    let names = [metrics::SERVICE_NAME.to_owned(), ADDRESS.to_string()];
    issue(&authority, "metrics-server", metrics::USER, None, &names)?;
    issue(&authority, "admin", "admin", Some(ADMINISTRATORS), &[])?;
    issue(&front_proxy, "front-proxy-client", "front-proxy-client", None, &[])?;
    let (private, public) = signing_key()?;
    write("service-accounts.key", &private)?;
    write("service-accounts.pub", &public)?;
    write(COMPLETE, "")
}
