//! The figures of a gateway. Labels never carry a user, a conversation or a connection.

use std::sync::atomic::AtomicU64;

use chatcluster_contracts::close::CloseReason;
use chatcluster_service::metrics::{Metrics, latency_histogram};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    pub(crate) outcome: &'static str,
}

/// What every session counts; one for all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionMetrics {
    pub(crate) dropped: Counter,
    pub(crate) queue_bytes: Gauge,
}

#[derive(Debug)]
pub(crate) struct GatewayMetrics {
    pub(crate) session: SessionMetrics,
    pub(crate) connections: Gauge,
    pub(crate) opened: Counter,
    pub(crate) refused_connections: Counter,
    closed: Family<Reason, Counter>,
    sends: Family<Outcome, Counter>,
    pub(crate) refused_frames: Counter,
    pub(crate) deliveries: Counter,
    pub(crate) backfilled: Counter,
    pub(crate) fetches: Counter,
    pub(crate) resyncs: Counter,
    pub(crate) stream_entries: Counter,
    pub(crate) stream_undecodable: Counter,
    pub(crate) stream_gaps: Counter,
    pub(crate) stream_length: Gauge<u64, AtomicU64>,
    pub(crate) entry_to_socket: Histogram,
    pub(crate) send_to_ack: Histogram,
}

impl GatewayMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let ours = Self {
            session: SessionMetrics::default(),
            connections: Gauge::default(),
            opened: Counter::default(),
            refused_connections: Counter::default(),
            closed: Family::default(),
            sends: Family::default(),
            refused_frames: Counter::default(),
            deliveries: Counter::default(),
            backfilled: Counter::default(),
            fetches: Counter::default(),
            resyncs: Counter::default(),
            stream_entries: Counter::default(),
            stream_undecodable: Counter::default(),
            stream_gaps: Counter::default(),
            stream_length: Gauge::default(),
            entry_to_socket: latency_histogram(),
            send_to_ack: latency_histogram(),
        };
        metrics.register(|registry| {
            let mut counter =
                |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
            counter("connections_opened", "Client connections accepted", &ours.opened);
            counter("connections_refused", "Connections told to come back later", &ours.refused_connections);
            counter("frames_dropped", "Typing and presence frames not sent to slow clients", &ours.session.dropped);
            counter("frames_refused", "Client frames answered by an ERROR", &ours.refused_frames);
            counter("deliveries", "Frames of events handed to sessions", &ours.deliveries);
            counter("backfilled", "Events sent again to sessions that attached", &ours.backfilled);
            counter("fetches", "Reads of missing events from core", &ours.fetches);
            counter("resyncs", "RESYNC frames: ranges given up explicitly", &ours.resyncs);
            counter("stream_entries", "Entries read of the own stream", &ours.stream_entries);
            counter("stream_undecodable", "Entries that could not be decoded", &ours.stream_undecodable);
            counter("stream_gaps", "Times that entries may have been lost unread", &ours.stream_gaps);
            registry.register("connections", "Client connections now", ours.connections.clone());
            registry.register("queue_bytes", "Bytes waiting for slow clients", ours.session.queue_bytes.clone());
            registry.register("stream_length", "Entries waiting in the own stream", ours.stream_length.clone());
            registry.register("connections_closed", "Client connections ended, by reason", ours.closed.clone());
            registry.register("sends", "Messages sent by clients, by outcome", ours.sends.clone());
            let latency = "From reading a stream entry to having written its frames";
            registry.register("entry_to_socket_seconds", latency, ours.entry_to_socket.clone());
            registry.register("send_to_ack_seconds", "From a SEND frame to its ACK", ours.send_to_ack.clone());
        });
        ours
    }

    /// `None`: the client left, or its connection was lost.
    pub(crate) fn closed(&self, reason: Option<CloseReason>) {
        let reason = reason.map_or("client", CloseReason::as_str);
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    /// `outcome`: `acked`, or the code of the refusal.
    pub(crate) fn send(&self, outcome: &'static str) {
        self.sends.get_or_create(&Outcome { outcome }).inc();
    }
}
