//! What an operator of the platform sees.

use crate::{Deployment, Resume, WAIT};
use anyhow::{Result, ensure};

use super::participant::group;

pub async fn every_service_shows_health_and_figures(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let client = deployment.connect(&users[0], 0, Resume::None).await?;
    client.send_and_ack(&conversation, "m1", "hello", WAIT).await?;
    client.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
    let http = reqwest::Client::new();
    let gateway = deployment.gateway_ws_urls()[0].replace("ws://", "http://").replace("/ws", "");
    for base in [deployment.api_bases()[0].clone(), gateway] {
        ensure!(http.get(format!("{base}/healthz")).send().await?.status() == 200, "{base}/healthz");
        let ready = http.get(format!("{base}/readyz")).send().await?;
        ensure!(ready.status() == 200, "{base}/readyz: {}", ready.text().await?);
        let metrics = http.get(format!("{base}/metrics")).send().await?.text().await?;
        ensure!(metrics.contains("chatcluster_dependency_up") && metrics.ends_with("# EOF\n"), "{base}: {metrics}");
        for secret in [conversation.as_str(), users[0].id.as_str()] {
            ensure!(!metrics.contains(secret), "a metric names {secret}");
        }
    }
    let openapi = http.get(format!("{}/openapi.json", deployment.api_bases()[0])).send().await?.text().await?;
    ensure!(openapi.contains("/v1/conversations/{id}/messages"), "{openapi}");
    Ok(())
}
