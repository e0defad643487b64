//! Sharded Pub/Sub: what is published to a channel stays at the server of a cluster that has its slot, so each of them is
//! listened to for the channels that it has. A server that goes takes its channels with it, and they are looked for again.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection, cmd};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{
    listening::Forwarding,
    wishes::{Changes, Wishes},
};
use crate::gateway_streams::{
    Signal, StreamError,
    redis::connection::{Backoff, Node, SharedConnection},
    redis::stream_error,
};

/// A silent server is asked whether it still lives.
const PING_INTERVAL: Duration = Duration::from_secs(5);

type Name = Arc<str>;

/// One server, and what of it is listened to.
struct Shard {
    /// Names the connection among all that there were.
    generation: u64,
    connection: MultiplexedConnection,
    names: HashSet<Name>,
}

pub(super) struct Sharded {
    pub(super) shared: Arc<SharedConnection>,
    pub(super) wishes: Arc<Wishes>,
    pub(super) forwarding: Arc<Forwarding>,
}

/// What is known of the cluster.
#[derive(Default)]
struct Cluster {
    shards: HashMap<Node, Shard>,
    generation: u64,
    here: HashSet<Name>,
    /// Not listened to any more since their server went.
    lost: HashSet<Name>,
}

impl Sharded {
    /// Listens until the listener is gone.
    pub(super) async fn keep(self) {
        let (trouble, mut troubles) = mpsc::unbounded_channel();
        let mut cluster = Cluster::default();
        let mut backoff = Backoff::new();
        let gap = Arc::new(AtomicBool::new(false));
        loop {
            while let Some(changes) = self.wishes.changes(&mut cluster.here) {
                if self.tell(&mut cluster, &changes, &trouble, &gap).await {
                    backoff = Backoff::new();
                } else {
                    tokio::time::sleep(backoff.next()).await;
                }
                if self.forwarding.is_closed() {
                    return;
                }
            }
            if gap.load(Ordering::Relaxed) && self.forwarding.send(Signal::Gap) {
                gap.store(false, Ordering::Relaxed);
            }
            tokio::select! {
                Some(generation) = troubles.recv() => self.lose_generation(&mut cluster, generation),
                () = self.wishes.changed.notified() => {}
                () = tokio::time::sleep(PING_INTERVAL) => self.ping(&mut cluster).await,
            }
            if self.forwarding.is_closed() {
                return;
            }
        }
    }

