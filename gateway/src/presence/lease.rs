//! The lease under which this gateway's connections count, and the signs that the registry has lost them.

use std::time::{Duration, Instant};

use super::Presence;
use crate::{delivery::Delivery, upstream::Backoff};

const EVERY: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(10);

/// Takes the lease, also from an earlier boot that was killed and left it behind.
async fn take(presence: &Presence) {
    let gateway = &presence.gateway;
    let mut backoff = Backoff::short();
    loop {
        match tokio::time::timeout(EVERY, presence.registry.take_lease(&gateway.node, &gateway.boot, TTL)).await {
            Ok(Ok(held)) => {
                if let Some(boot) = held {
                    tracing::warn!(node = %gateway.node, earlier = %boot, "took the lease of an earlier boot");
                }
                presence.health.up();
                presence.holds_lease.send_replace(true);
                return;
            }
            Ok(Err(error)) => presence.health.down(error),
            Err(_) => presence.health.down("no answer"),
        }
        backoff.pause().await;
    }
}

/// Takes the lease and renews it. A changed epoch, or a lease that had run out, means that entries are missing: all are
/// written again at once, and heads are checked, because what was sent meanwhile went nowhere.
///
/// Returns when another process has started under this node's name: the stream is its own now, and nothing more would
/// arrive here.
pub(super) async fn hold(presence: &Presence, delivery: &Delivery) {
    let gateway = &presence.gateway;
    let mut epoch: Option<String> = None;
    // entries are missing and could not be written again yet
    let mut missing = false;
    // those of the round that are still to be kept
    let mut round = Vec::new();
    take(presence).await;
    loop {
        let started = Instant::now();
        let renewal = presence.registry.renew_lease(&gateway.node, &gateway.boot, TTL);
        match tokio::time::timeout(EVERY, renewal).await {
            Ok(Ok(renewed)) => {
                if let Some(other) = renewed.held_by {
                    tracing::error!(node = %gateway.node, held_by = %other, "another gateway runs under this name");
                    presence.health.down("another gateway runs under this name");
                    presence.holds_lease.send_replace(false);
                    return;
                }
                presence.health.up();
                missing |= renewed.taken || epoch.as_ref().is_some_and(|known| *known != renewed.epoch);
                epoch = Some(renewed.epoch);
                if missing {
                    match presence.register_all().await {
                        Ok(count) => {
                            tracing::warn!(connections = count, "registry lost our connections: written again");
                            missing = false;
                            delivery.check_everything();
                        }
                        Err(error) => tracing::warn!(%error, "connections not written again yet"),
                    }
                } else {
                    match tokio::time::timeout(EVERY, presence.keep_some(&mut round)).await {
                        Ok(Ok(0)) => {}
                        Ok(Ok(_)) => delivery.check_everything(),
                        Ok(Err(error)) => tracing::warn!(%error, "connections not kept yet"),
                        Err(_) => tracing::warn!("connections not kept yet: no answer"),
                    }
                }
            }
            Ok(Err(error)) => presence.health.down(error),
            Err(_) => presence.health.down("no answer"),
        }
        tokio::time::sleep(EVERY.saturating_sub(started.elapsed())).await;
    }
}
