//! Wake-up calls between processes: who commits tells who publishes. A lost call costs the poll interval, nothing more.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use chatcluster_contracts::redis_keys::Keys;
use chatcluster_transport::gateway_streams::{Signal, Signals};
use tokio_util::sync::CancellationToken;

use super::wake::Wake;

const RETRY: Duration = Duration::from_secs(1);

/// Publishes a call for every commit whose shard another process holds.
pub(super) async fn call(wake: Wake, signals: std::sync::Arc<dyn Signals>, keys: Keys, stop: CancellationToken) {
    loop {
        let shards = tokio::select! {
            () = stop.cancelled() => return,
            shards = wake.elsewhere() => shards,
        };
        for shard in shards {
            if let Err(error) = signals.publish(&keys.outbox_wake(shard), Bytes::new()).await {
                tracing::debug!(shard, %error, "wake-up call not sent");
            }
        }
    }
}

/// Passes the calls of others on to the relays here.
pub(super) async fn hear(
    wake: Wake,
    signals: std::sync::Arc<dyn Signals>,
    keys: Keys,
    shards: u32,
    stop: CancellationToken,
) {
    let channels: HashMap<String, u32> = (0..shards).map(|shard| (keys.outbox_wake(shard), shard)).collect();
    let listening = async {
        loop {
            let mut calls = match signals.listen(channels.keys().cloned().collect()).await {
                Ok(calls) => calls,
                Err(error) => {
                    tracing::debug!(%error, "not listening to wake-up calls");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            loop {
                match calls.next().await {
                    Signal::Message { channel, .. } => {
                        if let Some(shard) = channels.get(&channel) {
                            wake.heard(*shard);
                        }
                    }
                    Signal::Gap => (0..shards).for_each(|shard| wake.heard(shard)),
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = listening => {}
    }
}
