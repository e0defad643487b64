//! The lease under which this gateway's connections count, and the signs that the registry has lost them.

use std::time::{Duration, Instant};

use super::Presence;
use crate::delivery::Delivery;

const EVERY: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(10);

/// Renews until dropped. A changed epoch, or a lease that had run out, means that entries are missing: all are written
/// again at once, and heads are checked, because what was sent meanwhile went nowhere.
pub(super) async fn renew(presence: &Presence, delivery: &Delivery) {
    let gateway = &presence.gateway;
    let mut epoch: Option<String> = None;
    let mut contested = false;
    loop {
        let started = Instant::now();
        let renewal = presence.registry.renew_lease(&gateway.node, &gateway.boot, TTL);
        match tokio::time::timeout(EVERY, renewal).await {
            Ok(Ok(renewed)) => {
                if let Some(other) = renewed.held_by {
                    if !contested {
                        // after a crash this is the boot before, whose lease runs out; otherwise a doubled name
                        tracing::error!(node = %gateway.node, held_by = %other, "the lease is another process's");
                    }
                    contested = true;
                    presence.health.down(format_args!("the lease of this node is held by another boot"));
                    presence.holds_lease.send_replace(false);
                } else {
                    contested = false;
                    presence.health.up();
                    let lost = renewed.taken || epoch.as_ref().is_some_and(|known| *known != renewed.epoch);
                    let first = epoch.is_none();
                    if lost && !first {
                        match presence.register_all().await {
                            Ok(count) => {
                                tracing::warn!(connections = count, "registry lost our connections: written again");
                                epoch = Some(renewed.epoch);
                                delivery.check_everything();
                            }
                            // the old epoch stays, so the next round tries again
                            Err(error) => tracing::warn!(%error, "connections not written again yet"),
                        }
                    } else {
                        epoch = Some(renewed.epoch);
                    }
                    presence.holds_lease.send_replace(true);
                }
            }
            Ok(Err(error)) => presence.health.down(error),
            Err(_) => presence.health.down("no answer"),
        }
        tokio::time::sleep(EVERY.saturating_sub(started.elapsed())).await;
    }
}
