//! The servers that the platform needs, on this machine, where pods reach them: a Kafka of three brokers, Redis and
//! MariaDB. The platform has users of its own there, whose passwords can be changed as one does with a platform that runs:
//! first the new one is good too, then it is made known, then the old one is taken away.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use crate::install::{self, Progress};
use crate::kafka::KafkaCluster;
use crate::mariadb::MariaDb;
use crate::redis::{Redis, RedisOptions, RedisUser};
use crate::scratch::ScratchDir;
use crate::servers::random_name;

pub(crate) struct Backing {
    pub(crate) kafka: KafkaCluster,
    pub(crate) redis: Redis,
    mariadb: MariaDb,
    address: Ipv4Addr,
}

/// Who the platform is at Redis and at the database.
#[derive(Clone)]
pub(crate) struct Login {
    redis: RedisUser,
    database: String,
    password: String,
}

const USER: &str = "platform";
const BROKERS: u16 = 3;

impl Backing {
    /// `address`: where pods find this machine.
    pub(crate) async fn start(address: Ipv4Addr, say: Progress) -> Result<(Self, Login)> {
        let installed = install::ready(say).await?;
        say("starting Kafka (three brokers), Redis and MariaDB");
        let user = RedisUser::new(USER, "~* &* +@all");
        let options = RedisOptions {
            users: vec![user.clone()],
            settings: vec![("bind".to_owned(), "0.0.0.0".to_owned())],
            ..RedisOptions::default()
        };
        let (kafka, redis, mariadb) = tokio::try_join!(
            KafkaCluster::start_at(&installed, Some(address), BROKERS, &[]),
            Redis::start_with(&installed, options, ScratchDir::new("redis")?),
            MariaDb::start_with(&installed, &[("bind-address", "0.0.0.0")], ScratchDir::new("mariadb")?),
        )
        .context("failed to start the servers")?;
        let backing = Self { kafka, redis, mariadb, address };
        let login = Login { redis: user, database: USER.to_owned(), password: random_name(24) };
        backing.admit(&login).await?;
        Ok((backing, login))
    }

    /// Makes a login beside `before`; both are good.
    pub(crate) async fn another(&self, before: &Login) -> Result<Login> {
        let redis = RedisUser { password: random_name(24), ..before.redis.clone() };
        self.redis.command(&["ACL", "SETUSER", USER, &format!(">{}", redis.password)]).await?;
        let database = format!("{USER}{}", random_name(4));
        let login = Login { redis, database, password: random_name(24) };
        self.admit(&login).await?;
        Ok(login)
    }

    /// From here on this login is good for nothing.
    pub(crate) async fn expel(&self, login: &Login) -> Result<()> {
        self.redis.command(&["ACL", "SETUSER", USER, &format!("<{}", login.redis.password)]).await?;
        self.mariadb.query("mysql", &format!("DROP USER {}@'%'", login.database)).await.map(drop)
    }

    async fn admit(&self, login: &Login) -> Result<()> {
        let Login { database: user, password, .. } = login;
        let sql =
            format!("CREATE USER {user}@'%' IDENTIFIED BY '{password}'; GRANT ALL ON chatcluster.* TO {user}@'%'");
        self.mariadb.query("mysql", &sql).await.map(drop)
    }

    pub(crate) fn redis_url(&self, login: &Login) -> String {
        format!("redis://{USER}:{}@{}:{}", login.redis.password, self.address, self.redis.port())
    }

    pub(crate) fn database_url(&self, login: &Login) -> String {
        let Login { database, password, .. } = login;
        format!("mysql://{database}:{password}@{}:{}/chatcluster", self.address, self.mariadb.port())
    }
}
