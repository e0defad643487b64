//! What runs of the node.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::kubeconfig;
use super::layout::{Layout, NAME};
use super::record::Record;
use super::supervisor::{PLAN, Plan};

/// A person waits.
const ANSWERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// One program of the node.
#[derive(Clone, Debug)]
pub struct Component {
    pub name: String,
    /// `None` while it is down; it is started again within a second.
    pub pid: Option<u32>,
    pub log: std::path::PathBuf,
}

/// All of them, and what the API server says of the whole.
#[derive(Clone, Debug)]
pub struct Status {
    pub components: Vec<Component>,
    /// `ready`, or what is wrong.
    pub node: String,
    /// Pods by their phase.
    pub pods: BTreeMap<String, usize>,
}

impl Status {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.node == "ready" && self.components.iter().all(|component| component.pid.is_some())
    }
}

pub(super) async fn status(layout: &Layout, record: &Record) -> Result<Status> {
    let plan = std::fs::read(layout.path(PLAN)).context("failed to read the plan")?;
    let plan: Plan = serde_json::from_slice(&plan).context("an odd plan")?;
    let children = record.init.children();
    let pid = |name: &str| {
        children.iter().find(|child| child.program().as_deref() == Some(name)).map(super::record::Process::pid)
    };
    let components = plan.first.iter().chain(&plan.then).map(|daemon| Component {
        name: daemon.name.clone(),
        pid: pid(&daemon.name),
        log: layout.log(&daemon.name),
    });
    let (node, pods) = match tokio::time::timeout(ANSWERS_WITHIN, cluster(layout)).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => (format!("{error:#}"), BTreeMap::new()),
        Err(_) => ("the API server does not answer".to_owned(), BTreeMap::new()),
    };
    Ok(Status { components: components.collect(), node, pods })
}

async fn cluster(layout: &Layout) -> Result<(String, BTreeMap<String, usize>)> {
    use k8s_openapi::api::core::v1::{Node, Pod};
    let client = kubeconfig::client(&layout.kubeconfig("admin")).await?;
    let node = kube::Api::<Node>::all(client.clone()).get(NAME).await.context("failed to ask for the node")?;
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let state = match ready {
        Some(ready) if ready.status == "True" => "ready".to_owned(),
        Some(ready) => ready.message.unwrap_or_default(),
        None => "says nothing".to_owned(),
    };
    let mut phases = BTreeMap::new();
    let pods = kube::Api::<Pod>::all(client).list(&kube::api::ListParams::default()).await;
    for pod in pods.context("failed to ask for the pods")? {
        *phases.entry(pod.status.and_then(|status| status.phase).unwrap_or_default()).or_default() += 1;
    }
    Ok((state, phases))
}
