//! Leases on shards, renewed by the database's clock and trusted by the local one only as long as is safe.

use std::time::{Duration, Instant};

use chatcluster_service::health::Dependency;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{metrics::RelayMetrics, store::Store};

/// How long a process that died keeps its shards from others.
pub(super) const TTL: Duration = Duration::from_secs(10);
const RENEW_EVERY: Duration = Duration::from_secs(3);
const RENEW_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a renewal is trusted here: shorter than [`TTL`], so that publishing stops well before another may start.
const TRUST: Duration = Duration::from_secs(8);

/// Until when a shard is ours; `None`: it is not.
pub(super) type Until = Option<Instant>;

/// The keeper's side: one sender a shard.
pub(super) struct Keeper {
    pub(super) store: Store,
    /// A name no other living process uses; a restart under the same name takes its shards over at once.
    pub(super) holder: String,
    pub(super) leases: Vec<watch::Sender<Until>>,
    pub(super) metrics: RelayMetrics,
    pub(super) health: Dependency,
}

impl Keeper {
    /// Renews until `stop`; a shard whose renewal fails runs out by itself.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut pause = tokio::time::interval(RENEW_EVERY);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = pause.tick() => self.renew().await,
            }
        }
    }

    async fn renew(&self) {
        // Before the call: the database counts from some later moment.
        let asked = Instant::now();
        match timeout(RENEW_TIMEOUT, self.store.hold_leases(&self.holder, TTL)).await {
            Ok(Ok(held)) => {
                self.health.up();
                let until = asked + TRUST;
                for (shard, lease) in (0_u32..).zip(&self.leases) {
                    lease.send_replace(held.contains(&shard).then_some(until));
                }
                self.metrics.shards_held.set(i64::try_from(held.len()).unwrap_or_default());
            }
            Ok(Err(error)) => {
                self.health.down(&error);
                tracing::warn!(%error, "outbox leases not renewed");
            }
            Err(_) => {
                self.health.down("no answer in time");
                tracing::warn!("outbox leases not renewed in time");
            }
        }
    }
}
