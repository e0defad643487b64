//! The three servers together, and how parallel tests share them: one set per test binary, and a fresh database, Kafka
//! prefix and Redis prefix per test.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rand::RngExt;
use tokio::sync::OnceCell;

use crate::install::{self, Progress};
use crate::kafka::Kafka;
use crate::mariadb::MariaDb;
use crate::process::Supervised;
use crate::redis::{Redis, RedisOptions};
use crate::scratch::ScratchDir;

/// Kafka, Redis and MariaDB, running.
#[derive(Debug)]
pub struct Servers {
    pub kafka: Kafka,
    pub redis: Redis,
    pub mariadb: MariaDb,
}

/// What one test has for itself on shared servers.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub database_name: String,
    pub database_url: String,
    pub kafka_bootstrap_servers: String,
    /// In front of every topic and group, with its separator.
    pub kafka_prefix: String,
    pub redis_url: String,
    /// In front of every key and channel, with its separator.
    pub redis_prefix: String,
}

impl Servers {
    /// A set of its own: for tests that hurt the servers.
    pub async fn start() -> Result<Self> {
        Self::start_with(install::quiet, None).await
    }

    /// The set of this test binary, started by the first test that asks. Do not stop or freeze these.
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<Servers>> = OnceCell::const_new();
        SHARED.get_or_try_init(|| async { Self::start().await.map(Arc::new) }).await.cloned()
    }

    /// `state` holds data and logs and stays; without it they go with the servers.
    pub async fn start_with(progress: Progress, state: Option<&Path>) -> Result<Self> {
        let installed = install::ready(progress).await?;
        let folder = |name: &str| match state {
            Some(state) => ScratchDir::at(&state.join(name)),
            None => ScratchDir::new(name),
        };
        let (kafka, redis, mariadb) = tokio::try_join!(
            Kafka::start_with(&installed, &[], folder("kafka")?),
            Redis::start_with(&installed, RedisOptions::default(), folder("redis")?),
            MariaDb::start_with(&installed, &[], folder("mariadb")?),
        )
        .context("failed to start the servers")?;
        Ok(Self { kafka, redis, mariadb })
    }

    /// An empty database and unused prefixes.
    pub async fn namespace(&self) -> Result<Namespace> {
        let name = format!("t{}", random_name(10).to_lowercase());
        Ok(Namespace {
            database_url: self.mariadb.create_database(&name).await?,
            kafka_bootstrap_servers: self.kafka.bootstrap_servers(),
            kafka_prefix: format!("{name}."),
            redis_url: self.redis.url(),
            redis_prefix: format!("{name}:"),
            database_name: name,
        })
    }

    /// All of the servers for one deployment: the database `chatcluster`, no prefixes.
    pub fn whole(&self) -> Namespace {
        Namespace {
            database_name: "chatcluster".to_owned(),
            database_url: self.mariadb.url(),
            kafka_bootstrap_servers: self.kafka.bootstrap_servers(),
            kafka_prefix: String::new(),
            redis_url: self.redis.url(),
            redis_prefix: String::new(),
        }
    }

    /// The server processes, for fault injectors: `kafka`, `redis`, `mariadb`.
    pub fn processes(&self) -> [&Supervised; 3] {
        [self.kafka.process(), self.redis.process(), self.mariadb.process()]
    }

    /// Stops all three in an orderly way.
    pub async fn stop(&self) -> Result<()> {
        let [kafka, redis, mariadb] = self.processes();
        tokio::try_join!(kafka.stop(), redis.stop(), mariadb.stop()).map(drop)
    }
}

/// Letters and digits, for passwords and names.
pub(crate) fn random_name(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}
