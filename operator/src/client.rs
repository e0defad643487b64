//! The connection to the API server; every request is counted.

use std::time::Duration;

use anyhow::Context;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::util::MapRequestLayer;

use crate::metrics::OperatorMetrics;

/// From the pod's service account, or the kubeconfig of whoever runs this by hand.
pub async fn connect(metrics: &OperatorMetrics) -> anyhow::Result<Client> {
    let config =
        Config::infer().await.context("failed to find a Kubernetes cluster: neither in a pod, nor a kubeconfig")?;
    with_config(config, metrics)
}

pub fn with_config(mut config: Config, metrics: &OperatorMetrics) -> anyhow::Result<Client> {
    config.connect_timeout = Some(Duration::from_secs(5));
    let metrics = metrics.clone();
    let counted = MapRequestLayer::new(move |request: http::Request<Body>| {
        metrics.request(request.method());
        request
    });
    let builder = ClientBuilder::try_from(config).context("failed to set up the connection to the API server")?;
    Ok(builder.with_layer(&counted).build())
}