    /// False: some of it is to be tried again.
    async fn tell(
        &self,
        cluster: &mut Cluster,
        changes: &Changes,
        trouble: &UnboundedSender<u64>,
        gap: &Arc<AtomicBool>,
    ) -> bool {
        let mut done = true;
        for name in &changes.unsubscribe {
            cluster.lost.remove(name);
            let mut shards = cluster.shards.values_mut();
            let Some(shard) = shards.find(|shard| shard.names.contains(name)) else { continue };
            shard.names.remove(name);
            let asked = cmd("SUNSUBSCRIBE").arg(&**name).query_async::<Value>(&mut shard.connection).await;
            if asked.is_err() {
                // its connection is in trouble and will say so
                done = false;
            }
        }
        if changes.subscribe.is_empty() {
            return done;
        }
        let owners = match self.shared.owners(&changes.subscribe).await {
            Ok(owners) => owners,
            Err(error) => {
                tracing::warn!(%error, "the servers of the cluster are not known; trying again");
                self.again(cluster, &changes.subscribe);
                return false;
            }
        };
        let mut by_owner: HashMap<Node, Vec<Name>> = HashMap::new();
        for (name, owner) in changes.subscribe.iter().zip(owners) {
            by_owner.entry(owner).or_default().push(name.clone());
        }
        for (owner, names) in by_owner {
            match self.subscribe(cluster, &owner, &names, trouble, gap).await {
                Ok(()) => {
                    self.wishes.confirm(&names);
                    for name in &names {
                        if cluster.lost.remove(name) {
                            gap.store(true, Ordering::Relaxed);
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a server of the cluster is not listened to; trying again");
                    self.again(cluster, &names);
                    self.lose(cluster, &owner);
                    done = false;
                }
            }
        }
        done
    }

    async fn subscribe(
        &self,
        cluster: &mut Cluster,
        owner: &Node,
        names: &[Name],
        trouble: &UnboundedSender<u64>,
        gap: &Arc<AtomicBool>,
    ) -> Result<(), StreamError> {
        if !cluster.shards.contains_key(owner) {
            cluster.generation += 1;
            let generation = cluster.generation;
            let hearing = Hearing {
                generation,
                forwarding: self.forwarding.clone(),
                wishes: self.wishes.clone(),
                trouble: trouble.clone(),
                gap: gap.clone(),
            };
            let hear = move |push: PushInfo| {
                hearing.hear(push);
                Ok::<(), std::convert::Infallible>(())
            };
            let connection = self.shared.connect_pushing(owner, hear).await?;
            cluster.shards.insert(owner.clone(), Shard { generation, connection, names: HashSet::new() });
        }
        let Some(shard) = cluster.shards.get_mut(owner) else { return Ok(()) };
        // one slot a command
        let mut pipeline = redis::Pipeline::with_capacity(names.len());
        for name in names {
            pipeline.cmd("SSUBSCRIBE").arg(&**name);
        }
        pipeline.query_async::<Value>(&mut shard.connection).await.map_err(|error| stream_error(&error))?;
        shard.names.extend(names.iter().cloned());
        Ok(())
    }

    /// These are to be subscribed to again.
    fn again(&self, cluster: &mut Cluster, names: &[Name]) {
        for name in names {
            cluster.here.remove(name);
        }
        self.wishes.lost(names);
    }

    fn lose(&self, cluster: &mut Cluster, node: &Node) {
        if let Some(shard) = cluster.shards.remove(node) {
            let names: Vec<Name> = shard.names.into_iter().collect();
            cluster.lost.extend(names.iter().cloned());
            self.again(cluster, &names);
        }
    }

    fn lose_generation(&self, cluster: &mut Cluster, generation: u64) {
        let found = cluster.shards.iter().find(|(_, shard)| shard.generation == generation);
        if let Some(node) = found.map(|(node, _)| node.clone()) {
            tracing::warn!("a server of the cluster is not listened to any more");
            self.lose(cluster, &node);
        }
    }

    async fn ping(&self, cluster: &mut Cluster) {
        let nodes: Vec<Node> = cluster.shards.keys().cloned().collect();
        for node in nodes {
            let Some(shard) = cluster.shards.get_mut(&node) else { continue };
            if cmd("PING").query_async::<Value>(&mut shard.connection).await.is_err() {
                self.lose(cluster, &node);
            }
        }
    }
}

/// What one connection brings.
struct Hearing {
    generation: u64,
    forwarding: Arc<Forwarding>,
    wishes: Arc<Wishes>,
    trouble: UnboundedSender<u64>,
    gap: Arc<AtomicBool>,
}

impl Hearing {
    /// Runs in the connection's task, which must not wait.
    fn hear(&self, push: PushInfo) {
        match (push.kind, push.data.as_slice()) {
            (PushKind::SMessage, [Value::BulkString(channel), Value::BulkString(payload)]) => {
                let taken = self.forwarding.hand_on(&String::from_utf8_lossy(channel), payload);
                self.gap.fetch_or(!taken, Ordering::Relaxed);
            }
            (PushKind::Disconnection, _) => self.complain(),
            // not asked for: the slot has moved to another server
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..])
                if self.wishes.is_wanted(&String::from_utf8_lossy(channel)) =>
            {
                self.complain();
            }
            _ => {}
        }
    }

    fn complain(&self) {
        // nobody takes it: then nobody listens either
        let _ = self.trouble.send(self.generation);
    }
}
