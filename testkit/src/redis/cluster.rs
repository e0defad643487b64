//! A Redis Cluster: three masters, each with a third of the slots, no replicas.

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;

use super::{Redis, RedisOptions, Reply, Tls};
use crate::WAIT;
use crate::condition::await_condition;
use crate::install::Installed;
use crate::ports::free_port;
use crate::scratch::ScratchDir;

/// The slots of the three masters, from the cluster specification's 16384.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// A running cluster. Killed when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// `options` are those of each node; TLS is not among what a cluster can do here.
    pub async fn start(installed: &Installed, options: RedisOptions) -> Result<Self> {
        ensure!(options.tls == Tls::Off, "a cluster of the testkit is without TLS");
        let (mut starts, mut buses) = (Vec::new(), Vec::new());
        for _ in SLOTS {
            // Its default, 10000 above the other port, may be in use.
            let bus = free_port()?.to_string();
            let mut options = options.clone();
            let settings = [
                ("cluster-enabled", "yes"),
                ("cluster-config-file", "nodes.conf"),
                ("cluster-port", bus.as_str()),
                ("cluster-announce-ip", "127.0.0.1"),
                // A killed node is noticed within seconds.
                ("cluster-node-timeout", "2000"),
            ];
            options.settings.extend(settings.map(|(key, value)| (key.to_owned(), value.to_owned())));
            starts.push(Redis::start_with(installed, options, ScratchDir::new("redis-cluster")?));
            buses.push(bus);
        }
        let cluster = Self { nodes: try_join_all(starts).await? };
        cluster.join(&buses).await.context("failed to make a Redis Cluster")?;
        Ok(cluster)
    }

    /// Gives out the slots, introduces the nodes, and waits until each of them sees the whole.
    async fn join(&self, buses: &[String]) -> Result<()> {
        let [first, ..] = self.nodes.as_slice() else { bail!("a cluster without nodes") };
        for (node, (from, to)) in self.nodes.iter().zip(SLOTS) {
            node.command(&["CLUSTER", "ADDSLOTSRANGE", from, to]).await?;
        }
        for (node, bus) in self.nodes.iter().zip(buses).skip(1) {
            first.command(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), bus]).await?;
        }
        for node in &self.nodes {
            await_condition("the cluster to be whole", WAIT, || async {
                let Reply::Text(info) = node.command(&["CLUSTER", "INFO"]).await? else { bail!("no CLUSTER INFO") };
                let whole = info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3");
                ensure!(whole && info.contains("cluster_slots_ok:16384"), "{info}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The addresses of all nodes, [`Redis::url`] each.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Sends one command to the node that owns its key, following one redirection.
    pub async fn command(&self, words: &[&str]) -> Result<Reply> {
        let first = self.nodes.first().context("a cluster without nodes")?;
        let error = match first.command(words).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let said = error.to_string();
        let owner = said.split_once("MOVED ").and_then(|(_, rest)| rest.rsplit_once(':')).map(|(_, port)| port.trim());
        let owner = owner.and_then(|port| self.nodes.iter().find(|node| node.port().to_string() == port));
        match owner {
            Some(node) => node.command(words).await,
            None => Err(error),
        }
    }
}
