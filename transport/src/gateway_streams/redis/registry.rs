//! The registry of live connections, and the gateways' leases.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId},
    redis_keys::{CONNECTION_TTL, connection_slice},
};
use redis::{Cmd, cmd};

use super::{
    super::{Place, Registration, Registry, Renewed, StreamError, Version},
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

/// Keys looked at in one step of a walk.
const STEP: usize = 1_000;

/// The lease goes to whoever holds it already or finds it free. Answers with the holder before the call (empty: none).
const RENEW: &str = "
local held = redis.call('GET', KEYS[1])
if not held or held == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return held or ''";

/// The epoch is set once per life of the data.
const EPOCH: &str = "
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])";

const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Register writes the hash first and unregister removes it last, so a set member without a hash is claimed by nobody.
const PRUNE: &str = "
local boot = redis.call('HGET', KEYS[1], 'bootId')
if boot and redis.call('GET', KEYS[3]) == boot then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])";

/// [`PRUNE`] without the set, where the holder of the lease was asked before. 1: nobody claims the connection.
const PRUNE_HASH: &str = "
local boot = redis.call('HGET', KEYS[1], 'bootId')
if boot and boot == ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1";

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
        let mut command = cmd("HSET");
        command.arg(self.keys.connection_versions());
        for slice in slices {
            command.arg(slice).arg(version);
        }
        self.shared.ask(command).await
    }

    /// The command for each connection's place in the set of its user.
    fn of_users(&self, name: &str, connections: &[Registration]) -> Vec<Cmd> {
        let command = |connection: &Registration| {
            cmd(name).arg(self.keys.user_connections(&connection.user_id)).arg(connection.connection_id.as_str()).take()
        };
        connections.iter().map(command).collect()
    }

    /// What keeps the set of the user for its time.
    fn expire_set(&self, connection: &Registration) -> Cmd {
        expire(self.keys.user_connections(&connection.user_id))
    }

    fn expire_hash(&self, connection: &Registration) -> Cmd {
        expire(self.keys.connection(connection.connection_id.as_str()))
    }

    /// One script for each connection, which looks and removes at once.
    async fn prune_at_once(&self, user: &UserId, connections: &[ConnectionId]) -> Result<(), StreamError> {
        let prune = |id: &ConnectionId| {
            cmd("EVAL")
                .arg(PRUNE)
                .arg(3)
                .arg(self.keys.connection(id.as_str()))
                .arg(self.keys.user_connections(user))
                .arg(self.keys.gateway_lease(id.node()))
                .arg(id.as_str())
                .take()
        };
        self.shared.run(connections.iter().map(prune).collect()).await
    }

    /// The three keys are on different servers of a cluster. A gateway that comes back with its old boot between the
    /// first and the last step may lose these entries; the comparison with core brings them back.
    async fn prune_by_steps(&self, user: &UserId, connections: &[ConnectionId]) -> Result<(), StreamError> {
        let nodes: Vec<String> = connections.iter().map(|id| id.node().to_owned()).collect();
        let holders = self.lease_holders(&nodes).await?;
        let prune = |(id, holder): (&ConnectionId, &Option<BootId>)| {
            cmd("EVAL")
                .arg(PRUNE_HASH)
                .arg(1)
                .arg(self.keys.connection(id.as_str()))
                .arg(holder.as_ref().map_or("", BootId::as_str))
                .take()
        };
        let unclaimed: Vec<bool> = self.shared.run(connections.iter().zip(&holders).map(prune).collect()).await?;
        let gone = connections.iter().zip(unclaimed).filter(|(_, unclaimed)| *unclaimed);
        let gone: Vec<&str> = gone.map(|(id, _)| id.as_str()).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.shared.ask(cmd("SREM").arg(self.keys.user_connections(user)).arg(gone).take()).await
    }
}

#[async_trait]
impl Registry for Inner {
    async fn register(&self, connections: &[Registration]) -> Result<(), StreamError> {
        let hash = |connection: &Registration| {
            cmd("HSET")
                .arg(self.keys.connection(connection.connection_id.as_str()))
                .arg(field::USER)
                .arg(connection.user_id.as_str())
                .arg(field::NODE)
                .arg(connection.connection_id.node())
                .arg(field::BOOT)
                .arg(connection.boot_id.as_str())
                .arg(field::CONNECTED_AT)
                .arg(connection.connected_at_ms)
                .take()
        };
        for chunk in connections.chunks(CHUNK) {
            let hashes = chunk.iter().flat_map(|connection| [hash(connection), self.expire_hash(connection)]).collect();
            let mut sets = self.of_users("SADD", chunk);
            sets.extend(chunk.iter().map(|connection| self.expire_set(connection)));
            self.shared.run_in_order(hashes, sets).await?;
        }
        self.changed(connections.iter().map(|connection| &connection.user_id)).await
    }

    async fn unregister(&self, connections: &[Registration]) -> Result<(), StreamError> {
        let hash =
            |connection: &Registration| cmd("DEL").arg(self.keys.connection(connection.connection_id.as_str())).take();
        for chunk in connections.chunks(CHUNK) {
            let hashes = chunk.iter().map(hash).collect();
            self.shared.run_in_order(self.of_users("SREM", chunk), hashes).await?;
        }
        self.changed(connections.iter().map(|connection| &connection.user_id)).await
    }

