//! One step of a pass: the gateways' streams and consumer groups in Redis.

use std::collections::BTreeSet;

use chatcluster_contracts::ids::Node;

use crate::{
    claims::Claimant,
    controller::Shared,
    events::News,
    redis::{self, Error, policy::Evicts},
    status::{About, Finding},
    validate::ValidatedCluster,
};

/// What the step found.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    pub(crate) finding: Finding,
    pub(crate) news: Vec<News>,
    pub(crate) failed: bool,
    pub(crate) changed: bool,
    /// The pods whose streams are known to be there.
    pub(crate) pods: BTreeSet<String>,
}

const ABOUT: About = About::RedisReady;

/// The older `ChatCluster` that has this prefix on this Redis, if there is one.
pub(crate) fn holder(shared: &Shared, cluster: &ValidatedCluster, me: &Claimant) -> Option<String> {
    let server = [cluster.redis.address.as_ref()?.to_string()];
    let prefix = BTreeSet::from([cluster.redis.prefix.clone()]);
    shared.prefixes.claim(&server, &prefix, me).pop().map(|(_, holder)| holder)
}

/// `pods`: the gateway pods there are.
pub(crate) async fn run(shared: &Shared, cluster: &ValidatedCluster, me: &Claimant, pods: BTreeSet<String>) -> Streams {
    let Some(connection) = &cluster.redis.connection else {
        let missing: Vec<String> = cluster.missing_secrets.iter().map(|(_, missing)| missing.to_string()).collect();
        return failed(Finding::no(ABOUT, "SecretMissing", missing.join("; ")));
    };
    if let Some(holder) = holder(shared, cluster, me) {
        let message = format!("{holder} has this prefix on this Redis; give this one a redis.prefix of its own");
        return failed(Finding::no(ABOUT, "PrefixConflict", message));
    }
    match provision(shared, cluster, connection, &pods).await {
        Ok((finding, news, changed)) => Streams { finding, news, failed: false, changed, pods },
        Err(error) => {
            shared.metrics.error("redis");
            let reason = if matches!(error, Error::Unavailable(_)) { "RedisUnavailable" } else { "RedisRefused" };
            failed(Finding::no(ABOUT, reason, error.to_string()))
        }
    }
}

async fn provision(
    shared: &Shared,
    cluster: &ValidatedCluster,
    connection: &redis::ConnectionOptions,
    pods: &BTreeSet<String>,
) -> Result<(Finding, Vec<News>, bool), Error> {
    let redis = shared.redis.get(connection)?;
    let keys = &cluster.redis.keys;
    let mut news = Vec::new();
    if !cluster.paused {
        let nodes: Vec<Node> = pods.iter().filter_map(|pod| Node::parse(pod).ok()).collect();
        for node in redis::streams::provision(&redis, keys, &nodes).await? {
            news.push(News::normal("StreamCreated", format!("stream and consumer group of gateway {node}")));
        }
        for node in redis::streams::remove_gone(&redis, keys, pods).await? {
            news.push(News::normal("StreamRemoved", format!("gateway {node} is gone and its lease has expired")));
        }
    }
    let changed = !news.is_empty();
    let policy = redis::policy::maxmemory_policy(&redis).await?;
    let finding = match policy {
        Some(policy) if policy.evicts != Evicts::Nothing => Finding::no(ABOUT, "EvictionPolicy", policy.to_string()),
        _ => Finding::yes(ABOUT, "Provisioned", format!("{} gateways have their streams", pods.len())),
    };
    Ok((finding, news, changed))
}

fn failed(finding: Finding) -> Streams {
    Streams { finding, news: Vec::new(), failed: true, changed: false, pods: BTreeSet::new() }
}
