//! The registry of live connections, and the gateways' leases.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId},
    redis_keys::connection_slice,
};
use redis::Pipeline;

use super::{
    super::{Registration, Registry, Renewed, StreamError, Version},
    Inner,
};

/// Commands in one pipeline: many connections are written in several, so that no other caller waits long behind them.
const CHUNK: usize = 500;

mod field {
    pub(super) const USER: &str = "userId";
    pub(super) const NODE: &str = "node";
    pub(super) const BOOT: &str = "bootId";
    pub(super) const CONNECTED_AT: &str = "connectedAt";
}

/// The lease goes to whoever holds it already or finds it free; the epoch is set once per life of the data. Answers
/// with the holder before the call (empty: none) and the epoch.
const RENEW: &str = "
local held = redis.call('GET', KEYS[1])
if not held or held == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('SET', KEYS[2], ARGV[3], 'NX')
return {held or '', redis.call('GET', KEYS[2])}";

const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Register writes the hash first and unregister removes it last, so a set member without a hash is claimed by nobody.
const PRUNE: &str = "
local boot = redis.call('HGET', KEYS[1], 'bootId')
if boot and redis.call('GET', KEYS[3]) == boot then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])";

impl Inner {
    /// Gives the slices of these users new versions. A call of its own after that which wrote the connections: the hash
    /// may be on another server than they are, and must not be new before they are there.
    async fn changed(&self, users: impl Iterator<Item = &UserId>) -> Result<(), StreamError> {
        let slices: BTreeSet<u8> = users.map(connection_slice).collect();
        if slices.is_empty() {
            return Ok(());
        }
        // a random one: after a flush a count could come back to an old number
        let version: Version = rand::random();
        let mut pipeline = Pipeline::with_capacity(1);
        let command = pipeline.cmd("HSET").arg(self.keys.connection_versions());
        for slice in slices {
            command.arg(slice).arg(version);
        }
        command.ignore();
        self.shared.run(&pipeline).await
    }
}

#[async_trait]
impl Registry for Inner {
    async fn register(&self, connections: &[Registration]) -> Result<(), StreamError> {
        for chunk in connections.chunks(CHUNK) {
            let mut pipeline = Pipeline::with_capacity(chunk.len() * 2);
            for connection in chunk {
                let id = connection.connection_id.as_str();
                pipeline
                    .cmd("HSET")
                    .arg(self.keys.connection(id))
                    .arg(field::USER)
                    .arg(connection.user_id.as_str())
                    .arg(field::NODE)
                    .arg(connection.connection_id.node())
                    .arg(field::BOOT)
                    .arg(connection.boot_id.as_str())
                    .arg(field::CONNECTED_AT)
                    .arg(connection.connected_at_ms)
                    .ignore();
                pipeline.cmd("SADD").arg(self.keys.user_connections(&connection.user_id)).arg(id).ignore();
            }
            self.shared.run::<()>(&pipeline).await?;
        }
        self.changed(connections.iter().map(|connection| &connection.user_id)).await
    }

    async fn unregister(&self, connections: &[Registration]) -> Result<(), StreamError> {
        for chunk in connections.chunks(CHUNK) {
            let mut pipeline = Pipeline::with_capacity(chunk.len() * 2);
            for connection in chunk {
                let id = connection.connection_id.as_str();
                pipeline.cmd("SREM").arg(self.keys.user_connections(&connection.user_id)).arg(id).ignore();
                pipeline.cmd("DEL").arg(self.keys.connection(id)).ignore();
            }
            self.shared.run::<()>(&pipeline).await?;
        }
        self.changed(connections.iter().map(|connection| &connection.user_id)).await
    }

    async fn take_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Option<BootId>, StreamError> {
        let mut pipeline = Pipeline::with_capacity(1);
        // SET … GET answers with what was there before (Redis 6.2)
        pipeline
            .cmd("SET")
            .arg(self.keys.gateway_lease(node.as_str()))
            .arg(boot.as_str())
            .arg("PX")
            .arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
            .arg("GET");
        let (held,): (Option<String>,) = self.shared.run(&pipeline).await?;
        Ok(held.and_then(|held| BootId::parse(&held).ok()).filter(|holder| holder != boot))
    }

