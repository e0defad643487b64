//! Start-up and periodic merge of the registry with core's table of connections: prunes what no living gateway claims,
//! adds what one claims, and never empties anything in between.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, UserId},
    rpc::{Connection, GetAllConnectionsRequest, connection_manager_client::ConnectionManagerClient},
};
use chatcluster_service::rpc::ServiceToken;
use chatcluster_transport::gateway_streams::{Place, Registration, Registry};
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use crate::metrics::WorkerMetrics;

/// Users looked at in one round trip.
const SLICE: usize = 500;
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct RegistrySync {
    pub(crate) core: ConnectionManagerClient<InterceptedService<Channel, ServiceToken>>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) metrics: WorkerMetrics,
}

/// What core says about one user's connections.
type Claims = HashMap<UserId, Vec<Registration>>;

impl RegistrySync {
    /// Runs until dropped.
    pub(crate) async fn run(self, every: Duration) {
        loop {
            match self.merge().await {
                Ok(users) => {
                    tracing::debug!(users, "registry merged with core");
                    tokio::time::sleep(every).await;
                }
                Err(error) => {
                    self.metrics.retried("registry_sync");
                    tracing::debug!(error = format!("{error:#}"), "registry not merged; trying again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    async fn merge(&self) -> anyhow::Result<usize> {
        let mut stream = self.core.clone().get_all_connections(GetAllConnectionsRequest {}).await?.into_inner();
        let mut claims = Claims::new();
        while let Some(answer) = stream.message().await? {
            for connection in answer.connections {
                if let Some(claim) = registration(&connection) {
                    claims.entry(claim.user_id.clone()).or_default().push(claim);
                }
            }
        }
        let users: Vec<UserId> = claims.keys().cloned().collect();
        for slice in users.chunks(SLICE) {
            self.merge_slice(slice, &claims).await.context("redis")?;
        }
        self.prune_unclaimed().await.context("redis")?;
        Ok(users.len())
    }

    /// Entries of users of whom core knows nothing are found by a walk through all there are. Nobody claims those whose
    /// boot does not hold the lease of its node.
    async fn prune_unclaimed(&self) -> anyhow::Result<()> {
        let mut at = Some(Place::default());
        while let Some(here) = at {
            let (ids, next) = self.registry.walk(here).await?;
            let nodes: HashSet<String> = ids.iter().map(|id| id.node().to_owned()).collect();
            let nodes: Vec<String> = nodes.into_iter().collect();
            let holders: HashMap<String, Option<BootId>> =
                nodes.iter().cloned().zip(self.registry.lease_holders(&nodes).await?).collect();
            let mut gone: HashMap<UserId, Vec<ConnectionId>> = HashMap::new();
            for entry in self.registry.lookup(&ids).await?.into_iter().flatten() {
                let holder = holders.get(entry.connection_id.node()).and_then(Option::as_ref);
                if holder != Some(&entry.boot_id) {
                    gone.entry(entry.user_id).or_default().push(entry.connection_id);
                }
            }
            for (user, connections) in gone {
                self.metrics.pruned.inc_by(connections.len() as u64);
                self.registry.prune(&user, &connections).await?;
            }
            at = next;
        }
        Ok(())
    }

    async fn merge_slice(&self, users: &[UserId], claims: &Claims) -> anyhow::Result<()> {
        let stored = self.registry.connections(users).await?;
        let claimed = || users.iter().filter_map(|user| claims.get(user)).flatten();
        let nodes: HashSet<String> = claimed()
            .map(|claim| claim.connection_id.node().to_owned())
            .chain(stored.iter().flatten().map(|id| id.node().to_owned()))
            .collect();
        let nodes: Vec<String> = nodes.into_iter().collect();
        let holders: HashMap<String, Option<BootId>> =
            nodes.iter().cloned().zip(self.registry.lease_holders(&nodes).await?).collect();
        let holder = |id: &ConnectionId| holders.get(id.node()).and_then(Option::as_ref);

        let present: HashSet<&ConnectionId> = stored.iter().flatten().collect();
        let missing: Vec<Registration> = claimed()
            .filter(|claim| {
                !present.contains(&claim.connection_id) && holder(&claim.connection_id) == Some(&claim.boot_id)
            })
            .cloned()
            .collect();
        if !missing.is_empty() {
            self.metrics.repaired.inc_by(missing.len() as u64);
            self.registry.register(&missing).await?;
        }
        for (user, stored) in users.iter().zip(&stored) {
            let gone: Vec<ConnectionId> = stored.iter().filter(|id| holder(id).is_none()).cloned().collect();
            if !gone.is_empty() {
                self.metrics.pruned.inc_by(gone.len() as u64);
                self.registry.prune(user, &gone).await?;
            }
        }
        Ok(())
    }
}

fn registration(connection: &Connection) -> Option<Registration> {
    Some(Registration {
        connection_id: connection.connection_id.parse().ok()?,
        user_id: connection.user_id.parse().ok()?,
        boot_id: connection.boot_id.parse().ok()?,
        connected_at_ms: connection.connected_at_ms,
    })
}
