//! What workers have for this gateway: read the own stream, hand everything to the sessions' queues, acknowledge.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::stream_entry::StreamEntry;
use chatcluster_service::health::Dependency;
use chatcluster_transport::gateway_streams::{Batch, EntryId, GatewayStreams, StreamReader};

use crate::{
    delivery::{Delivery, Touched, cursor::Arrived},
    metrics::GatewayMetrics,
    presence::Gateway,
    session::Priority,
    upstream::Backoff,
};

/// Entries of one turn: each socket is written once a turn. They are in memory together, up to 64 KiB each.
const BATCH: usize = 512;
const BLOCK: Duration = Duration::from_secs(2);
/// Acknowledgements that may wait: what is not acknowledged at the end of a boot is nobody's.
const MAX_UNACKNOWLEDGED: usize = 10_000;

pub(crate) struct Inbound {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) metrics: Arc<GatewayMetrics>,
    pub(crate) health: Dependency,
}

impl Inbound {
    /// Reads the gateway's own stream until dropped.
    pub(crate) async fn read_own_stream(self, streams: &dyn GatewayStreams, gateway: &Gateway) {
        let reader = self.open(streams, gateway).await;
        self.run(reader).await;
    }

    /// Reads until dropped.
    pub(crate) async fn run(self, mut reader: Box<dyn StreamReader>) {
        let mut backoff = Backoff::short();
        let mut acknowledge: Vec<EntryId> = Vec::new();
        let mut touched = Touched::default();
        loop {
            match reader.read(BATCH, BLOCK).await {
                Ok(batch) => {
                    backoff.reset();
                    self.health.up();
                    self.metrics.stream_length.set(reader.length());
                    self.apply(batch, &mut touched, &mut acknowledge);
                }
                Err(error) => {
                    self.health.down(&error);
                    tracing::warn!(%error, "the own stream cannot be read now");
                    backoff.pause().await;
                    continue;
                }
            }
            if !acknowledge.is_empty() {
                match reader.acknowledge(acknowledge.clone()).await {
                    Ok(()) => acknowledge.clear(),
                    Err(error) => {
                        tracing::warn!(%error, entries = acknowledge.len(), "entries not acknowledged yet");
                        let surplus = acknowledge.len().saturating_sub(MAX_UNACKNOWLEDGED);
                        acknowledge.drain(..surplus);
                    }
                }
            }
        }
    }

    async fn open(&self, streams: &dyn GatewayStreams, gateway: &Gateway) -> Box<dyn StreamReader> {
        let mut backoff = Backoff::short();
        loop {
            match streams.open_reader(&gateway.node, &gateway.boot).await {
                Ok(reader) => {
                    // sessions may have attached before there was a stream to write to
                    self.delivery.check_everything();
                    return reader;
                }
                Err(error) => {
                    self.health.down(&error);
                    tracing::warn!(%error, "the own stream cannot be opened now");
                    backoff.pause().await;
                }
            }
        }
    }

    fn apply(&self, batch: Batch, touched: &mut Touched, acknowledge: &mut Vec<EntryId>) {
        let since = Instant::now();
        let count = batch.entries.len();
        self.metrics.stream_entries.inc_by(count as u64);
        self.metrics.stream_undecodable.inc_by(batch.undecodable as u64);
        for (id, entry) in batch.entries {
            self.entry(entry, touched);
            acknowledge.push(id);
        }
        self.delivery.settle(touched);
        touched.flush(since);
        if count > 0 {
            self.metrics.entry_to_socket.observe(since.elapsed().as_secs_f64());
        }
        if batch.gap {
            self.metrics.stream_gaps.inc();
            tracing::warn!("entries may have been lost unread: checking all heads");
            self.delivery.check_everything();
        }
    }

    fn entry(&self, entry: StreamEntry, touched: &mut Touched) {
        match entry {
            StreamEntry::Event {
                conversation_id,
                seq,
                event_type,
                subject,
                recipients,
                payload,
                traceparent,
                broadcast,
            } => {
                let event = Arrived { seq, event_type, subject, payload, trace: traceparent };
                self.delivery.event(&conversation_id, event, &recipients, touched);
                if broadcast {
                    self.delivery.goes_by_broadcast(&conversation_id);
                }
            }
            StreamEntry::Ephemeral { conversation_id, recipients, payload } => {
                let priority = Priority::Ephemeral;
                self.delivery.direct(&recipients, &payload, priority, conversation_id.as_ref(), touched);
            }
            StreamEntry::Direct { recipients, payload } => {
                self.delivery.direct(&recipients, &payload, Priority::Needed, None, touched);
            }
            StreamEntry::Digest { heads } => {
                for (id, head) in heads {
                    self.delivery.raise_head(&id, head);
                }
            }
        }
    }
}
