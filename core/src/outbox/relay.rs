//! The relay's tasks: one that keeps leases, one a shard, two for wake-up calls, one for the figures.

use std::{sync::Arc, time::Duration};

use chatcluster_service::health::Dependency;
use chatcluster_transport::{event_log::Producer, gateway_streams::GatewayStreams};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{lease::Keeper, shard::Shard, signals};
use crate::{metrics::RelayMetrics, store::Store};

const FIGURES_EVERY: Duration = Duration::from_secs(5);
/// What is in flight has this long to land at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// What only helps the shards has this long to end: a server that answers nothing must not hold up the end.
const STOP_OTHERS_TIMEOUT: Duration = Duration::from_secs(3);

/// What the relay works with.
pub struct RelayParts {
    pub store: Store,
    pub producer: Arc<dyn Producer>,
    pub streams: Arc<dyn GatewayStreams>,
    /// A name no other living process uses at the same time.
    pub holder: String,
    pub metrics: RelayMetrics,
    /// Set by the renewal of leases, which asks the database every few seconds.
    pub database: Dependency,
}

impl std::fmt::Debug for RelayParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayParts").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// The running relay.
#[derive(Debug)]
pub struct Relay {
    shards: JoinSet<()>,
    others: JoinSet<()>,
    stop_shards: CancellationToken,
    stop_others: CancellationToken,
    store: Store,
    holder: String,
}

impl Relay {
    pub fn start(parts: RelayParts) -> Self {
        let (stop_shards, stop_others) = (CancellationToken::new(), CancellationToken::new());
        let (mut shards, mut others) = (JoinSet::new(), JoinSet::new());
        let RelayParts { store, producer, streams, holder, metrics, database } = parts;
        let mut leases = Vec::new();
        for number in 0..store.outbox_shards() {
            let (sender, lease) = watch::channel(None);
            leases.push(sender);
            let shard =
                Shard { number, store: store.clone(), producer: producer.clone(), lease, metrics: metrics.clone() };
            shards.spawn(shard.run(stop_shards.clone()));
        }
        let keeper =
            Keeper { store: store.clone(), holder: holder.clone(), leases, metrics: metrics.clone(), health: database };
        others.spawn(keeper.run(stop_others.clone()));
        let (wake, keys) = (store.wake().clone(), streams.keys().clone());
        others.spawn(signals::call(wake.clone(), streams.signals(), keys.clone(), stop_others.clone()));
        let count = store.outbox_shards();
        others.spawn(signals::hear(wake, streams.signals(), keys, count, stop_others.clone()));
        others.spawn(figures(store.clone(), metrics, stop_others.clone()));
        Self { shards, others, stop_shards, stop_others, store, holder }
    }

    /// Lets what is in flight land, then gives the leases up.
    pub async fn stop(mut self) {
        self.stop_shards.cancel();
        let landed = async { while self.shards.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, landed).await.is_err() {
            tracing::warn!("outbox records still in flight at the end; they are published again later");
            self.shards.shutdown().await;
        }
        self.stop_others.cancel();
        let ended = async { while self.others.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_OTHERS_TIMEOUT, ended).await.is_err() {
            tracing::warn!(left = self.others.len(), "tasks of the outbox relay hang at the end; cut off");
            self.others.shutdown().await;
        }
        match tokio::time::timeout(STOP_OTHERS_TIMEOUT, self.store.release_leases(&self.holder)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "outbox leases not given up; they expire"),
            Err(_) => tracing::warn!("outbox leases not given up in time; they expire"),
        }
    }
}

async fn figures(store: Store, metrics: RelayMetrics, stop: CancellationToken) {
    let mut pause = tokio::time::interval(FIGURES_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = pause.tick() => {}
        }
        match store.outbox_depth().await {
            Ok(depth) => {
                metrics.depth.set(depth.rows);
                metrics.oldest_ms.set(depth.oldest_ms);
            }
            Err(error) => tracing::debug!(%error, "outbox not measured"),
        }
    }
}
