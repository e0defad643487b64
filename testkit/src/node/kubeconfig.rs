//! Kubeconfigs with everything in them, so that one file is enough wherever it is carried.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use super::certificates::USERS;
use super::layout::{ADDRESS, API_PORT, Layout};

/// Writes one for every user.
pub(super) fn write(layout: &Layout) -> Result<()> {
    let encoded = |name: String| -> Result<String> {
        let bytes = std::fs::read(layout.pki(&name)).with_context(|| format!("failed to read {name}"))?;
        Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
    };
    let authority = encoded("ca.crt".to_owned())?;
    for user in USERS {
        let certificate = encoded(format!("{user}.crt"))?;
        let key = encoded(format!("{user}.key"))?;
        let cluster =
            json!({"server": format!("https://{ADDRESS}:{API_PORT}"), "certificate-authority-data": authority});
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "chatcluster", "cluster": cluster}],
            "users": [{"name": user, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
            "contexts": [{"name": "chatcluster", "context": {"cluster": "chatcluster", "user": user}}],
            "current-context": "chatcluster",
        });
        layout.write(&format!("{user}.kubeconfig"), &document.to_string())?;
    }
    Ok(())
}

pub(super) async fn client(path: &Path) -> Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(path).context("failed to read the kubeconfig")?;
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.context("an odd kubeconfig")?;
    // The node is on this machine.
    config.proxy_url = None;
    kube::Client::try_from(config).context("failed to make a client")
}
