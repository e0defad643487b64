//! The registry of live connections and the leases, as maps.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId},
    redis_keys::connection_slice,
};
use tokio::time::Instant;

use super::{
    super::{Place, Registration, Registry, Renewed, StreamError, Version},
    Inner,
};

pub(super) struct Entries {
    epoch: String,
    by_user: HashMap<UserId, BTreeSet<ConnectionId>>,
    registrations: HashMap<ConnectionId, Registration>,
    leases: HashMap<String, (BootId, Instant)>,
    versions: HashMap<u8, Version>,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            epoch: format!("{:032x}", rand::random::<u128>()),
            by_user: HashMap::new(),
            registrations: HashMap::new(),
            leases: HashMap::new(),
            versions: HashMap::new(),
        }
    }
}

impl Entries {
    fn changed(&mut self, user: &UserId) {
        // a random one: after a flush a count could come back to an old number
        self.versions.insert(connection_slice(user), rand::random());
    }

    fn remove(&mut self, user: &UserId, connection: &ConnectionId) {
        self.changed(user);
        self.registrations.remove(connection);
        if let Some(connections) = self.by_user.get_mut(user) {
            connections.remove(connection);
            if connections.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    fn holder(&self, node: &str) -> Option<&BootId> {
        self.leases.get(node).filter(|(_, until)| *until > Instant::now()).map(|(boot, _)| boot)
    }
}

#[async_trait]
impl Registry for Inner {
    async fn register(&self, connections: &[Registration]) -> Result<(), StreamError> {
        let mut entries = self.entries.lock();
        for connection in connections {
            let (user, id) = (connection.user_id.clone(), connection.connection_id.clone());
            entries.changed(&user);
            entries.by_user.entry(user).or_default().insert(id.clone());
            entries.registrations.insert(id, connection.clone());
        }
        Ok(())
    }

    async fn unregister(&self, connections: &[Registration]) -> Result<(), StreamError> {
        let mut entries = self.entries.lock();
        for connection in connections {
            entries.remove(&connection.user_id, &connection.connection_id);
        }
        Ok(())
    }

    async fn keep(&self, connections: &[Registration]) -> Result<Vec<bool>, StreamError> {
        let entries = self.entries.lock();
        Ok(connections.iter().map(|it| entries.registrations.contains_key(&it.connection_id)).collect())
    }

    async fn walk(&self, _from: Place) -> Result<(Vec<ConnectionId>, Option<Place>), StreamError> {
        Ok((self.entries.lock().registrations.keys().cloned().collect(), None))
    }

    async fn take_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Option<BootId>, StreamError> {
        let mut entries = self.entries.lock();
        let held = entries.holder(node.as_str()).cloned();
        entries.leases.insert(node.to_string(), (boot.clone(), Instant::now() + ttl));
        Ok(held.filter(|holder| holder != boot))
    }

    async fn renew_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Renewed, StreamError> {
        let mut entries = self.entries.lock();
        let holder = entries.holder(node.as_str()).cloned();
        let held_by = holder.clone().filter(|holder| holder != boot);
        if held_by.is_none() {
            entries.leases.insert(node.to_string(), (boot.clone(), Instant::now() + ttl));
        }
        Ok(Renewed { epoch: entries.epoch.clone(), held_by, taken: holder.is_none() })
    }

    async fn release_lease(&self, node: &Node, boot: &BootId) -> Result<(), StreamError> {
        let mut entries = self.entries.lock();
        if entries.holder(node.as_str()) == Some(boot) {
            entries.leases.remove(node.as_str());
        }
        Ok(())
    }

    async fn connections(&self, users: &[UserId]) -> Result<Vec<Vec<ConnectionId>>, StreamError> {
        let entries = self.entries.lock();
        let of = |user| entries.by_user.get(user).map(|set| set.iter().cloned().collect()).unwrap_or_default();
        Ok(users.iter().map(of).collect())
    }

    async fn versions(&self, slices: &[u8]) -> Result<Vec<Option<Version>>, StreamError> {
        let entries = self.entries.lock();
        Ok(slices.iter().map(|slice| entries.versions.get(slice).copied()).collect())
    }

    async fn lease_holders(&self, nodes: &[String]) -> Result<Vec<Option<BootId>>, StreamError> {
        let entries = self.entries.lock();
        Ok(nodes.iter().map(|node| entries.holder(node).cloned()).collect())
    }

    async fn lookup(&self, connections: &[ConnectionId]) -> Result<Vec<Option<Registration>>, StreamError> {
        let entries = self.entries.lock();
        Ok(connections.iter().map(|id| entries.registrations.get(id).cloned()).collect())
    }

    async fn prune(&self, user: &UserId, connections: &[ConnectionId]) -> Result<(), StreamError> {
        let mut entries = self.entries.lock();
        for connection in connections {
            let registered = entries.registrations.get(connection).map(|registration| registration.boot_id.clone());
            if registered.is_none() || registered.as_ref() != entries.holder(connection.node()) {
                entries.remove(user, connection);
            }
        }
        Ok(())
    }
}
