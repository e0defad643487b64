//! Users become gateways: one look at the registry's versions for a whole batch, and one at what changed since.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::{
    ids::{ConnectionId, Node, UserId},
    redis_keys::connection_slice,
};
use chatcluster_transport::gateway_streams::{Registry, StreamError, Version};
use parking_lot::Mutex;

use super::connection_cache::{ConnectionCache, Nodes};

/// How long a lease seen is believed. A gateway that died meanwhile gets entries nobody reads, which harms nobody.
const LEASE_BELIEVED: Duration = Duration::from_secs(1);

/// Which living gateways hold connections of which users.
pub type Routes = HashMap<UserId, Vec<Node>>;

/// The registry as workers ask it. Shared by all partitions.
pub struct Connections {
    registry: Arc<dyn Registry>,
    cache: Mutex<ConnectionCache>,
    /// Node -> when its lease was last seen held. Only living gateways are remembered: one that just took its lease and
    /// registered a session must not be passed over because it was dead a moment ago.
    leases: Mutex<HashMap<Node, Instant>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("leases", &self.leases.lock().len()).finish_non_exhaustive()
    }
}

impl Connections {
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, cache: Mutex::default(), leases: Mutex::default() }
    }

    /// Where each of the users is connected; users without a connection are left out. A registration acknowledged before
    /// an event was committed is seen by the event's fan-out, and so no session waits in vain: the versions are asked for
    /// anew each time, and every registration changes one.
    pub async fn routes(&self, users: &HashSet<UserId>) -> Result<Routes, StreamError> {
        if users.is_empty() {
            return Ok(Routes::new());
        }
        let versions = self.versions(users).await?;
        let version = |user: &UserId| versions.get(&connection_slice(user)).copied();
        let (mut nodes_of, mut unknown): (Vec<(&UserId, Nodes)>, Vec<UserId>) = (Vec::new(), Vec::new());
        {
            let cache = self.cache.lock();
            for user in users {
                match version(user).and_then(|version| cache.get(user, version)) {
                    Some(nodes) => nodes_of.push((user, Arc::clone(nodes))),
                    None => unknown.push(user.clone()),
                }
            }
        }
        let read: Vec<Nodes> = match unknown.len() {
            0 => Vec::new(),
            _ => self.registry.connections(&unknown).await?.iter().map(|connections| nodes(connections)).collect(),
        };
        {
            let mut cache = self.cache.lock();
            for (user, nodes) in unknown.iter().zip(read) {
                if let Some(version) = version(user) {
                    cache.put(user, version, &nodes);
                }
                nodes_of.push((user, nodes));
            }
        }
        let alive = self.alive(nodes_of.iter().flat_map(|(_, nodes)| nodes.iter())).await?;
        let routes = nodes_of.into_iter().map(|(user, nodes)| {
            (user.clone(), nodes.iter().filter(|node| alive.contains(*node)).cloned().collect::<Vec<Node>>())
        });
        Ok(routes.filter(|(_, nodes)| !nodes.is_empty()).collect())
    }

    /// The versions of the users' slices; those without one are left out.
    async fn versions(&self, users: &HashSet<UserId>) -> Result<HashMap<u8, Version>, StreamError> {
        let slices: BTreeSet<u8> = users.iter().map(connection_slice).collect();
        let slices: Vec<u8> = slices.into_iter().collect();
        let versions = self.registry.versions(&slices).await?;
        Ok(slices.into_iter().zip(versions).filter_map(|(slice, version)| Some((slice, version?))).collect())
    }

    /// Those of the nodes whose lease is held.
    async fn alive(&self, nodes: impl Iterator<Item = &Node>) -> Result<HashSet<Node>, StreamError> {
        let nodes: BTreeSet<&Node> = nodes.collect();
        let (mut held, unknown): (HashSet<Node>, Vec<Node>) = {
            let mut leases = self.leases.lock();
            leases.retain(|_, seen| seen.elapsed() <= LEASE_BELIEVED);
            let (held, unknown): (Vec<&Node>, Vec<&Node>) =
                nodes.into_iter().partition(|node| leases.contains_key(*node));
            (held.into_iter().cloned().collect(), unknown.into_iter().cloned().collect())
        };
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.iter().map(Node::to_string).collect();
            let holders = self.registry.lease_holders(&names).await?;
            let (mut leases, now) = (self.leases.lock(), Instant::now());
            for (node, _) in unknown.into_iter().zip(holders).filter(|(_, holder)| holder.is_some()) {
                leases.insert(node.clone(), now);
                held.insert(node);
            }
        }
        Ok(held)
    }
}

fn nodes(connections: &[ConnectionId]) -> Nodes {
    let names: BTreeSet<&str> = connections.iter().map(ConnectionId::node).collect();
    names.into_iter().filter_map(|name| Node::parse(name).ok()).collect()
}
