//! What this Kubernetes cluster knows besides Kubernetes: asked of the API server now and then.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::Mutex;

use crate::{build::Capabilities, kinds::Kind};

const ASK_EVERY: Duration = Duration::from_mins(2);

/// After a failure it is asked again no sooner.
const ASK_AGAIN: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Known {
    asked: Option<Instant>,
    answer: Option<(Instant, Capabilities)>,
}

/// Remembers the last answer.
#[derive(Debug, Default)]
pub(crate) struct Discovery(Mutex<Known>);

impl Discovery {
    /// `None`: the API server has not told yet. Then what depends on it must stay as it is.
    pub(crate) async fn capabilities(&self, client: &Client) -> Option<Capabilities> {
        let mut known = self.0.lock().await;
        let is_young = known.answer.is_some_and(|(at, _)| at.elapsed() < ASK_EVERY);
        let is_pause = known.asked.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        if !is_young && !is_pause {
            known.asked = Some(Instant::now());
            match tokio::time::timeout(TIMEOUT, ask(client)).await {
                Ok(Ok(capabilities)) => known.answer = Some((Instant::now(), capabilities)),
                Ok(Err(error)) => tracing::warn!(%error, "discovery failed; what is known stays"),
                Err(_) => tracing::warn!("discovery took too long; what is known stays"),
            }
        }
        known.answer.map(|(_, capabilities)| capabilities)
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
