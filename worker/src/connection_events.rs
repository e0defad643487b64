//! `connection.add` and `connection.remove`: what core knows about connections, held against the registry. The gateways
//! write their own entries; this only mends what a crash or a lost write left behind.

use std::sync::Arc;

use chatcluster_contracts::{
    record::ConnectionRecord,
    topics::{Group, Topic},
};
use chatcluster_transport::{
    event_log::Record,
    gateway_streams::{Registration, Registry, StreamError},
};

use crate::{consume::hints::Hints, dead_letter::DeadLetters, metrics::WorkerMetrics, publish::until_done};

#[derive(Clone)]
pub(crate) struct ConnectionEvents {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) metrics: WorkerMetrics,
}

impl Hints for ConnectionEvents {
    const GROUP: Group = Group::Connections;
    const TOPICS: &'static [Topic] = &[Topic::ConnectionAdd, Topic::ConnectionRemove];
    const AT_ONCE: usize = 1;

    async fn take(&self, batch: &[Record]) {
        for record in batch {
            match serde_json::from_slice::<ConnectionRecord>(&record.value) {
                Ok(connection) => self.apply(record, &connection).await,
                Err(error) => self.dead_letters.keep(record, &error.to_string()).await,
            }
        }
    }
}

impl ConnectionEvents {
    async fn apply(&self, record: &Record, connection: &ConnectionRecord) {
        self.metrics.connection_events.inc();
        until_done("connection_event", &self.metrics, || async {
            match record.partition.topic {
                Topic::ConnectionAdd => self.repair(connection).await,
                _ => self.prune(connection).await,
            }
        })
        .await;
    }

    /// Puts an entry back that is missing although its gateway's boot is alive.
    async fn repair(&self, connection: &ConnectionRecord) -> Result<(), StreamError> {
        let known = self.registry.lookup(std::slice::from_ref(&connection.connection_id)).await?;
        if known.into_iter().flatten().next().is_some() || !self.boot_lives(connection).await? {
            return Ok(());
        }
        // an add read again after its connection's end leaves an entry that costs its living gateway a needless
        // recipient, until that boot ends; an entry withheld would cost a session its events
        self.metrics.repaired.inc();
        self.registry.register(&[registration(connection)]).await
    }

    /// Removes an entry its gateway did not remove itself: it was killed.
    async fn prune(&self, connection: &ConnectionRecord) -> Result<(), StreamError> {
        let id = std::slice::from_ref(&connection.connection_id);
        let known = self.registry.lookup(id).await?;
        if known.into_iter().flatten().any(|known| known.boot_id == connection.boot_id) {
            self.metrics.pruned.inc();
        }
        self.registry.prune(&connection.user_id, id).await
    }

    async fn boot_lives(&self, connection: &ConnectionRecord) -> Result<bool, StreamError> {
        let holders = self.registry.lease_holders(&[connection.node.to_string()]).await?;
        Ok(holders.into_iter().flatten().any(|boot| boot == connection.boot_id))
    }
}

fn registration(connection: &ConnectionRecord) -> Registration {
    Registration {
        connection_id: connection.connection_id.clone(),
        user_id: connection.user_id.clone(),
        boot_id: connection.boot_id.clone(),
        connected_at_ms: connection.connected_at_ms,
    }
}
