//! The three servers together, and how parallel tests share them: one set per test binary, and a fresh database, Kafka
//! prefix and Redis prefix per test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use rand::RngExt;
use tokio::sync::OnceCell;

use crate::install::{self, Progress};
use crate::kafka::{Kafka, KafkaCluster};
use crate::mariadb::MariaDb;
use crate::process::Supervised;
use crate::redis::{Redis, RedisOptions};
use crate::scratch::ScratchDir;

/// Kafka, Redis and MariaDB, running.
#[derive(Debug)]
pub struct Servers {
    pub kafka: Kafka,
    /// Brokers of the same cluster; usually there are none.
    pub more_brokers: Vec<Kafka>,
    pub redis: Redis,
    pub mariadb: MariaDb,
}

/// How they are started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Data and logs are kept here; not of those that are unusual otherwise.
    pub state: Option<PathBuf>,
    /// Three brokers, which hold replicas of each other: one of them may be lost.
    pub replicated: bool,
    /// A broker that is alone, and MariaDB, have a disk each that can be filled, where that is possible.
    pub small_disks: bool,
}

/// What they take in a long run, and some more; MiB.
const KAFKA_DISK: u32 = 512;
const MARIADB_DISK: u32 = 768;

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
        Ok(Self { kafka, more_brokers: Vec::new(), redis, mariadb })
    }

    /// For those who want to hurt them in unusual ways.
    pub async fn start_as(progress: Progress, options: &ServerOptions) -> Result<Self> {
        if !options.replicated && !options.small_disks {
            return Self::start_with(progress, options.state.as_deref()).await;
        }
        let installed = install::ready(progress).await?;
        let folder = |name: &str, mebibytes| {
            if options.small_disks { ScratchDir::on_small_disk(name, mebibytes) } else { ScratchDir::new(name) }
        };
        let brokers = async {
            if options.replicated {
                // who leads again soon what it led before
                let properties = [("leader.imbalance.check.interval.seconds", "5")];
                return Ok(KafkaCluster::start(&installed, 3, &properties).await?.into_brokers());
            }
            Ok(vec![Kafka::start_with(&installed, &[], folder("kafka", KAFKA_DISK)?).await?])
        };
        let (mut brokers, redis, mariadb) = tokio::try_join!(
            brokers,
            Redis::start_with(&installed, RedisOptions::default(), ScratchDir::new("redis")?),
            MariaDb::start_with(&installed, &[], folder("mariadb", MARIADB_DISK)?),
        )
        .context("failed to start the servers")?;
        let kafka = brokers.remove(0);
        Ok(Self { kafka, more_brokers: brokers, redis, mariadb })
    }

    /// All of Kafka.
    pub fn brokers(&self) -> impl Iterator<Item = &Kafka> {
        std::iter::once(&self.kafka).chain(&self.more_brokers)
    }

    fn bootstrap_servers(&self) -> String {
        self.brokers().map(Kafka::bootstrap_servers).collect::<Vec<_>>().join(",")
    }

    /// An empty database and unused prefixes.
    pub async fn namespace(&self) -> Result<Namespace> {
        let name = format!("t{}", random_name(10).to_lowercase());
        Ok(Namespace {
            database_url: self.mariadb.create_database(&name).await?,
            kafka_bootstrap_servers: self.bootstrap_servers(),
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
            kafka_bootstrap_servers: self.bootstrap_servers(),
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
        let [_, redis, mariadb] = self.processes();
        let brokers = try_join_all(self.brokers().map(|broker| broker.process().stop()));
        tokio::try_join!(brokers, redis.stop(), mariadb.stop()).map(drop)
    }
}

/// Letters and digits, for passwords and names.
pub(crate) fn random_name(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}
