//! Kafka with three brokers, Redis and MariaDB for others than this machine: for pods on a node of its own, with passwords.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use crate::install;
use crate::scratch::ScratchDir;
use crate::{KafkaCluster, MariaDb, Redis, redis::RedisOptions};

/// Killed when dropped, and their data with them. Three brokers cannot be stopped in an orderly way: the last one waits for
/// the others.
#[derive(Debug)]
pub(super) struct Reachable {
    pub(super) kafka_bootstrap_servers: String,
    pub(super) redis_url: String,
    pub(super) database_url: String,
    _running: (KafkaCluster, Redis, MariaDb),
}

impl Reachable {
    /// They listen everywhere, and clients come to `address`.
    pub(super) async fn start(address: Ipv4Addr) -> Result<Self> {
        let installed = install::ready(super::progress).await?;
        let everywhere = vec![("bind".to_owned(), "0.0.0.0".to_owned())];
        let options = RedisOptions { settings: everywhere, ..RedisOptions::default() };
        let (kafka, redis, mariadb) = tokio::try_join!(
            KafkaCluster::start_at(&installed, Some(address), 3, &[]),
            Redis::start_with(&installed, options, ScratchDir::new("redis")?),
            MariaDb::start_with(&installed, &[("bind-address", "0.0.0.0")], ScratchDir::new("mariadb")?),
        )
        .context("failed to start the servers")?;
        let there = |url: String| url.replace("127.0.0.1", &address.to_string());
        Ok(Self {
            kafka_bootstrap_servers: kafka.bootstrap_servers(),
            redis_url: there(redis.url()),
            database_url: there(mariadb.url()),
            _running: (kafka, redis, mariadb),
        })
    }
}
