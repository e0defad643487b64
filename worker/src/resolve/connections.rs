//! Users become gateways: one pipelined look into the registry for a whole batch.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::ids::{Node, UserId};
use chatcluster_transport::gateway_streams::{Registry, StreamError};
use parking_lot::Mutex;

/// How long a lease seen is believed. A gateway that died meanwhile gets entries nobody reads, which harms nobody.
const LEASE_BELIEVED: Duration = Duration::from_secs(1);

/// Which living gateways hold connections of which users.
pub type Routes = HashMap<UserId, Vec<Node>>;

/// The registry as workers ask it. Shared by all partitions.
pub struct Connections {
    registry: Arc<dyn Registry>,
    /// Node -> when its lease was last seen held. Only living gateways are remembered: one that just took its lease and
    /// registered a session must not be passed over because it was dead a moment ago.
    leases: Mutex<HashMap<String, Instant>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("leases", &self.leases.lock().len()).finish_non_exhaustive()
    }
}

impl Connections {
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, leases: Mutex::default() }
    }

    /// Where each of the users is connected; users without a connection are left out. Always asked anew: a registration
    /// acknowledged before an event was committed is seen by the event's fan-out, and so no session waits in vain.
    pub async fn routes(&self, users: &HashSet<UserId>) -> Result<Routes, StreamError> {
        let users: Vec<UserId> = users.iter().cloned().collect();
        if users.is_empty() {
            return Ok(Routes::new());
        }
        let connections = self.registry.connections(&users).await?;
        let mut nodes_of: Vec<(UserId, BTreeSet<String>)> = Vec::new();
        for (user, connections) in users.into_iter().zip(connections) {
            let nodes: BTreeSet<String> = connections.iter().map(|connection| connection.node().to_owned()).collect();
            if !nodes.is_empty() {
                nodes_of.push((user, nodes));
            }
        }
        let alive = self.alive(nodes_of.iter().flat_map(|(_, nodes)| nodes)).await?;
        let routes = nodes_of.into_iter().map(|(user, nodes)| {
            (user, nodes.iter().filter_map(|node| alive.get(node).cloned()).collect::<Vec<Node>>())
        });
        Ok(routes.filter(|(_, nodes)| !nodes.is_empty()).collect())
    }

    /// Those of the nodes whose lease is held.
    async fn alive(&self, nodes: impl Iterator<Item = &String>) -> Result<HashMap<String, Node>, StreamError> {
        let nodes: BTreeSet<&String> = nodes.collect();
        let (mut held, unknown): (Vec<String>, Vec<String>) = {
            let mut leases = self.leases.lock();
            leases.retain(|_, seen| seen.elapsed() <= LEASE_BELIEVED);
            nodes.into_iter().cloned().partition(|node| leases.contains_key(node))
        };
        if !unknown.is_empty() {
            let holders = self.registry.lease_holders(&unknown).await?;
            let (mut leases, now) = (self.leases.lock(), Instant::now());
            for (node, _) in unknown.into_iter().zip(holders).filter(|(_, holder)| holder.is_some()) {
                leases.insert(node.clone(), now);
                held.push(node);
            }
        }
        Ok(held.into_iter().filter_map(|name| Some((name.clone(), Node::parse(&name).ok()?))).collect())
    }
}
