//! What this Kubernetes cluster knows besides Kubernetes: asked of the API server now and then.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::Mutex;

use crate::{build::Capabilities, kinds::Kind};

const ASK_EVERY: Duration = Duration::from_mins(2);

/// Remembers the last answer.
#[derive(Debug, Default)]
pub(crate) struct Discovery(Mutex<Option<(Instant, Capabilities)>>);

impl Discovery {
    pub(crate) async fn capabilities(&self, client: &Client) -> Capabilities {
        let mut known = self.0.lock().await;
        if let Some((at, capabilities)) = &*known
            && at.elapsed() < ASK_EVERY
        {
            return *capabilities;
        }
        match ask(client).await {
            Ok(capabilities) => {
                *known = Some((Instant::now(), capabilities));
                capabilities
            }
            Err(error) => {
                tracing::warn!(%error, "discovery failed; what is known stays");
                known.map(|(_, capabilities)| capabilities).unwrap_or_default()
            }
        }
    }
}

async fn ask(client: &Client) -> Result<Capabilities, kube::Error> {
    let groups = client.list_api_groups().await?;
    let has = |name: &str| groups.groups.iter().any(|group| group.name == name);
    let mut capabilities =
        Capabilities { custom_metrics: has("custom.metrics.k8s.io"), service_monitor: false, prometheus_rule: false };
    if has("monitoring.coreos.com") {
        let resources = match client.list_api_group_resources("monitoring.coreos.com/v1").await {
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            other => other?.resources,
        };
        let has = |kind: Kind| resources.iter().any(|resource| resource.kind == kind.api().kind);
        capabilities.service_monitor = has(Kind::ServiceMonitor);
        capabilities.prometheus_rule = has(Kind::PrometheusRule);
    }
    Ok(capabilities)
}