    async fn keep(&self, connections: &[Registration]) -> Result<Vec<bool>, StreamError> {
        let mut kept = Vec::with_capacity(connections.len());
        for chunk in connections.chunks(CHUNK) {
            let mut commands = self.of_users("SISMEMBER", chunk);
            commands.extend(chunk.iter().map(|connection| self.expire_hash(connection)));
            commands.extend(chunk.iter().map(|connection| self.expire_set(connection)));
            let answers: Vec<i64> = self.shared.run(commands).await?;
            // each is 1 when what it names is there
            kept.extend((0..chunk.len()).map(|i| (0..3).all(|kind| answers.get(kind * chunk.len() + i) == Some(&1))));
        }
        Ok(kept)
    }

    async fn walk(&self, from: Place) -> Result<(Vec<ConnectionId>, Option<Place>), StreamError> {
        let every = self.keys.every_connection();
        let step = cmd("SCAN").arg(from.cursor).arg("MATCH").arg(every).arg("COUNT").arg(STEP).take();
        let (cursor, keys): (u64, Vec<String>) = self.shared.ask_owner(from.slot, step).await?;
        let ids = keys.iter().filter_map(|key| ConnectionId::parse(self.keys.connection_of(key)?).ok());
        let next = match cursor {
            0 => self.shared.next_owner(from.slot).await?.map(|slot| Place { slot, cursor }),
            _ => Some(Place { cursor, ..from }),
        };
        Ok((ids.collect(), next))
    }

    async fn take_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Option<BootId>, StreamError> {
        // SET … GET answers with what was there before (Redis 6.2)
        let take = cmd("SET")
            .arg(self.keys.gateway_lease(node.as_str()))
            .arg(boot.as_str())
            .arg("PX")
            .arg(milliseconds(ttl))
            .arg("GET")
            .take();
        let held: Option<String> = self.shared.ask(take).await?;
        Ok(held.and_then(|held| BootId::parse(&held).ok()).filter(|holder| holder != boot))
    }

    async fn renew_lease(&self, node: &Node, boot: &BootId, ttl: Duration) -> Result<Renewed, StreamError> {
        let lease = self.keys.gateway_lease(node.as_str());
        let renew = cmd("EVAL").arg(RENEW).arg(1).arg(lease).arg(boot.as_str()).arg(milliseconds(ttl)).take();
        let new_epoch = format!("{:032x}", rand::random::<u128>());
        let epoch = cmd("EVAL").arg(EPOCH).arg(1).arg(self.keys.registry_epoch()).arg(new_epoch).take();
        let (held, epoch): (String, String) = self.shared.run(vec![renew, epoch]).await?;
        let held_by = BootId::parse(&held).ok().filter(|holder| holder != boot);
        Ok(Renewed { epoch, held_by, taken: held.is_empty() })
    }

    async fn release_lease(&self, node: &Node, boot: &BootId) -> Result<(), StreamError> {
        let lease = self.keys.gateway_lease(node.as_str());
        self.shared.ask(cmd("EVAL").arg(RELEASE).arg(1).arg(lease).arg(boot.as_str()).take()).await
    }

    async fn connections(&self, users: &[UserId]) -> Result<Vec<Vec<ConnectionId>>, StreamError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let members = |user| cmd("SMEMBERS").arg(self.keys.user_connections(user)).take();
        let sets: Vec<Vec<String>> = self.shared.run(users.iter().map(members).collect()).await?;
        Ok(sets.iter().map(|set| set.iter().filter_map(|id| ConnectionId::parse(id).ok()).collect()).collect())
    }

    async fn versions(&self, slices: &[u8]) -> Result<Vec<Option<Version>>, StreamError> {
        if slices.is_empty() {
            return Ok(Vec::new());
        }
        let slices: Vec<String> = slices.iter().map(u8::to_string).collect();
        let read = cmd("HMGET").arg(self.keys.connection_versions()).arg(slices).take();
        let versions: Vec<Option<String>> = self.shared.ask(read).await?;
        Ok(versions.into_iter().map(|version| version?.parse().ok()).collect())
    }

    async fn lease_holders(&self, nodes: &[String]) -> Result<Vec<Option<BootId>>, StreamError> {
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let lease = |node: &String| cmd("GET").arg(self.keys.gateway_lease(node)).take();
        let holders: Vec<Option<String>> = self.shared.run(nodes.iter().map(lease).collect()).await?;
        Ok(holders.into_iter().map(|holder| BootId::parse(&holder?).ok()).collect())
    }

    async fn lookup(&self, connections: &[ConnectionId]) -> Result<Vec<Option<Registration>>, StreamError> {
        if connections.is_empty() {
            return Ok(Vec::new());
        }
        let hash = |id: &ConnectionId| cmd("HGETALL").arg(self.keys.connection(id.as_str())).take();
        let hashes: Vec<HashMap<String, String>> = self.shared.run(connections.iter().map(hash).collect()).await?;
        Ok(connections.iter().zip(&hashes).map(|(id, hash)| registration(id, hash)).collect())
    }

    async fn prune(&self, user: &UserId, connections: &[ConnectionId]) -> Result<(), StreamError> {
        if connections.is_empty() {
            return Ok(());
        }
        if self.shared.is_cluster() {
            self.prune_by_steps(user, connections).await?;
        } else {
            self.prune_at_once(user, connections).await?;
        }
        self.changed(std::iter::once(user)).await
    }
}

fn expire(key: String) -> Cmd {
    cmd("EXPIRE").arg(key).arg(CONNECTION_TTL.as_secs()).take()
}

fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

fn registration(id: &ConnectionId, hash: &HashMap<String, String>) -> Option<Registration> {
    Some(Registration {
        connection_id: id.clone(),
        user_id: UserId::parse(hash.get(field::USER)?).ok()?,
        boot_id: BootId::parse(hash.get(field::BOOT)?).ok()?,
        connected_at_ms: hash.get(field::CONNECTED_AT)?.parse().ok()?,
    })
}