    async fn renew_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Renewed, StreamError> {
        let new_epoch = format!("{:032x}", rand::random::<u128>());
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline
            .cmd("EVAL")
            .arg(RENEW)
            .arg(2)
            .arg(self.keys.gateway_lease(node.as_str()))
            .arg(self.keys.registry_epoch())
            .arg(boot.as_str())
            .arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
            .arg(new_epoch);
        let ((held, epoch),): ((String, String),) = self.shared.run(&pipeline).await?;
        let held_by = BootId::parse(&held).ok().filter(|holder| holder != boot);
        Ok(Renewed { epoch, held_by, taken: held.is_empty() })
    }

    async fn release_lease(&self, node: &Node, boot: &BootId) -> Result<(), StreamError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline
            .cmd("EVAL")
            .arg(RELEASE)
            .arg(1)
            .arg(self.keys.gateway_lease(node.as_str()))
            .arg(boot.as_str())
            .ignore();
        self.shared.run(&pipeline).await
    }

    async fn connections(&self, users: &[UserId]) -> Result<Vec<Vec<ConnectionId>>, StreamError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(users.len());
        for user in users {
            pipeline.cmd("SMEMBERS").arg(self.keys.user_connections(user));
        }
        let sets: Vec<Vec<String>> = self.shared.run(&pipeline).await?;
        Ok(sets.iter().map(|set| set.iter().filter_map(|id| ConnectionId::parse(id).ok()).collect()).collect())
    }

    async fn versions(&self, slices: &[u8]) -> Result<Vec<Option<Version>>, StreamError> {
        if slices.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline
            .cmd("HMGET")
            .arg(self.keys.connection_versions())
            .arg(slices.iter().map(u8::to_string).collect::<Vec<_>>());
        let (versions,): (Vec<Option<String>>,) = self.shared.run(&pipeline).await?;
        Ok(versions.into_iter().map(|version| version?.parse().ok()).collect())
    }

    async fn lease_holders(&self, nodes: &[String]) -> Result<Vec<Option<BootId>>, StreamError> {
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(1);
        let command = pipeline.cmd("MGET");
        for node in nodes {
            command.arg(self.keys.gateway_lease(node));
        }
        let (holders,): (Vec<Option<String>>,) = self.shared.run(&pipeline).await?;
        Ok(holders.into_iter().map(|holder| BootId::parse(&holder?).ok()).collect())
    }

    async fn lookup(&self, connections: &[ConnectionId]) -> Result<Vec<Option<Registration>>, StreamError> {
        if connections.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(connections.len());
        for connection in connections {
            pipeline.cmd("HGETALL").arg(self.keys.connection(connection.as_str()));
        }
        let hashes: Vec<HashMap<String, String>> = self.shared.run(&pipeline).await?;
        Ok(connections.iter().zip(&hashes).map(|(id, hash)| registration(id, hash)).collect())
    }

    async fn prune(&self, user: &UserId, connections: &[ConnectionId]) -> Result<(), StreamError> {
        if connections.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(connections.len());
        for connection in connections {
            pipeline
                .cmd("EVAL")
                .arg(PRUNE)
                .arg(3)
                .arg(self.keys.connection(connection.as_str()))
                .arg(self.keys.user_connections(user))
                .arg(self.keys.gateway_lease(connection.node()))
                .arg(connection.as_str())
                .ignore();
        }
        self.shared.run::<()>(&pipeline).await?;
        self.changed(std::iter::once(user)).await
    }
}

fn registration(id: &ConnectionId, hash: &HashMap<String, String>) -> Option<Registration> {
    Some(Registration {
        connection_id: id.clone(),
        user_id: UserId::parse(hash.get(field::USER)?).ok()?,
        boot_id: BootId::parse(hash.get(field::BOOT)?).ok()?,
        connected_at_ms: hash.get(field::CONNECTED_AT)?.parse().ok()?,
    })
}
