//! Where channels and rooms are asked for what they promise: memory, a Redis, a Redis Cluster.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "a test says so the short way; not every test uses all of it"
)]

use std::sync::Arc;

use bytes::Bytes;
use chatcluster_testkit::{
    Redis, RedisCluster, WAIT, install, redis::RedisOptions as ServerOptions, scratch::ScratchDir,
};
use chatcluster_transport::{
    channels::{Ear, Subscriptions},
    gateway_streams::{
        GatewayStreams, Signal,
        memory::MemoryStreams,
        redis::{RedisMode, RedisOptions, RedisStreams},
    },
};
use tokio::time::timeout;

pub struct Place {
    pub streams: Arc<dyn GatewayStreams>,
    servers: Servers,
}

enum Servers {
    Memory(Arc<MemoryStreams>),
    One(Box<Redis>),
    Cluster(RedisCluster),
}

impl Place {
    pub fn memory() -> Self {
        let streams = Arc::new(MemoryStreams::new());
        Self { streams: streams.clone(), servers: Servers::Memory(streams) }
    }

    /// With a prefix that a pattern of channels must not take for one.
    pub async fn redis() -> Self {
        let server = redis().await;
        let options = RedisOptions { redis_prefix: "t*:".to_owned(), ..RedisOptions::at(&server.url()) };
        Self { streams: Arc::new(RedisStreams::new(&options).unwrap()), servers: Servers::One(Box::new(server)) }
    }

    pub async fn cluster() -> Self {
        let servers = cluster().await;
        Self { streams: cluster_streams(&servers), servers: Servers::Cluster(servers) }
    }

    /// All data is lost.
    pub async fn flush(&self) {
        match &self.servers {
            Servers::Memory(streams) => streams.flush(),
            Servers::One(server) => server.flush().await.unwrap(),
            Servers::Cluster(servers) => {
                for server in servers.nodes() {
                    server.flush().await.unwrap();
                }
            }
        }
    }
}

pub async fn redis() -> Redis {
    let installed = install::ready(install::quiet).await.unwrap();
    Redis::start_with(&installed, ServerOptions::default(), ScratchDir::new("redis").unwrap()).await.unwrap()
}

pub async fn cluster() -> RedisCluster {
    let installed = install::ready(install::quiet).await.unwrap();
    RedisCluster::start(&installed, ServerOptions::default()).await.unwrap()
}

pub fn cluster_streams(servers: &RedisCluster) -> Arc<dyn GatewayStreams> {
    let options = RedisOptions { redis_mode: RedisMode::Cluster, ..RedisOptions::at(&servers.urls()[0]) };
    Arc::new(RedisStreams::new(&options).unwrap())
}

pub async fn listen(subscriptions: &Arc<dyn Subscriptions>, channel: &str) {
    subscriptions.subscribe(channel);
    timeout(WAIT, subscriptions.listening(channel)).await.unwrap();
}

/// The next `count` messages and their channels.
pub async fn messages(ear: &mut dyn Ear, count: usize) -> Vec<(String, Bytes)> {
    let mut signals = Vec::new();
    while signals.len() < count {
        let missing = count - signals.len();
        timeout(WAIT, ear.hear(missing, &mut signals)).await.unwrap_or_else(|_| panic!("only {signals:?}"));
    }
    let message = |signal| match signal {
        Signal::Message { channel, payload } => (channel, payload),
        Signal::Gap => panic!("a gap"),
    };
    signals.into_iter().map(message).collect()
}

/// A test of each of these functions at each place.
#[macro_export]
macro_rules! for_all {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Place::memory()).await; })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Place::redis().await).await; })*
        }
        mod redis_cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Place::cluster().await).await; })*
        }
    };
}
